"""Byte order is no property of a number, and a name lost or a square out of range is said as what it is."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
import zarr

from superposition.activations import Batch, array_stream
from superposition.cli import main
from superposition.cli.sae.config import DataConfig
from superposition.cli.sae.data import open_data
from superposition.errors import ConfigError
from superposition.evaluation.sae import evaluate
from superposition.expected_loss import expected_loss, expected_losses, reference_loss
from superposition.expected_loss.by_count import losses_by_count
from superposition.expected_loss.stratified import stratified_loss
from superposition.features import Correlated
from superposition.llm.packing import token_array
from superposition.sae import TopK
from superposition.storage import formats
from superposition.theory.adversarial import along_rows
from superposition.toy import ReLUOutput
from superposition.typing import ToyParams

KEY = jax.random.key(0)
ROWS = np.random.default_rng(0).normal(size=(200, 6))
SAE = ["--architecture", "topk", "--k", "2", "--d-sae", "8", "--steps", "4", "--batch-size", "16"]


def run(*words, capsys):
    status = main.main([str(word) for word in words])
    return status, capsys.readouterr().err.strip()


def other(array):
    """The same numbers, the other byte order."""
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder())


def same(a, b):
    for one, two in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_training_on_either_order_gives_the_same_sae(tmp_path, capsys, dtype):
    found = []
    for name, turn in (("native", np.asarray), ("other", other)):
        x, y = turn((8 * ROWS).astype(dtype)), turn((8 * ROWS[:, :3]).astype(dtype))
        np.save(tmp_path / f"{name}.npy", x)
        np.savez(tmp_path / f"{name}.npz", y=y)
        files = ["--activations", tmp_path / f"{name}.npy", "--targets", tmp_path / f"{name}.npz"]
        status, errors = run("sae", "train", *files, *SAE, "--out", tmp_path / name, capsys=capsys)
        assert status == 0, errors
        result = json.loads((tmp_path / name / "results.json").read_text())["records"][0]
        found.append(
            (result["metrics"], safetensors.numpy.load_file(next((tmp_path / name).rglob("*.safetensors"))))
        )
    assert found[0][0] == found[1][0]
    same(found[0][1], found[1][1])


@pytest.mark.parametrize("kind", [".npy", ".npz", ".zarr", "F.npy"])
@pytest.mark.parametrize("limit", [1, 2**30])
def test_streams_of_files_are_the_same_in_memory_and_out_of_it(tmp_path, monkeypatch, kind, limit):
    monkeypatch.setattr("superposition.activations.opened.LOADED", limit)
    streams = []
    for name, turn in (("native", np.asarray), ("other", other)):
        x, path = turn(ROWS.astype(np.float32)), tmp_path / f"{name}{kind}"
        if kind == ".zarr":
            zarr.create_array(path, data=x)
        elif kind == ".npz":
            np.savez(path, x)
        else:
            np.save(path, np.asfortranarray(x) if kind == "F.npy" else x)
        streams.append(open_data(DataConfig(activations=path), train=True).stream)
    for step in (0, 7, 20):
        same(streams[0].batch(step, 16)[:2], streams[1].batch(step, 16)[:2])


def test_arrays_in_python():
    x, y = ROWS.astype(np.float32), ROWS[:, :2]
    same(array_stream(KEY, x, y).batch(3, 8), array_stream(KEY, other(x), other(y)).batch(3, 8))
    sae = TopK(d_in=6, d_sae=8, k=2)
    params = {name: np.asarray(value) for name, value in sae.init_params(KEY).items()}
    turned = {name: other(value) for name, value in params.items()}
    expected = evaluate(sae, params, [Batch(x, x)])
    found = evaluate(sae, turned, [Batch(other(x), other(x))])
    assert found.numbers == expected.numbers
    with tempfile.TemporaryDirectory() as folder:
        formats.save(Path(folder) / "a", sae, turned)
        same(formats.load(Path(folder) / "a").params, params)
    ids = np.arange(24).reshape(3, 8)
    same(token_array(other(ids), vocab=100).tokens, token_array(ids, vocab=100).tokens)


LOSSES = {
    "reference": lambda p, i, d: reference_loss(p, i, d, activation="relu"),
    "expected": lambda p, i, d: expected_loss(p, i, d, activation="relu"),
    "each": lambda p, i, d: expected_losses(p, d, activation="gelu"),
    "sets": lambda p, i, d: expected_loss(
        p, i, replace(Correlated(n_sets=1), density=d[:1]), activation="relu"
    ),
    "stratified": lambda p, i, d: stratified_loss(ReLUOutput(3, 2), p, i, d, key=KEY, examples=8),
    "by count": lambda p, i, d: losses_by_count(p, i, activation="relu"),
    "attack": lambda p, i, d: along_rows(ReLUOutput(3, 2), p, 1 - p.W, i, d[0]),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_take_either_order_in_every_argument(name, dtype):
    params = ToyParams(ROWS[:2, :3].astype(dtype), ROWS[3, :3].astype(dtype))
    importance, density = np.array([1, 0.5, 0.2], dtype), np.array([0.1, 0.2, 0.3], dtype)
    expected = LOSSES[name](params, importance, density)
    turned = ToyParams(*map(other, params))
    same(LOSSES[name](turned, other(importance), other(density)), expected)
    same(LOSSES[name](params, other(importance), other(density)), expected)


# --- dtypes that lost their names


def test_a_bfloat16_that_numpy_lost_is_said(tmp_path, capsys):
    bfloat16 = jax.numpy.bfloat16
    x = ROWS.astype(bfloat16)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x)
    np.save(tmp_path / "y.npy", ROWS.astype(jax.numpy.float8_e4m3fn))
    for name, was in (("x.npy", "bfloat16"), ("x.npz", "bfloat16"), ("y.npy", "float8")):
        for command in (["train", *SAE, "--out", tmp_path / "out"],):
            status, errors = run("sae", *command, "--activations", tmp_path / name, capsys=capsys)
            assert (status, errors.count("\n")) == (2, 0), errors
            assert f"loses the name of {was}" in errors
            assert "float32, or in .safetensors" in errors
    with pytest.raises(ConfigError, match="loses the name of bfloat16"):
        array_stream(KEY, np.load(tmp_path / "x.npy"))
    with pytest.raises(ConfigError, match=r"must be numbers; got dtype \[\('a', '<f4'\)"):
        array_stream(KEY, np.zeros((3, 4), [("a", "<f4"), ("b", "<f4")]))
    safetensors.numpy.save_file({"x": x}, tmp_path / "x.safetensors")
    assert run("sae", "train", *SAE, "--activations", tmp_path / "x.safetensors", "--out", tmp_path / "o",
               capsys=capsys)[0] == 0  # fmt: skip


# --- scales


SCALES = [
    (1e20, np.float32, r"go up to 3.\d*e\+20: sums of their squares overflow"),
    (1e37, np.float32, "overflow float32 from 1e"),
    (1e17, np.float32, "overflow"),
    (1e60, np.float64, "overflow"),
    (10**18, np.int64, "overflow"),
    (1e-20, np.float32, r"are 3.\d*e-20 at most: their squares underflow float32"),
    (1e-18, np.float32, "underflow"),
    (1e-42, np.float32, "underflow"),
    (1e-60, np.float64, "underflow"),
]


@pytest.mark.parametrize(("scale", "dtype", "said"), SCALES)
def test_numbers_whose_squares_are_out_of_range_are_said_so(tmp_path, capsys, scale, dtype, said):
    x = (ROWS * scale).astype(dtype)
    for arrays in ((x,), (ROWS, x)):
        with pytest.raises(ConfigError, match=said) as caught:
            array_stream(KEY, *arrays)
        assert "divide them by" in str(caught.value)
        assert not {"not finite", "all zero", "constant", "inf"} & set(str(caught.value).split())
    np.save(tmp_path / "x.npy", x)
    words = ["--activations", tmp_path / "x.npy", *SAE, "--out", tmp_path / "out"]
    status, errors = run("sae", "train", *words, capsys=capsys)
    assert (status, errors.count("\n")) == (2, 0), errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale", [1e-14, 1e-6, 1e6, 1e14])
def test_training_is_the_same_at_every_scale_that_is_accepted(scale):
    one, scaled = (array_stream(KEY, (ROWS * s).astype(np.float32)) for s in (1, scale))
    assert scaled.scales(50)[0] * scale == pytest.approx(one.scales(50)[0], rel=1e-5)
    sae = TopK(d_in=6, d_sae=8, k=2)
    params = sae.init_params(KEY)
    params = {**params, "b_dec": params["b_dec"] * 0, "b_enc": params["b_enc"] * 0}
    fvu = [evaluate(sae, params, [s.sample(200)]).numbers["fvu"] for s in (one, scaled)]
    assert fvu[0] == pytest.approx(fvu[1], rel=1e-4)


def test_numbers_that_float32_makes_one_are_said_so():
    with pytest.raises(ConfigError, match="one number in float32; subtract their mean"):
        array_stream(KEY, 1e9 + ROWS)


def test_a_stream_of_no_array_says_what_it_is():
    good = array_stream(KEY, ROWS.astype(np.float32))
    for scale, said in ((1e20, "overflow"), (1e-20, "underflow"), (np.inf, "not finite"), (0, "all zero")):
        stream = good._replace(inputs={**good.inputs, "x": good.inputs["x"] * np.float32(scale)})
        with pytest.raises(ConfigError, match=said):
            stream.scales(50)
