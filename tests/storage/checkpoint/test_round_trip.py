"""Checkpoints: every tree comes back to the bit, and what does not fit is refused."""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from superposition.errors import ConfigError
from superposition.storage import checkpoint
from superposition.storage.trees import DTYPES
from tests.support.checkpoints import LIKE, STATE, Params, assert_same, tree_of

SHAPES = [(), (1,), (5,), (2, 3), (0,), (2, 0, 3), (1, 1, 2, 1)]


WIDE = {"int64", "uint64", "float64"}


@st.composite
def leaves(draw):
    shape, seed = draw(st.sampled_from(SHAPES)), draw(st.integers(0, 2**32 - 1))
    kind = draw(st.sampled_from(["numpy", "jax", "scalar", "strided", "key", "python", "none"]))
    if kind == "none":
        return None
    if kind == "python":
        return draw(st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats())
    if kind == "key":
        key = jax.random.key(seed, impl=draw(st.sampled_from(["threefry2x32", "rbg"])))
        return jax.random.split(key, shape) if shape and 0 not in shape else key
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    kind = "numpy" if kind == "jax" and dtype in WIDE else kind
    # Any bits at all: NaNs with payloads, infinities, negative zeros, subnormals.
    raw = np.random.default_rng(seed).bytes(2 * int(np.prod(shape)) * jnp.dtype(dtype).itemsize)
    array = np.frombuffer(raw, np.uint8) & 1 if dtype == "bool" else np.frombuffer(raw, np.uint8)
    array = array.view(jnp.dtype(dtype)).reshape(2, *shape)
    if kind == "strided":
        return array.reshape(*shape, 2)[..., 1].T
    array = array[0, ...]
    return jax.device_put(array) if kind == "jax" else array[()] if kind == "scalar" else array


names = st.text(max_size=3) | st.sampled_from(["__metadata__", "a']['b", "../x", "\ud800", "\0"])


trees = st.recursive(
    leaves(),
    lambda inner: (
        st.dictionaries(names, inner, max_size=3)
        | st.lists(inner, max_size=3)
        | st.builds(Params, inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(trees, st.integers(0, 10**12 - 1))
def test_round_trip_returns_the_same_bits(tree, step):
    with tempfile.TemporaryDirectory() as directory:
        path = checkpoint.save(directory, step, tree)
        got, metadata, at = checkpoint.load(directory, tree)
        assert path == Path(directory, f"step-{step:012d}")
        assert (at, metadata) == (step, {})
        assert_same(got, tree)


def test_special_floats_keep_their_bits(tmp_path):
    words = np.array([0x7FC00123, 0x7F800001, 0xFFC00000, 0x80000000, 0x00000001, 0xFF800000], np.uint32)
    tree = {"numpy": words.view(np.float32), "jax": jax.device_put(words.view(np.float32))}
    checkpoint.save(tmp_path, 0, tree)
    got = checkpoint.load(tmp_path, tree)[0]
    assert all(np.array_equal(np.asarray(leaf).view(np.uint32), words) for leaf in got.values())


def test_loaded_leaves_can_be_used(tmp_path):
    tree = tree_of(3)
    checkpoint.save(tmp_path, 3, tree)
    got = checkpoint.load(tmp_path, tree)[0]
    got["moments"][0][:] = 0  # a host array is writable
    assert bool(jax.random.key_data(jax.random.split(got["key"]))[0, 0] >= 0)
    assert not got["half"].committed
    put = jax.device_put(tree, jax.devices()[0])
    assert checkpoint.load(tmp_path, {**LIKE, "half": put["half"]})[0]["half"].committed


def test_abstract_like(tmp_path):
    tree = {"x": jnp.arange(3.0), "keys": jax.random.split(jax.random.key(1, impl="rbg"), 2)}
    checkpoint.save(tmp_path, 0, tree)
    assert_same(checkpoint.load(tmp_path, jax.eval_shape(lambda: tree))[0], tree)


def test_the_state_is_a_safetensors_file(saved):
    path = saved / "step-000000000002" / STATE
    with safetensors.safe_open(path, "numpy") as file:
        assert np.array_equal(file.get_tensor("['params'].W"), tree_of(2)["params"].W)


def test_relative_and_missing_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("a/b/c", 5, [1, 2.5, True])
    assert checkpoint.load(Path("a/b/c"), [0, 0.0, False]) == ([1, 2.5, True], {}, 5)
    assert checkpoint.latest("a/b/nothing") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"half": t["half"][:5]}, r"\['half'\].*\[6\].*\[5\]"),
        (lambda t: t | {"half": t["half"].reshape(2, 3)}, r"\['half'\]"),
        (lambda t: t | {"half": t["half"].astype(jnp.float16)}, r"\['half'\].*bfloat16.*float16"),
        (lambda t: t | {"count": np.int32(0)}, r"\['count'\].*int64.*int32"),
        (lambda t: t | {"rate": 1}, r"\['rate'\].*float64.*int64"),
        (lambda t: t | {"key": jax.random.key(0, impl="rbg")}, r"\['key'\].*fry.*rbg"),
        (lambda t: t | {"key": jax.random.key_data(t["key"])}, r"\['key'\]"),
        (lambda t: t | {"keys": t["key"]}, r"\['keys'\]"),
        (lambda t: t | {"more": np.zeros(2)}, r"\['more'\] is in `like` alone"),
        (lambda t: {k: v for k, v in t.items() if k != "half"}, r"\['half'\] is in the checkpoint alone"),
        (lambda t: t | {"params": tuple(t["params"])}, r"\['params'\]"),
        (lambda t: t | {"half": "text"}, r"\['half'\]"),
    ],
)
def test_a_tree_that_does_not_fit_is_named(saved, change, message):
    with pytest.raises(ConfigError, match=message):
        checkpoint.load(saved, change(LIKE))


