"""Where the widths of an SAE come from, and what is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import superposition as sp
from superposition.errors import ConfigError, TrainingError
from tests.support.trained import SAE, TOY, X


def test_widths_come_from_the_data_and_may_be_given():
    assert SAE.sae.d_in == 5
    assert sp.SAERun(sp.TopK(5, 8, k=2), X, steps=30, batch_size=32) == SAE
    transcoder = sp.SAERun(sp.TopK(d_sae=8, k=2), (X, X[:, :3]))
    assert (transcoder.sae.d_in, transcoder.sae.d_out) == (5, 3)
    later = sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=2), steps=30, batch_size=32), X, seed=1)
    np.testing.assert_array_equal(later.W_dec, sp.fit(SAE, seed=1).W_dec)
    with pytest.raises(ConfigError, match="d_in must be the width of the activations, 5; got 4"):
        sp.fit(sp.SAERun(sp.TopK(4, 8, k=2), X))
    with pytest.raises(ConfigError, match="d_in, the width of the data, must be an integer"):
        sp.TopK(d_sae=8, k=2).init_params(jax.random.key(0))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=2))), "SAEs are trained on data"),
        (lambda: sp.SAERun(sp.TopK(d_sae=8, k=2), "x.npy"), "data must be a stream of activations"),
        (lambda: sp.fit(TOY, X), "leave data out"),
        (lambda: sp.fit(sp.TopK(d_sae=8, k=2), X), "run must be .*ToyRun.*SAERun"),
        (lambda: sp.fit(TOY, seed=-1), "seed must be an integer"),
        (lambda: sp.fit(TOY, progress=3), "progress must be True, False or a function"),
        (lambda: sp.sweep(SAE, {}), "axes must name at least one axis"),
        (lambda: sp.sweep(SAE, {"seed": (0,)}, at_steps=(1,)), "are for toy models"),
        (lambda: sp.sweep(TOY, {"density": (0.1,)}, at_steps=(1,)), "the one axis is seed"),
        (lambda: sp.sweep(TOY, {"seed": (0, 1)}, start=[]), "the one axis is a seed"),
        (lambda: sp.sweep(TOY, {"seed": (0,)}, start=[1]), "start must be trained toy models"),
        (lambda: sp.evaluate(TOY), "evaluate takes a Trained"),
        (lambda: sp.save(1, "x"), "trained must be .*Trained"),
    ],
)
def test_bad_input_is_refused_by_name(act, said):
    with pytest.raises(ConfigError, match=said):
        act()


def test_a_toy_that_diverges_raises():
    with pytest.raises(TrainingError, match="not finite"):
        sp.fit(replace(TOY, optimizer=sp.AdamW(900.0), model=sp.Linear(6, 2), steps=200))
