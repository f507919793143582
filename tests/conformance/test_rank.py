"""Arrays of unlike rank are never combined silently: every axis that is broadcast is written down."""

import jax
import jax.numpy as jnp
import pytest

from superposition._internal.rank import lead
from tests.support.traced import everything

CALLS = dict(everything())


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_broadcast_that_is_not_written_down(name):
    with jax.numpy_rank_promotion(
        "raise"
    ):  # in quick tests it is; slow ones are let off by tests/conftest.py
        CALLS[name]()


def test_axes_in_front_are_added_and_numbers_left_alone():
    x = jnp.ones((2, 5, 3))
    with pytest.raises(ValueError, match="rank_promotion"):
        x + jnp.arange(3.0)
    assert (x + lead(jnp.arange(3.0), x))[1, 4].tolist() == [1, 2, 3]
    assert lead(2.0, x) == 2.0
    assert lead(x, x) is x
