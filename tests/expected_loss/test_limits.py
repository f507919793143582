"""Exact losses where slopes, weights or biases vanish, and arguments that are integers or do not fit."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.expected_loss import expected_loss, reference_loss
from superposition.expected_loss.by_count import count_weights, linear_terms, losses_by_count, one_active
from superposition.expected_loss.stratified import stratified_loss
from superposition.features import Anticorrelated, Correlated
from superposition.toy import AbsoluteValue, ReLUHidden
from superposition.typing import ToyParams

KEY = jax.random.key(0)
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
    options = {name: value for name, value in settings.items() if name != "law"}
    law = settings.get("law")
    with jax.enable_x64(double):

        def loss(b, p):
            features = replace(law, density=p) if law else p
            return expected_loss(
                ToyParams(jnp.zeros((1, n)), b), np.ones(n), features, activation="relu", **options
            )

        p = jnp.asarray(DENSITIES)
        slopes = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(jnp.zeros(n), p)
    share = (
        2 if isinstance(settings.get("law"), Anticorrelated) else 1
    )  # d/db E (x - b)^2 = -2 E x = -p / share
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


PAIR = ToyParams(np.array([[1.0, -1.0]]), np.array([0.0, 1.0]))
WHOLE = ToyParams(np.array([[1, -1]]), np.array([0, 1]))


def test_integer_parameters_have_the_loss_of_the_same_numbers():
    sampled = partial(stratified_loss, key=jax.random.key(0), examples=10)
    for loss in (
        lambda p: expected_loss(p, [0.5, 0.5], 0.3, activation="relu"),
        lambda p: expected_loss(p, 0.5, 0.3, activation="linear"),
        lambda p: losses_by_count(p, 0.5, activation="relu"),
        lambda p: one_active(p, 0.5, activation="relu"),
        lambda p: linear_terms(p.W, 0.5).interference,
        lambda p: sampled(ReLUHidden(2, 1), p, 0.5, 0.3).loss,
    ):
        whole = loss(WHOLE)
        assert np.abs(whole).max() > 0
        np.testing.assert_array_equal(whole, loss(PAIR))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": 1.5}, r"density must lie in \[0, 1\]; got 1.5"),
        ({"features": np.float64("nan")}, "density"),
        ({"features": jnp.asarray(-0.1)}, "density"),
        ({"features": [0.1, 0.2, 0.3]}, "density must be one number or 2"),
        ({"features": "a"}, "density must be numbers"),
        ({"features": Correlated(density=[0.1, 0.2, 0.3], n_sets=2)}, "density must be one number or 2"),
        ({"importance": np.ones(3)}, "importance must be one number or 2"),
        ({"importance": [1.0, -1.0]}, "importance must lie in"),
        ({"importance": [1.0, np.inf]}, "importance must lie in"),
        ({"importance": [[1.0], [1.0, 2.0]]}, "importance must be numbers"),
        ({"params": ToyParams(PAIR.W, np.zeros(3))}, "W must be"),
        ({"params": ToyParams(PAIR.W, 0.0)}, "W must be"),
        ({"params": ToyParams(PAIR.W[None], PAIR.b)}, "vmap"),
        ({"params": ToyParams(np.zeros((1, 0)), np.zeros(0))}, "n >= 1"),
        ({"params": ToyParams("a", PAIR.b)}, "parameters must be arrays"),
        ({"params": (PAIR.W, PAIR.b)}, "give ToyParams"),
        ({"nodes": 2.5}, "nodes must be an integer"),
        ({"nodes": True}, "nodes must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, said):
    given = {"params": PAIR, "importance": 1.0, "features": 0.3, "activation": "relu"} | change
    with pytest.raises(ConfigError, match=said):
        expected_loss(**given)
    with pytest.raises(ConfigError, match=said):
        reference_loss(**given)


def test_values_that_are_traced_pass_whatever_they_are():
    def loss(p, weight):
        return expected_loss(PAIR, weight, p, activation="linear")

    assert np.isfinite(jax.jit(jax.vmap(jax.grad(loss), (0, None)))(jnp.array([0.5, 1.5]), jnp.ones(2))).all()


def test_terms_refuse_what_does_not_fit():
    for call, said in (
        (lambda: linear_terms(PAIR.W[0], 1.0), "W must be"),
        (lambda: linear_terms(PAIR.W, np.ones(3)), "importance"),
        (lambda: losses_by_count(PAIR, np.nan, activation="relu"), "importance"),
        (lambda: losses_by_count(PAIR, np.ones((3, 2)), activation="relu"), "importance"),
        (lambda: losses_by_count(PAIR, 1.0, activation="relu", most=3), "most"),
        (lambda: count_weights([0.1, 0.2], 3, 2), "density must be a number"),
        (lambda: stratified_loss(ReLUHidden(3, 1), PAIR, 1.0, 0.1, key=KEY), "params of this ReLUHidden"),
        (
            lambda: stratified_loss(AbsoluteValue(2, 1), PAIR, 1.0, 0.1, key=KEY),
            "params of this AbsoluteValue",
        ),
        (lambda: stratified_loss(ReLUHidden(2, 1), PAIR, np.ones((2, 2)), 0.1, key=KEY), "importance"),
        (lambda: stratified_loss(ReLUHidden(2, 1), PAIR, 1.0, jnp.asarray(1.1), key=KEY), "density"),
    ):
        with pytest.raises(ConfigError, match=said):
            call()
