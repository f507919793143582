"""Trees with every kind of leaf, and what is compared of them and of directories of checkpoints."""

import contextlib
import os
import shutil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superposition.storage import checkpoint, trees

STATE, MANIFEST = checkpoint.STATE, checkpoint.MANIFEST


class Params(NamedTuple):
    W: jax.Array
    b: jax.Array


def tree_of(step):
    """A small tree with every kind of leaf, all of it depending on the step."""
    rng = np.random.default_rng(step)
    return {
        "params": Params(jnp.asarray(rng.random((3, 4), np.float32)), jnp.asarray(rng.random(3, np.float32))),
        "moments": [rng.random((2, 3)), None, (rng.integers(0, 99, 5), np.zeros((0, 7), np.float32))],
        "half": jnp.asarray(rng.random(6), jnp.bfloat16),
        "key": jax.random.key(step),
        "keys": jax.random.split(jax.random.key(step), 2),
        "count": np.int64(step),
        "rate": 0.5 * step,
    }


LIKE = tree_of(0)


def bits(leaf):
    leaf = jax.random.key_data(leaf) if trees.is_key(leaf) else leaf
    return np.asarray(leaf).tobytes()


def assert_same(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert type(a) is type(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        assert np.shape(a) == np.shape(b)
        assert bits(a) == bits(b)


def temporaries(directory):
    return [name for name in os.listdir(directory) if name.startswith(".tmp-")]


def content(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@contextlib.contextmanager
def restored(directory, original):
    try:
        yield
    finally:
        shutil.rmtree(directory)
        for name, data in original.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(data)
