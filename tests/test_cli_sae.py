"""`superposition sae`: training, measuring, converting and showing, and what bad input does."""

import dataclasses
import hashlib
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from superposition import metrics
from superposition.activations import Batch, planted_stream
from superposition.cli import main
from superposition.cli.sae import files, training
from superposition.cli.sae.config import Hyperparameters, OptimizerSettings, TrainConfig
from superposition.errors import ConfigError
from superposition.evaluation.sae import evaluate
from superposition.features import PLANTED
from superposition.sae import ARCHITECTURES, JumpReLU, ReLU, TopK
from superposition.storage import formats

# The training program's; the newest optax says it is to be called tree.norm.
ORTHOGONAL = ["--planted", "orthogonal", "--n-features", "8", "--d-in", "8"]
TINY = ["--d-sae", "8", "--k", "2", "--steps", "20", "--batch-size", "16", "--examples", "64"]


def run(*arguments, capsys):
    status = main.main(["sae", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    return status, out, "\n".join(line for line in err.splitlines() if not line.startswith("training"))


def digests(directory):
    files = (p for p in directory.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".npy"))
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A grid of four SAEs on a world that is easily recovered."""
    out = tmp_path_factory.mktemp("runs") / "grid"
    options = [
        "--k",
        "1",
        "2",
        "--seed",
        "0",
        "1",
        "--d-sae",
        "8",
        "--learning-rate",
        "0.01",
        "--steps",
        "300",
    ]
    arguments = ["sae", "train", *ORTHOGONAL, *options, "--batch-size", "64", "--examples", "3000"]
    assert main.main([*arguments, "--out", str(out)]) == 0
    return out, arguments[1:]


def test_help_does_not_import_jax():
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        "try:\n    cli.main(['sae', 'train', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'jax', 'xarray', 'zarr', 'matplotlib', 'optax', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--l0-target" in done.stdout


def test_every_setting_of_every_architecture_has_a_flag():
    """width, sizes and slots are decided by the run; a run-time norm is not trained under."""
    decided = {"d_in", "d_out", "d_sae", "skip", "slots", "normalize_activations"}
    flags = {field.name for field in dataclasses.fields(Hyperparameters)}
    own = set()
    for kind in ARCHITECTURES.values():
        if kind.trains:
            own |= {field.name for field in dataclasses.fields(kind)}
    assert own - decided == flags
    from superposition.training.optimizer import Adam

    assert {f.name for f in dataclasses.fields(Adam)} == {
        f.name for f in dataclasses.fields(OptimizerSettings)
    }


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
    np.testing.assert_allclose(whole.densities, parts.densities)
    latents, x_hat = sae.reconstruct(params, x)
    assert whole.numbers["fvu"] == pytest.approx(metrics.fvu(x, np.asarray(x_hat)), rel=1e-5)
    assert whole.numbers["dead_fraction"] == metrics.dead_fraction(np.asarray(latents))
    with pytest.raises(ConfigError, match="at least one example"):
        evaluate(sae, params, [])


@pytest.mark.parametrize("to", list(formats.FORMATS))
def test_convert_there_and_back_is_lossless(tmp_path, capsys, to):
    import jax

    saes = [TopK(d_in=5, d_sae=7, k=2), JumpReLU(d_in=5, d_sae=7, apply_b_dec_to_input=False)]
    done = 0
    for i, sae in enumerate(saes):
        params = {k: v + 0.125 for k, v in sae.init_params(jax.random.key(i)).items()}
        source, there, back = (tmp_path / f"{i}-{name}" for name in ("source", "there", "back"))
        formats.save(source, sae, params)
        forth = ["convert", source, there, "--to", to]
        status, _, errors = run(*forth, capsys=capsys)
        if status and "--drop-metadata" in errors:
            status, _, errors = run(*forth, "--drop-metadata", capsys=capsys)
        if status == 2:
            assert f"{to} holds" in errors
            assert not there.exists()
            continue
        assert status == 0, errors
        arguments = ["convert", there, back, "--from", to, "--allow-pt"]
        status, _, errors = run(*arguments, capsys=capsys)
        assert status == 0, errors
        loaded = formats.load(back)
        assert type(loaded.sae) is type(sae)
        for name, array in params.items():
            np.testing.assert_array_equal(array, loaded.params[name])
        status, _, errors = run(*arguments, capsys=capsys)
        assert (status, "exists" in errors) == (2, True)
        done += 1
    assert done


def test_show_draws(trained, tmp_path, capsys):
    out, _ = trained
    status, printed, errors = run("show", out, "--figures", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    assert {"history.png", "decoder_cosines.png", "matched_cosines,k=1,seed=0.png"} <= {
        p.name for p in (tmp_path / "a").iterdir()
    }
    status, printed, errors = run("show", out / "k=2,seed=1", "--figures", tmp_path / "b", capsys=capsys)
    assert status == 0, errors
    assert "TopK" in printed
    pictures = re.findall(r"\S+\.png", printed)
    assert len(pictures) == 3
    from PIL import Image

    for picture in pictures:
        with Image.open(picture) as image:
            assert len(image.text["Description"]) > 40
    assert "matched ones on the diagonal" in image.text["Description"]


def test_toy_activations_and_a_transcoder(tmp_path, capsys):
    toy = tmp_path / "a.zarr"
    sweep = ["sweep", "--n-features", "6", "--n-hidden", "3", "--densities", "1", "0.05", "--seeds", "2"]
    assert main.main([*sweep, "--steps", "800", "--learning-rate", "0.01", "--out", str(toy)]) == 0
    capsys.readouterr()
    cell = ["--toy", toy, "--cell", "density=0.05", "seed=1"]
    status, _, errors = run("train", *cell, *TINY[2:], "--out", tmp_path / "b", capsys=capsys)
    assert status == 0, errors
    results = json.loads((tmp_path / "b" / "results.json").read_text())
    assert results["data"]["cell"] == {"density": pytest.approx(0.05), "seed": 1}
    assert results["data"]["features"]["density"] == pytest.approx(0.05)
    from superposition.training import open_sweep

    W = open_sweep(toy).sel(density=0.05, seed=1)["W"].values
    represented = W.T[np.linalg.norm(W, axis=0) > 0.5]
    assert len(represented) > 3  # superposition: more than there are dimensions
    np.testing.assert_array_equal(np.load(tmp_path / "b" / "dictionary.npy"), represented)
    assert formats.load(tmp_path / "b" / "seed=0").sae.d_sae == len(represented)

    transcoder = ["train", *cell, *TINY, "--target", "output", "--skip", "--out", tmp_path / "c"]
    status, _, errors = run(*transcoder, "--architecture", "relu", "--k", capsys=capsys)
    assert status == 0, errors
    sae = formats.load(tmp_path / "c" / "seed=0").sae
    assert (sae.d_in, sae.d_out, sae.skip) == (3, 6, True)
    status, _, errors = run(
        "eval", tmp_path / "c", *cell, "--target", "output", "--examples", "100", capsys=capsys
    )
    assert status == 0, errors
    status, _, errors = run("eval", tmp_path / "c", *cell, capsys=capsys)
    assert (status, "targets" in errors) == (2, True)
    for wrong, said in (("density=0.3", "1, 0.05"), ("colour=1", "density, seed"), ("density", "NAME=VALUE")):
        status, _, errors = run(
            "train", "--toy", toy, "--cell", wrong, "--out", tmp_path / "d", capsys=capsys
        )
        assert (status, said in errors) == (2, True), errors


@pytest.mark.parametrize(
    "options",
    [
        ["--architecture", "jumprelu", "--l0-target", "2", "3"],
        ["--architecture", "matryoshka", "--k", "1.5", "2", "--prefixes", "4", "8"],
        ["--learning-rate", "0.001", "0.01", "--warmup", "0.1", "--decay", "0", "--memory-gb", "0.0001"],
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                [
                    "--architecture",
                    "topk",
                    "--k",
                    "2",
                    "4",
                    "--width",
                    "4",
                    "8",
                    "--matmul-dtype",
                    "bfloat16",
                ],
                ["--architecture", "relu", "--penalty", "0.1", "1"],
                ["--architecture", "gated", "--width", "4", "8"],
                ["--architecture", "batch-topk", "--k", "1.5", "2"],
                ["--architecture", "matching-pursuit", "--max-iterations", "2"],
                ["--architecture", "bricken", "--dead-after", "32", "--resample-every", "5"],
                [
                    "--architecture",
                    "jumprelu",
                    "--sparsity",
                    "quadratic",
                    "--l0-target",
                    "2",
                    "--no-normalize",
                ],
            )
        ),
    ],
)
def test_architectures_train_and_load(tmp_path, capsys, options):
    tiny = ["--d-sae", "8", "--steps", "12", "--batch-size", "16", "--examples", "64"]
    status, _, errors = run("train", *ORTHOGONAL, *tiny, *options, "--out", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    records = json.loads((tmp_path / "a" / "results.json").read_text())["records"]
    for record in records:
        sae = formats.load(tmp_path / "a" / record["name"]).sae
        assert sae.d_sae == record["settings"].get("width", 8)
        assert np.isfinite(record["metrics"]["fvu"])
    assert len({record["metrics"]["fvu"] for record in records}) == len(records)


ROWS = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)


def activation_file(tmp_path, kind):
    import ml_dtypes
    import zarr
    from safetensors.numpy import save_file

    path = tmp_path / f"x{kind}"
    if kind == ".npy":
        np.save(path, ROWS)
    elif kind == ".npz":
        np.savez(path, other=ROWS[:1], acts=ROWS)
        return path, "acts"
    elif kind == ".safetensors":
        save_file({"acts": ROWS.astype(ml_dtypes.bfloat16), "other": ROWS[:1]}, path)
        return path, "acts"
    elif kind == ".zarr":
        zarr.save_array(str(path), ROWS)
    else:
        path = tmp_path / "group.zarr"
        zarr.open_group(str(path), mode="w").create_array("acts", data=ROWS)
    return path, None


@pytest.mark.parametrize("kind", [".npy", ".npz", ".safetensors", ".zarr", "group"])
def test_activation_files(tmp_path, kind):
    path, name = activation_file(tmp_path, kind)
    array = files.read_array(path, name)
    tolerance = 0.01 if kind == ".safetensors" else 0
    np.testing.assert_allclose(np.asarray(array, np.float32), ROWS, rtol=tolerance)
    assert isinstance(array, np.memmap) == (kind in (".npy", ".safetensors"))
    with pytest.raises(ConfigError, match="array"):
        files.read_array(path, "none")


def test_train_on_files_and_transcode(tmp_path, capsys):
    np.save(tmp_path / "x.npy", ROWS)
    np.savez(tmp_path / "y.npz", a=ROWS[:, :4] + 1, b=ROWS[:10])
    files = ["--activations", tmp_path / "x.npy", "--targets", tmp_path / "y.npz", "--targets-array"]
    status, _, errors = run("train", *files, "a", *TINY, "--out", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    assert formats.load(tmp_path / "a" / "seed=0", allow_pt=False).sae.d_out == 4
    status, _, errors = run("train", *files, "b", *TINY, "--out", tmp_path / "b", capsys=capsys)
    assert (status, "one row per example" in errors) == (2, True)
    np.save(tmp_path / "x.npy", ROWS + 1)  # other data under the same name
    status, _, errors = run("train", *files, "a", *TINY, "--out", tmp_path / "a", "--resume", capsys=capsys)
    assert (status, "x_sha256" in errors) == (2, True)


def bad_files(tmp_path):
    np.save(tmp_path / "good.npy", ROWS)
    whole = (tmp_path / "good.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-100])
    np.savez(tmp_path / "two.npz", a=ROWS, b=ROWS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:3000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    np.save(tmp_path / "object.npy", np.array([{"a": 1}, None], object), allow_pickle=True)
    np.savez(tmp_path / "object.npz", a=np.array([{"a": 1}], object))
    for name, array in {
        "nan": np.where(np.arange(6) == 2, np.nan, ROWS),
        "constant": np.ones((50, 6)),
        "empty": np.zeros((0, 6)),
        "flat": ROWS.ravel(),
        "words": np.array([["a", "b"]]),
        "complex": ROWS.astype(complex),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.csv").write_text("1,2")


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("none.npy", "no such file", 2),
        ("cut.npy", "cannot be read", 1),
        ("cut.npz", "cannot be read", 1),
        ("cut.safetensors", "cut.safetensors", 1),
        ("two.npz", "choose one with --array", 2),
        ("object.npy", "never loaded", 2),
        ("object.npz", "never loaded", 2),
        ("nan.npy", "row 0, column 2 is nan", 2),
        ("constant.npy", "constant", 2),
        ("empty.npy", "shape (0, 6)", 2),
        ("flat.npy", "shape (1200,)", 2),
        ("words.npy", "must be numbers", 2),
        ("complex.npy", "must be numbers", 2),
        ("folder", "no Zarr", 2),
        ("text.csv", "are read from", 2),
    ],
)
def test_bad_activations_are_one_line(tmp_path, capsys, name, said, expected):
    bad_files(tmp_path)
    arguments = ["train", "--activations", tmp_path / name, *TINY, "--out", tmp_path / "out"]
    status, printed, errors = run(*arguments, capsys=capsys)
    assert status == expected, errors
    assert said in errors
    assert errors.count("\n") == 0
    assert errors.startswith("superposition: error: ")
    assert printed == ""
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exactly one of"),
        ([*ORTHOGONAL, "--activations", "x.npy"], "exactly one of"),
        (["--planted", "orthogonl"], "did you mean orthogonal"),
        ([*ORTHOGONAL, "--architecture", "topkk"], "did you mean topk"),
        ([*ORTHOGONAL, "--architecture", "pca"], "topk"),
        ([*ORTHOGONAL, "--penalty", "3"], "penalty is not a setting of topk"),
        ([*ORTHOGONAL, "--architecture", "relu", "--k", "3"], "k is not a setting of relu"),
        ([*ORTHOGONAL, "--k", "99"], "k must be at most d_sae"),
        ([*ORTHOGONAL, "--k", "2", "6", "--width", "4", "8"], "k must be at most d_sae=4"),
        ([*ORTHOGONAL, "--k", "2", "2"], "twice"),
        ([*ORTHOGONAL, "--k", "0"], "k must"),
        ([*ORTHOGONAL, "--k", "nan"], "k must"),
        ([*ORTHOGONAL, "--l0-target", "3"], "set its k"),
        ([*ORTHOGONAL, "--d-sae", "8", "--width", "9"], "width must lie"),
        ([*ORTHOGONAL, "--d-sae", "0"], "d_sae"),
        ([*ORTHOGONAL, "--d-sae", "100000000"], "GB of memory, and this machine has"),
        ([*ORTHOGONAL, "--seed", "-1"], "seed"),
        ([*ORTHOGONAL, "--steps", "0"], "steps"),
        ([*ORTHOGONAL, "--batch-size", "1"], "batch_size"),
        ([*ORTHOGONAL, "--examples", "0"], "examples"),
        ([*ORTHOGONAL, "--learning-rate", "-1"], "learning_rate"),
        ([*ORTHOGONAL, "--skip"], "--targets"),
        ([*ORTHOGONAL, "--density", "0.1"], "goes with --toy"),
        ([*ORTHOGONAL, "--array", "a"], "goes with --activations"),
        ([*ORTHOGONAL, "--n-features", "99"], "d_in"),
        ([*ORTHOGONAL, "--matmul-dtype", "int8"], "matmul_dtype"),
        ([*ORTHOGONAL, "--data-seed", "-1"], "data_seed"),
        (["--toy", "none.zarr"], "not a Zarr store"),
        ([*ORTHOGONAL, "--sedes", "3"], "--sedes"),
    ],
)
def test_bad_settings_are_one_line_and_status_2(tmp_path, capsys, arguments, said):
    own = [] if "--d-sae" in arguments or "--width" in arguments else ["--d-sae", "8"]
    out = tmp_path / "out"
    status, printed, errors = run("train", *own, *arguments, "--out", out, capsys=capsys)
    assert status == 2, errors
    assert said in errors
    assert errors.count("\n") == 0
    assert printed == ""
    assert not list(tmp_path.iterdir())


def test_what_is_not_an_sae(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for command in (["eval", tmp_path / "folder", *ORTHOGONAL], ["show", tmp_path / "folder"]):
        status, _, errors = run(*command, capsys=capsys)
        assert status in (1, 2)
        assert "folder" in errors
        assert errors.count("\n") == 0
    for command in (
        ["eval", tmp_path / "none", *ORTHOGONAL],
        ["show", tmp_path / "none"],
        ["eval", *ORTHOGONAL],
    ):
        status, _, errors = run(*command, capsys=capsys)
        assert (status, errors.count("\n")) == (2, 0)
    status, _, errors = run("convert", tmp_path / "none", tmp_path / "b", capsys=capsys)
    assert (status, "no such" in errors) == (2, True)
    status, _, errors = run("convert", tmp_path / "none", tmp_path / "b", "--to", "saelen", capsys=capsys)
    assert (status, "did you mean saelens" in errors) == (2, True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text('{"superposition": 1')
    status, _, errors = run("show", tmp_path / "run", capsys=capsys)
    assert (status, "damaged" in errors) == (1, True)
    status, _, errors = run("train", *ORTHOGONAL, *TINY, capsys=capsys)
    assert (status, "--out" in errors) == (2, True)


def test_an_unwritable_or_full_disk_is_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    status, _, errors = run("train", *ORTHOGONAL, *TINY, "--out", tmp_path / "file" / "a", capsys=capsys)
    assert (status, errors.count("\n")) == (1, 0)
    out = tmp_path / "a"

    def full(path, array):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(training.np, "save", full)
        status, _, errors = run("train", *ORTHOGONAL, *TINY, "--out", out, capsys=capsys)
    assert (status, errors.count("\n")) == (1, 0)
    assert "No space left" in errors
    assert not out.exists()
    assert run("train", *ORTHOGONAL, *TINY, "--out", out, "--resume", capsys=capsys)[0] == 0
    assert out.exists()
    assert not out.with_name("a.partial").exists()


def test_one_that_diverges_alone_is_an_error_and_in_a_grid_a_fault(tmp_path, capsys):
    np.save(tmp_path / "x.npy", ROWS * np.float32(1e14))
    options = ["--activations", tmp_path / "x.npy", *TINY, "--architecture", "relu", "--k", "--no-normalize"]
    options += ["--penalty", "1e30"]  # its product with the latents is not finite
    status, _, errors = run("train", *options, "--out", tmp_path / "a", capsys=capsys)
    assert (status, "not finite" in errors, errors.count("\n")) == (1, True, 0)
    assert not (tmp_path / "a").exists()
    status, printed, errors = run(
        "train", *options, "--seed", "0", "1", "--out", tmp_path / "b", capsys=capsys
    )
    assert status == 0, errors
    assert "not finite" in printed
    records = json.loads((tmp_path / "b" / "results.json").read_text())["records"]
    assert all("step 0" in record["fault"] for record in records)
    formats.load(tmp_path / "b" / "seed=0")


COMMAND = [
    *(sys.executable, "-m", "superposition", "sae", "train", *ORTHOGONAL, "--d-sae", "8", "--k", "1", "2"),
    *("--seed", "0", "1", "--steps", "12000", "--batch-size", "64", "--examples", "1000"),
    *("--checkpoint-seconds", "0.05", "--memory-gb", "0.000045"),
]


def launch(out, *extra):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, "--out", str(out), *extra], **pipes)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_continue_and_changes_no_bit(
    tmp_path, capsys, interrupted_in_third, signum
):
    arguments = ["train", *ORTHOGONAL, *TINY, "--steps", "100", "--out"]
    assert run(*arguments, tmp_path / "whole", capsys=capsys)[0] == 0
    chunks = interrupted_in_third(signum)
    out = tmp_path / "a"
    status, _, errors = run(*arguments, out, capsys=capsys)
    assert (status, errors.count("\n")) == (128 + signum, 0)
    assert "--resume" in errors
    assert not out.exists()
    status, _, errors = run(*arguments, out, capsys=capsys)
    assert (status, "--resume" in errors) == (2, True)
    begun = len(chunks)
    assert run(*arguments, out, "--resume", capsys=capsys)[0] == 0
    assert chunks[begun] > 0  # from the checkpoint
    assert digests(out) == digests(tmp_path / "whole")
    for file in ("results.json", "history.json"):
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


@pytest.mark.slow
def test_kill_at_any_instant_then_resume_is_bit_identical(tmp_path):
    """Killed after a checkpoint, after a later one, and while the results are being written."""
    whole, out = tmp_path / "whole", tmp_path / "a"
    process = launch(whole)
    errors = process.communicate()[1].decode()
    assert process.returncode == 0, errors
    work, dice, before = tmp_path / "a.partial", np.random.default_rng(0), set()
    for instant in ("training/block-*/step-*", "training/block-*/step-*", "new/*"):
        process = launch(out, "--resume")
        while not set(work.glob(instant)) - before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.1) if "step" in instant else 0)
        process.kill()
        process.communicate()
        assert not out.exists()
        before = set(work.glob("training/block-*/step-*"))
        assert before
    process = launch(out, "--resume")
    errors = process.communicate()[1].decode()
    assert process.returncode == 0, errors
    assert digests(out) == digests(whole)
    for file in ("results.json", "history.json"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    assert not work.exists()


def test_a_script_plans_a_run():
    run_, axes = TrainConfig(k=(2.0, 4.0), learning_rate=(1e-3,), seed=(3,)).plan(6, None)
    assert (run_.sae.d_sae, run_.sae.k, run_.optimizer.learning_rate) == (24, 2, 1e-3)
    assert axes == {"k": (2, 4), "seed": (3,)}
