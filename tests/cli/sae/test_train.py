"""`superposition sae train`: what it writes, and what it measures."""

import dataclasses
import json

import numpy as np
import pytest

from superposition import metrics
from superposition._internal.recipe_fields import recipe_fields
from superposition.activations import Batch, planted_stream
from superposition.cli.flags import of_part
from superposition.cli.sae.config import TrainConfig
from superposition.errors import ConfigError
from superposition.evaluation.sae import evaluate
from superposition.features import PLANTED
from superposition.sae import ARCHITECTURES, ReLU, TopK
from superposition.storage import formats
from tests.support.processes import python
from tests.support.sae_commands import ORTHOGONAL, digests, run


def test_help_does_not_import_jax():
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        "try:\n    cli.main(['sae', 'train', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'jax', 'xarray', 'zarr', 'matplotlib', 'optax', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "--l0-target" in done.stdout


def test_fields_read_from_source_are_those_of_the_classes():
    """What the flags are made of without importing JAX is what the dataclasses have once it is imported."""
    for name, kind in ARCHITECTURES.items():
        read = recipe_fields("sae", "ARCHITECTURES")[name]
        assert list(read) == [field.name for field in dataclasses.fields(kind)]
        for field in dataclasses.fields(kind):
            assert eval(read[field.name].default) == field.default
        undocumented = {"d_in", "d_out", "d_sae", "skip", "slots", "normalize_activations"} & set(read)
        assert {field for field, it in read.items() if not it.doc} == undocumented, name


def test_every_setting_of_every_architecture_has_a_flag():
    """width, sizes and slots are decided by the run; a run-time norm is not trained under."""
    decided = {"d_in", "d_out", "d_sae", "skip", "slots", "normalize_activations"}
    flags = {field.name for field in of_part(TrainConfig, "sae")}
    own = set()
    for kind in ARCHITECTURES.values():
        if kind.trains:
            own |= {field.name for field in dataclasses.fields(kind)}
    assert own - decided == flags
    from superposition.training.optimizer import Adam

    assert {f.name for f in dataclasses.fields(Adam)} == {f.name for f in of_part(TrainConfig, "adam")}


def test_train_writes_a_directory_per_sae(trained):
    out, _ = trained
    results = json.loads((out / "results.json").read_text())
    names = [record["name"] for record in results["records"]]
    assert names == ["k=1,seed=0", "k=1,seed=1", "k=2,seed=0", "k=2,seed=1"]
    assert not out.with_name("grid.partial").exists()
    import jax

    world = PLANTED["orthogonal"].scaled(8, 8)
    x = planted_stream(jax.random.key(9), world).sample(4000).x
    dictionary = np.load(out / "dictionary.npy")
    np.testing.assert_array_equal(dictionary, np.asarray(world.build().dictionary))
    for record in results["records"]:
        loaded = formats.load(out / record["name"])
        assert (loaded.sae.d_in, loaded.sae.d_sae, loaded.sae.k) == (8, 8, record["settings"]["k"])
        about = loaded.metadata["superposition"]
        assert about["metrics"] == record["metrics"]
        assert about["data"]["planted"] == "orthogonal"
        assert about["provenance"]["jax"]
        assert about["scales"][0] > 0
        # Independently: fresh examples give about the same numbers.
        latents, x_hat = loaded.sae.reconstruct(loaded.params, x)
        assert metrics.fvu(x, x_hat) == pytest.approx(record["metrics"]["fvu"], abs=0.03)
        assert metrics.l0(latents) == pytest.approx(record["metrics"]["l0"], abs=0.1)
        assert metrics.mcc(loaded.params["W_dec"], dictionary) == pytest.approx(record["metrics"]["mcc"])
        assert record["metrics"]["mcc"] > 0.5
        np.testing.assert_allclose(10**loaded.sparsity, np.asarray(latents != 0).mean(0), atol=0.05)
    history = json.loads((out / "history.json").read_text())
    assert set(history) == set(names)
    assert history[names[0]]["fvu"][0] > 2 * history[names[2]]["fvu"][-1]


