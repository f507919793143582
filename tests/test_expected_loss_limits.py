"""Exact losses where slopes, weights or biases vanish, and arguments that are integers or do not fit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.expected_loss import expected_loss
from superposition.expected_loss.by_count import losses_by_count
from superposition.expected_loss.stratified import stratified_loss
from superposition.features import Anticorrelated, Correlated
from superposition.toy import ReLUHidden
from superposition.typing import ToyParams

DENSITIES = np.random.default_rng(1).random(100)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(
    ("n", "settings"),
    [
        (2, {}),
        (5, {"nodes": 8}),
        (4, {"law": Correlated(n_sets=2)}),
        (4, {"law": Anticorrelated(n_sets=2), "method": "series", "nodes": 8}),
    ],
    ids=["enumeration", "series", "correlated", "anticorrelated by series"],
)
def test_at_the_kink_the_gradient_is_that_of_an_open_relu_at_every_density(n, settings, double):
    with jax.enable_x64(double):

        def loss(b, p):
            return expected_loss(ToyParams(jnp.zeros((1, n)), b), np.ones(n), p, activation="relu", **settings)

        p = jnp.asarray(DENSITIES)
        slopes = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(jnp.zeros(n), p)
    share = 2 if isinstance(settings.get("law"), Anticorrelated) else 1  # d/db E (x - b)^2 = -2 E x = -p / share
    np.testing.assert_allclose(slopes, np.repeat(-DENSITIES[:, None] / share, n, 1), rtol=1e-4)


def test_the_loss_by_count_has_the_same_gradient_at_the_kink():
    def single(b):
        return losses_by_count(ToyParams(jnp.zeros((1, 3)), b), 1.0, activation="relu", most=1)[1]

    np.testing.assert_allclose(jax.grad(single)(jnp.zeros(3)), -1, rtol=1e-6)


@pytest.mark.parametrize(("double", "scale"), [(False, 1e-10), (False, 1e-12), (True, 1e-80)])
def test_tiny_weights_have_finite_gradients_and_the_loss_of_none(double, scale):
    rng = np.random.default_rng(0)
    with jax.enable_x64(double):
        W, b = jnp.asarray(scale * rng.normal(size=(2, 4))), jnp.asarray(0.1 * rng.normal(size=4))
        by_count = jax.jit(jax.value_and_grad(lambda p: losses_by_count(p, 1.0, activation="relu").sum()))
        sampled = partial(stratified_loss, ReLUHidden(4, 2), key=jax.random.key(0), examples=4)
        stratified = jax.jit(jax.value_and_grad(lambda p: sampled(p, 1.0, 0.1).loss))
        for function in (by_count, stratified):
            value, slopes = function(ToyParams(W, b))
            assert all(np.isfinite(s).all() for s in slopes)
            np.testing.assert_allclose(value, function(ToyParams(0 * W, b))[0], rtol=1e-6)
