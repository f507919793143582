"""A recovery score of one SAE is one number: from Python, from the command line, in memory and from disk."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition import SparseUniform, fit, metrics
from superposition.activations import planted_stream, toy_stream
from superposition.cli import main
from superposition.cli.sae.config import TrainConfig
from superposition.evaluation.sae import evaluate, held_out
from superposition.features import PLANTED
from superposition.storage import formats
from superposition.toy import ReLUOutput
from superposition.training import open_sweep
from superposition.typing import ToyParams
from tests.oracles.sae_cases import OWN, TRAINED

SCORES = ("mmcs", "mmcs_of_latents", "mcc", "uniqueness", "found")
EXAMPLES = 3000
WIDTH = 7


def flags(name):
    own = {k: v for k, v in OWN[name].items() if k != "d_sae"}
    pairs = ((f"--{k.replace('_', '-')}", v) for k, v in own.items())
    return [str(a) for flag, v in pairs for a in (flag, *(v if isinstance(v, tuple) else (v,)))]


@pytest.mark.parametrize("name", TRAINED)
def test_every_architecture_scores_the_same_from_python_as_from_the_command_line(name, tmp_path, capsys):
    world = PLANTED["correlated"].scaled(7, WIDTH)
    options = [*flags(name), "--d-sae", "9", "--steps", "20", "--batch-size", "32", "--seed", "3"]
    arguments = ["--planted", "correlated", "--n-features", "7", "--d-in", str(WIDTH), "--data-seed", "5"]
    arguments = ["--architecture", name, *arguments, *options, "--examples", str(EXAMPLES)]
    assert main.main(["sae", "train", *arguments, "--out", str(tmp_path / "o")]) == 0
    (record,) = json.loads((tmp_path / "o" / "results.json").read_text())["records"]

    stream = planted_stream(jax.random.key(5), world)
    config = main.parse(TrainConfig, arguments, prog="x")
    trained = fit(config.plan(WIDTH, None, 7)[0], stream, seed=3)
    read = formats.load(tmp_path / "o" / record["name"])
    truth = stream.dictionary
    np.testing.assert_array_equal(trained.params["W_dec"], read.params["W_dec"])
    for sae, params in ((read.sae, read.params), (trained.sae, trained.params)):
        assert evaluate(sae, params, stream, examples=EXAMPLES).numbers == pytest.approx(
            record["metrics"], rel=1e-5, nan_ok=True
        )
        W = params["W_dec"]
        for given in (W, np.asarray(W), jnp.asarray(W), np.asarray(W, np.float64)):
            for directions in (truth, jnp.asarray(truth)):
                scores = metrics.recovery_scores(given, directions)
                assert scores == {k: record["metrics"][k] for k in SCORES}  # to the last bit
                assert metrics.mmcs(given, directions) == record["metrics"]["mmcs"]
                assert metrics.mmcs(directions, given) == record["metrics"]["mmcs_of_latents"]
                assert metrics.mcc(given, directions) == record["metrics"]["mcc"]
    batches = list(held_out(stream, EXAMPLES, 9))
    a = np.concatenate([np.asarray(b.features) for b in batches])
    latents = np.concatenate([np.asarray(sae.reconstruct(params, b.x)[0]) for b in batches])
    assert metrics.classify(latents, a, W, truth).f1 == pytest.approx(record["metrics"]["f1"], abs=1e-3)
    capsys.readouterr()
    numbers = tmp_path / "n.json"
    data = [*arguments[2:10], "--examples", str(EXAMPLES)]
    assert main.main(["sae", "eval", str(tmp_path / "o"), *data, "--json", str(numbers)]) == 0
    (evaluated,) = json.loads(numbers.read_text())["saes"]
    assert {k: evaluated["metrics"][k] for k in (*SCORES, "f1")} == {
        k: record["metrics"][k] for k in (*SCORES, "f1")
    }


def test_features_that_a_toy_left_out_count_nowhere(tmp_path, capsys):
    toy = tmp_path / "a.zarr"
    sizes = ["--n-features", "6", "--n-hidden", "2", "--importance-base", "0.3", "--density", "0.5"]
    assert main.main(["sweep", *sizes, "--steps", "300", "--learning-rate", "0.01", "--out", str(toy)]) == 0
    options = ["--architecture", "topk", "--k", "1", "--steps", "50", "--examples", str(EXAMPLES)]
    assert main.main(["sae", "train", "--toy", str(toy), *options, "--out", str(tmp_path / "o")]) == 0
    (record,) = json.loads((tmp_path / "o" / "results.json").read_text())["records"]
    row = open_sweep(toy).isel(density=0, seed=0)
    params = ToyParams(jnp.asarray(row["W"].values), jnp.asarray(row["b"].values))
    assert (np.linalg.norm(params.W, axis=0) < 0.5).sum() > 0
    stream = toy_stream(jax.random.key(0), ReLUOutput(6, 2), params, SparseUniform(density=0.5))
    np.testing.assert_array_equal(stream.dictionary, np.load(tmp_path / "o" / "dictionary.npy"))
    batch = stream.batch(0, 64)
    assert batch.features.shape == (64, len(stream.dictionary))
    whole = stream._replace(kept=None).batch(0, 64)
    np.testing.assert_array_equal(batch.features, whole.features[:, stream.kept])
    np.testing.assert_allclose(batch.x, whole.features @ params.W.T, atol=1e-5)
    sae = formats.load(tmp_path / "o" / "seed=0")
    for name in ("mmcs", "mcc", "uniqueness"):
        score = getattr(metrics, name)(sae.params["W_dec"], stream.dictionary)
        assert score == record["metrics"][name]
    numbers = evaluate(sae.sae, sae.params, stream, examples=EXAMPLES).numbers
    assert numbers == pytest.approx(record["metrics"], rel=1e-6)


def test_a_transcoders_toy_stream_has_no_dictionary_and_all_features():
    params = ToyParams(jnp.array([[1.0, 0.1]]), jnp.zeros(2))
    stream = toy_stream(
        jax.random.key(0), ReLUOutput(2, 1), params, SparseUniform(density=0.5), target="output"
    )
    assert stream.dictionary is None
    assert stream.batch(0, 8).features.shape == (8, 2)


def test_jax_arrays_score_in_float64_like_numpys():
    """A cosine of 0.95 to float32's last digit was found as one kind of array and not as the other."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((40, 16), (30, 16)))
    for score in (metrics.mmcs, metrics.mcc, metrics.uniqueness):
        assert score(jnp.asarray(a), jnp.asarray(b)) == score(a, b) == score(a, jnp.asarray(b))
    one, other = metrics.shared(jnp.asarray(a), jnp.asarray(b)), metrics.shared(a, b)
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)