def test_an_existing_out_is_refused_and_resume_returns_it(trained, capsys):
    out, arguments = trained
    before = digests(out)
    status, _, errors = run(*arguments, "--out", out, capsys=capsys)
    assert (status, "--resume" in errors, errors.count("\n")) == (2, True, 0)
    status, printed, _ = run(*arguments, "--out", out, "--resume", capsys=capsys)
    assert status == 0
    assert "sae show" in printed
    status, _, errors = run(*arguments, "--out", out, "--resume", "--clip", "0.5", capsys=capsys)
    assert (status, "clip" in errors) == (2, True)
    status, _, errors = run(*arguments, "--out", out, "--resume", "--data-seed", "1", capsys=capsys)
    assert (status, "data_seed" in errors) == (2, True)
    assert digests(out) == before
    assert not out.with_name("grid.partial").exists()


def test_eval_measures_and_compares(trained, tmp_path, capsys):
    out, _ = trained
    file = tmp_path / "numbers.json"
    status, printed, errors = run(
        "eval", out, *ORTHOGONAL, "--examples", "3000", "--json", file, capsys=capsys
    )
    assert status == 0, errors
    assert "Universality" in printed
    numbers = json.loads(file.read_text())
    stored = json.loads((out / "results.json").read_text())["records"]
    for one, record in zip(numbers["saes"], stored, strict=True):
        assert one["metrics"] == pytest.approx(record["metrics"])
        histogram = one["log10_density"]
        assert sum(histogram["counts"]) + histogram["dead"] == 8
    assert len(numbers["universality"]) == 6
    assert numbers["splitting"] == []
    status, _, errors = run("eval", out, *ORTHOGONAL, "--json", file, capsys=capsys)
    assert (status, "--overwrite" in errors) == (2, True)
    status, _, errors = run("eval", out, "--planted", "orthogonal", capsys=capsys)
    assert (status, "d_in is 8" in errors) == (2, True)


def test_eval_of_narrow_and_wide_counts_splitting(tmp_path, capsys):
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0].astype(np.float32)
    paths = []
    # Two wide latents have the direction of the first narrow one, and the last that of none.
    for name, rows in (("narrow", directions[:2]), ("wide", directions[[0, 0, 1, 4]])):
        sae = ReLU(d_in=6, d_sae=len(rows))
        params = {"W_enc": rows.T, "b_enc": np.full(len(rows), -0.1, np.float32), "W_dec": rows}
        params["b_dec"] = np.zeros(6, np.float32)
        paths.append(formats.save(tmp_path / name, sae, params))
    np.save(tmp_path / "x.npy", rng.normal(size=(500, 6)).astype(np.float32))
    file = tmp_path / "n.json"
    status, printed, errors = run(
        "eval", *paths, "--activations", tmp_path / "x.npy", "--json", file, capsys=capsys
    )
    assert status == 0, errors
    assert "splitting narrow -> wide" in printed
    split = json.loads(file.read_text())["splitting"]
    assert split[0]["split_fraction"] == pytest.approx(0.5)
    assert split[0]["novel_fraction"] == pytest.approx(0.25)


def test_evaluate_does_not_depend_on_the_batches():
    rng = np.random.default_rng(1)
    x = (3 + rng.normal(size=(1000, 5))).astype(np.float32)
    sae = TopK(d_in=5, d_sae=7, k=2)
    import jax

    params = sae.init_params(jax.random.key(0))
    whole = evaluate(sae, params, [Batch(x, x)])
    parts = evaluate(sae, params, (Batch(x[i : i + 37], x[i : i + 37]) for i in range(0, 1000, 37)))
    assert whole.numbers == pytest.approx(parts.numbers, rel=1e-5)
    np.testing.assert_allclose(whole.firing_rates, parts.firing_rates)
    latents, x_hat = sae.reconstruct(params, x)
    assert whole.numbers["fvu"] == pytest.approx(metrics.fvu(x, np.asarray(x_hat)), rel=1e-5)
    assert whole.numbers["dead_fraction"] == metrics.dead_fraction(np.asarray(latents))
    with pytest.raises(ConfigError, match="at least one example"):
        evaluate(sae, params, [])
