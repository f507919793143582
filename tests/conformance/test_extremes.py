"""Every configuration raises ConfigError or gives finite results: sizes, densities and importances at their ends."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from superposition.errors import ConfigError
from superposition.features import Anticorrelated, Correlated, SparseUniform
from superposition.toy import TOY_MODELS
from superposition.training import DIVERGED, DONE, sweep
from superposition.training.optimizer import AdamW
from superposition.training.toy import ToyRun

floats = st.floats(allow_subnormal=False, width=32)
density = st.one_of(st.sampled_from([1.0, 0.5, 1e-4, 1e-30, 0.0, -1.0, 2.0, float("nan")]), floats)
weights = st.one_of(st.sampled_from([0.0, 1.0, 1e-30, 1e30, -1.0, float("nan"), float("inf")]), floats)
SIZES = st.sampled_from(
    [(1, 1), (2, 1), (1, 3), (3, 2), (6, 2), (0, 1), (2, 0), (-1, 2)]
)  # few: each compiles


@st.composite
def runs(draw):
    """Settings for a run, good or bad, as keyword arguments to build it from."""
    n, m = draw(SIZES)
    law = draw(st.sampled_from([SparseUniform, Correlated, Anticorrelated]))
    return {
        "model": draw(st.sampled_from(sorted(TOY_MODELS))),
        "sizes": (n, m),
        "law": law,
        "density": draw(density),
        "importance": draw(st.one_of(weights, st.lists(weights, min_size=max(n, 1), max_size=max(n, 1)))),
        "importance_base": draw(weights),
        "learning_rate": draw(weights),
        "objective": draw(st.sampled_from(["sampled", "exact"])),
        "sampling": draw(st.sampled_from(["conditional", "plain"])),
    }


def build(s):
    model = TOY_MODELS[s["model"]](n_features=s["sizes"][0], n_hidden=s["sizes"][1])
    sets = {} if s["law"] is SparseUniform else {"n_sets": 2}
    return ToyRun(
        model,
        s["law"](density=s["density"], **sets),
        importance=s["importance"],
        importance_base=s["importance_base"],
        optimizer=AdamW(s["learning_rate"]),
        steps=3,
        batch_size=4,
        objective=s["objective"],
        sampling=s["sampling"],
    )


BASE = {
    "model": "relu-output",
    "sizes": (2, 1),
    "law": SparseUniform,
    "density": 0.5,
    "importance": 1.0,
    "importance_base": 1.0,
    "learning_rate": 1e-3,
    "objective": "sampled",
    "sampling": "conditional",
}


@given(runs())
@example(BASE | {"density": 1e-30})
@example(BASE | {"density": 1e-30, "objective": "exact"})
@example(BASE | {"importance": 0.0})
@example(BASE | {"importance": 1e30})
@example(BASE | {"importance_base": 0.0})
@example(BASE | {"learning_rate": 1e3})
@settings(max_examples=150)
def test_every_configuration_is_refused_or_finite(setting):
    try:
        run = build(setting)
    except ConfigError:
        return
    data = sweep(run, {"seed": (0, 2**32 - 1)})
    for name in run.model.shapes:
        assert np.isfinite(data[name]).all()
    assert set(np.unique(data["status"])) <= {DONE, DIVERGED}
    assert (np.isfinite(data["loss"]) | (data["status"] == DIVERGED)).all()
    if setting["learning_rate"] <= 1e-2 and np.max(np.abs(setting["importance"])) <= 1e6:
        assert (data["status"] == DONE).all()
        assert (data["loss"] >= -1e-6).all()


@pytest.mark.parametrize("value", [2**32, -1, 1.0, True, "0"])
def test_seeds_outside_32_bits_are_refused(value):
    with pytest.raises(ConfigError, match="seed"):
        sweep(build(BASE), {"seed": (value,)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "relu-hidden"}, "model must be of type ToyModel; got 'relu-hidden'"),
        ({"features": 0.1}, "features must be of type FeatureLaw"),
        ({"optimizer": "adam"}, "optimizer must be of type Adam or AdamW or GradientTransformation"),
        ({"importance": ["a"] * 20}, "importance must be a number"),
        ({"importance_base": [1.0, 2.0]}, "importance_base must be a number"),
    ],
)
def test_settings_of_another_kind_are_refused_by_name(change, said):
    with pytest.raises(ConfigError, match=said):
        ToyRun(**change)