@pytest.mark.parametrize(
    "leaf",
    ["text", object(), np.array([None]), np.zeros(2, np.complex128), np.zeros(2, ">f4"), 2**70, 1j, b"x",
     np.array(["a"]), np.zeros(2, [("a", "f4")]), np.ma.masked_array([1, 2], [0, 1]),
     np.datetime64("2026-01-01"), jnp.zeros(2, jnp.int4)],
)  # fmt: skip
def test_leaves_that_cannot_be_stored(tmp_path, leaf):
    with pytest.raises(ConfigError, match=r"\['x'\]"):
        checkpoint.save(tmp_path / "run", 0, {"x": leaf})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [(-1, {}), (10**12, {}), (1.0, {}), (True, {}), ("1", {}), (1, {}, [1]), (1, {}, {"a": float("nan")}),
     (1, {}, {1: 0, "1": 0}), (1, {}, {"a": object()}), (1, {}, {"a": np.float32(1)}),
     (1, {}, {"a": "x" * (9 << 20)})],
)  # fmt: skip
def test_arguments_that_cannot_be_stored(tmp_path, arguments):
    with pytest.raises(ConfigError):
        checkpoint.save(tmp_path / "run", *arguments)
    with pytest.raises(ConfigError):
        checkpoint.save(tmp_path / "run", 0, {}, keep=0)
    assert not (tmp_path / "run").exists()


def test_wide_arrays_are_not_narrowed(tmp_path):
    checkpoint.save(tmp_path, 0, [np.float64(0.1)])
    with pytest.raises(ConfigError, match="jax_enable_x64"):
        checkpoint.load(tmp_path, [jax.ShapeDtypeStruct((), np.float64)])


def test_two_leaves_of_one_name(tmp_path):
    class Twins:
        pass

    key = jax.tree_util.GetAttrKey("x")
    jax.tree_util.register_pytree_with_keys(Twins, lambda t: (((key, 1), (key, 2)), None), lambda *_: Twins())
    with pytest.raises(ConfigError, match="share"):
        checkpoint.save(tmp_path, 0, Twins())


@pytest.mark.parametrize(
    "metadata", [{}, {"a": [1, -0.0, None, {"b": "é\ud800\0"}], "z": 1e300, "": 2**80}, {"b": 1, "a": 2}]
)
def test_metadata(tmp_path, metadata):
    checkpoint.save(tmp_path, 0, {}, metadata)
    got = checkpoint.load(tmp_path, {})[1]
    assert repr(got) == repr(metadata)
