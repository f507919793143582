"""Every field of every recipe under values of every kind: a ConfigError in one line, or a recipe that can be used."""

import dataclasses
import json
import math
import warnings

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superposition.activations import planted_stream
from superposition.errors import ConfigError
from superposition.features import FEATURES, MAGNITUDES, PLANTED, RATES, Dictionary, Forest, Planted
from superposition.sae import ARCHITECTURES, TopK
from superposition.storage.formats import _recipe
from superposition.storage.provenance import recipe
from superposition.toy import TOY_MODELS, ReLUOutput
from superposition.training import Controller, SAERun, fit, sweep
from superposition.training.grid import parse
from superposition.training.optimizer import Adam, AdamW
from superposition.training.toy import ToyRun
from superposition.training.toy_axes import cells_at
from tests.oracles.hostile import hostile

KINDS = [
    *TOY_MODELS.values(), *FEATURES.values(), *ARCHITECTURES.values(), Planted, Dictionary, *RATES.values(),
    MAGNITUDES["normal"], Forest, Adam, AdamW, Controller, ToyRun,
    SAERun,
]  # fmt: skip
AXES = (
    "density", "sparsity", "importance", "importance_base", "seed", "learning_rate", "b1", "eps", "n_features", "n_hidden",
    "steps", "batch_size", "model", "init", "signed", "schedule", "nothing",
)  # fmt: skip


def refused_or(call):
    """The result of a call, or None where it is refused in one line."""
    said = ""
    result = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = call()
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 600
    return result


def usable(value):
    """The recipe hashes, serialises as finite JSON and compares, and what it says of sizes can be asked."""
    hash(value)
    assert value == dataclasses.replace(value)
    assert not any(
        isinstance(getattr(value, f.name), np.generic | np.ndarray | jax.Array)
        for f in dataclasses.fields(value)
    )
    json.dumps(recipe(value), allow_nan=False)
    if isinstance(value, ToyRun):
        assert np.isfinite(value.importance_vector()).all()
        assert ((value.density_vector() > 0) & (value.density_vector() <= 1)).all()
    if isinstance(value, tuple(ARCHITECTURES.values())):
        shapes = refused_or(lambda: _recipe.shapes(value))
        assert (shapes is None) == (value.d_in is None)  # data are still to say how wide it is
        assert all(n >= 0 for shape in (shapes or {}).values() for n in shape)
    if isinstance(value, Planted):
        assert np.isfinite(value.features.densities(value.n_features)).all()


def fields_of(kind):
    return [field.name for field in dataclasses.fields(kind)]


def one_recipe(data):
    kind = data.draw(st.sampled_from(KINDS))
    names = data.draw(st.lists(st.sampled_from(fields_of(kind)), min_size=1, max_size=2, unique=True))
    values = {name: data.draw(hostile()) for name in names}
    made = refused_or(lambda: kind(**values))
    if made is not None:
        usable(made)


def one_grid(data):
    names = data.draw(st.lists(st.sampled_from(AXES), min_size=1, max_size=2, unique=True))
    axes = {
        name: data.draw(st.one_of(hostile(), st.lists(hostile(), min_size=1, max_size=3))) for name in names
    }
    run = ToyRun(ReLUOutput(3, 2), steps=2, batch_size=8)
    parsed = refused_or(lambda: parse(run, axes))
    if parsed is not None:
        carried = [axis for axis in parsed if axis.carried]
        for leaf in jax.tree.leaves(cells_at(run, carried, np.zeros((1, len(carried)), int))):
            assert np.isfinite(leaf).all()
        assert all(axis.coordinate() is not None for axis in parsed)


PROFILES = {"recipe": one_recipe, "grid": one_grid}
COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=250, **COMMON)
@given(data=st.data())
def test_no_setting_ends_in_a_traceback(profile, data):
    PROFILES[profile](data)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=5000, **COMMON)
@given(data=st.data())
def test_no_setting_of_thousands_ends_in_a_traceback(profile, data):
    PROFILES[profile](data)


ARGUMENTS = {
    "fit": (
        lambda **k: fit(**{"run": SAERun(TopK(4, 6, k=1), steps=1, batch_size=4), "stream": STREAM} | k),
        ("run", "stream", "axes", "seed", "directory", "memory_gb", "checkpoint_seconds"),
    ),
    "sweep": (
        lambda **k: sweep(
            **{"run": ToyRun(ReLUOutput(2, 1), steps=1, batch_size=4), "axes": {"seed": [0]}} | k
        ),
        ("run", "axes", "out", "memory_gb", "checkpoint_seconds"),
    ),
}
STREAM = planted_stream(jax.random.key(0), PLANTED["orthogonal"].scaled(4, 4))
WRONG = (
    None,
    "x",
    b"x",
    1j,
    object(),
    [1],
    {"a": 1},
    {"seed": 3},
    {"seed": [0.5]},
    {"k": ["a"]},
    float("nan"),
    -1,
    np.zeros(2),
)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_training_are_refused_in_words(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, arguments = ARGUMENTS[name]
    for argument in arguments:
        for value in WRONG:
            usual = (value is None and argument in ("axes", "directory", "out")) or (
                isinstance(value, str) and argument in ("directory", "out")
            )
            if not usual:
                with pytest.raises(ConfigError) as refusal:
                    call(**{argument: value})
                assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ReLUOutput(n_features=2**32 - 1), "GB of memory"),
        (lambda: ReLUOutput(n_hidden=2**40), "GB of memory"),
        (lambda: SAERun(TopK(d_sae=2**40)), "GB of memory"),  # the recipe alone may be for a larger machine
        (lambda: Planted(dictionary=Dictionary(n_features=2**32 - 1)), "GB of memory"),
        (lambda: ToyRun(batch_size=2**40), "GB of memory"),
        (lambda: SAERun(TopK(512, 2**20), batch_size=2**24), "GB of memory"),
        (lambda: sweep(ToyRun(), {"seed": range(2**31)}), "GB of memory|list of values"),
    ],
)
def test_sizes_are_refused_with_the_memory_they_would_take(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_scalars_of_numpy_and_jax_are_numbers():
    model = ReLUOutput(n_features=np.int64(3), n_hidden=np.array(2))
    assert (model.n_features, model.n_hidden) == (3, 2)
    assert ToyRun(ReLUOutput(2, 1), importance=np.array(0.5)) == ToyRun(ReLUOutput(2, 1), importance=0.5)
    assert AdamW(eps=np.array(0.5)) == AdamW(eps=jax.numpy.float32(0.5)) == AdamW(eps=0.5)
    for wrong in (np.array([0.5]), (1,), [1], "1", 1j, None, math.nan):
        with pytest.raises(ConfigError, match="eps must be"):
            AdamW(eps=wrong)
    (axis,) = parse(ToyRun(), {"density": [np.array(0.5), jax.numpy.float32(0.25)]})
    assert axis.values == (0.5, 0.25)
