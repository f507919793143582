"""Axes that are none are refused before anything runs."""

import pytest

from superposition.errors import ConfigError
from superposition.training import sweep
from tests.support.sweeps import TINY


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"densty": (1.0,)}, "no axis named 'densty'; accepted: density"),
        ({"density": ()}, "non-empty"),
        ({"density": (0.0,)}, "(0, 1]"),
        ({"density": (float("nan"),)}, "finite"),
        ({"density": 0.5}, "list of values"),
        ({"density": (0.5,), "sparsity": (0.5,)}, "not both"),
        ({"seed": (2**32,)}, "seed"),
        ({"seed": (-1,)}, "seed"),
        ({"seed": (1.5,)}, "seed"),
        ({"importance": ((1.0, -1.0),)}, "importance"),
        ({"importance": ((1.0, 2.0, 3.0),)}, "2 of them"),
        ({"learning_rate": (-1.0,)}, "learning_rate"),
        ({"n_hidden": (0,)}, "n_hidden"),
        ({"model": ("tanh",)}, "linear, relu-output"),
        ({"batch_size": (0,)}, "batch_size"),
        ({}, "at least one axis"),
    ],
)
def test_bad_axes_are_refused_before_anything_runs(axes, said):
    with pytest.raises(ConfigError) as error:
        sweep(TINY, axes)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
