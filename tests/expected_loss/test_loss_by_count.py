"""The loss by number of active features, against quadrature, enumeration and the exact expected loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.expected_loss.by_count import count_weights, linear_terms, losses_by_count, one_active
from superposition.theory import variance
from superposition.typing import ToyParams


def _model(seed, n, m=2, scale=0.8):
    rng = np.random.default_rng(seed)
    return ToyParams(rng.normal(size=(m, n)) * scale, rng.normal(size=n) * 0.3), 0.5 + rng.random(n)


def _terms(params, importance, **kwargs):
    with jax.enable_x64(True):
        arrays = ToyParams(*(jnp.asarray(a, jnp.float64) for a in params))
        return np.asarray(losses_by_count(arrays, importance, **kwargs))


def _act(z, activation):
    return np.maximum(z, 0) if activation == "relu" else z


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_first_three_terms_are_the_integrals_of_the_definition(activation):
    params, importance = _model(0, 4)
    A, b, n = params.W.T @ params.W, params.b, 4

    def error(x):
        return float(importance @ (x - _act(A @ x + b, activation)) ** 2)

    def alone(x, j):
        return error(x * np.eye(n)[j])

    kinks = [np.sort(np.clip(-b / A[:, j], 0, 1)) for j in range(n)]
    first = sum(integrate.quad(alone, 0, 1, args=(j,), points=kinks[j])[0] for j in range(n))
    # Midpoints of a fine square: a plain oracle, whose error falls with the square of the spacing.
    middle = (np.arange(800) + 0.5) / 800
    u, v = np.meshgrid(middle, middle)
    second = 0.0
    for j in range(n):
        for k in range(j):
            x = np.zeros((n, u.size))
            x[j], x[k] = u.ravel(), v.ravel()
            second += (importance @ (x - _act(A @ x + b[:, None], activation)) ** 2).mean()
    found = _terms(params, importance, activation=activation)
    np.testing.assert_allclose(found[:2], [error(np.zeros(n)), first], rtol=1e-10)
    np.testing.assert_allclose(found[2], second, rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "activation"), [(5, "relu"), (5, "linear"), pytest.param(8, "relu", marks=pytest.mark.slow)]
)
def test_all_terms_add_up_to_the_exact_expected_loss(n, activation):
    params, importance = _model(n, n)
    terms = _terms(params, importance, activation=activation, most=n)
    for density in (0.003, 0.2, 0.7, 1.0):
        total = count_weights(density, n, n) @ terms
        exact = reference_loss(params, importance, density, activation=activation)
        assert total == pytest.approx(exact, rel=1e-11)


def test_the_pair_term_is_exact_where_slopes_or_biases_vanish():
    """Orthogonal features, a dead feature, zero bias, and a bend on the corner of the square."""
    W = np.array([[1.0, -1, 0, 0, 1e-9], [0, 0, 1, 0, 1]])
    b = np.array([0.0, -1.0, 0, 0.3, -0.25])
    with jax.enable_x64(True):
        params = ToyParams(jnp.asarray(W), jnp.asarray(b))
        pair = float(losses_by_count(params, 1.0, activation="relu")[2])
        every = losses_by_count(params, 1.0, activation="relu", most=5)
    # L(p) is a polynomial, so its terms also follow from the exact loss at six densities.
    p = np.array([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
    exact = [reference_loss(ToyParams(W, b), np.ones(5), d, activation="relu") for d in p]
    solved = np.linalg.solve(np.stack([count_weights(d, 5, 5) for d in p]), exact)
    assert pair == pytest.approx(solved[2], rel=1e-9)
    np.testing.assert_allclose(every, solved, rtol=1e-8, atol=1e-10)


def test_what_is_left_after_one_active_feature_falls_as_the_square_of_the_density():
    params, importance = _model(3, 5)
    terms = _terms(params, importance, activation="relu")
    p = np.array([1e-4, 1e-3])
    left = [
        reference_loss(params, importance, d, activation="relu") - count_weights(d, 5, 1) @ terms[:2]
        for d in p
    ]
    assert np.log10(left[1] / left[0]) == pytest.approx(2, abs=0.01)
    assert left[0] / p[0] ** 2 == pytest.approx(terms[2], rel=0.01)


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_gradients_are_those_of_finite_differences(activation):
    params, importance = _model(5, 4)
    with jax.enable_x64(True):
        flat = jnp.concatenate([jnp.asarray(params.W).ravel(), jnp.asarray(params.b)])

        @jax.jit
        def loss(x):
            arrays = ToyParams(x[:8].reshape(2, 4), x[8:])
            return losses_by_count(arrays, importance, activation=activation, most=2) @ jnp.arange(1.0, 4)

        slope = jax.grad(loss)(flat)
        step = 1e-5 * jnp.eye(12)
        numeric = [(loss(flat + e) - loss(flat - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-8)


def test_benefit_is_the_diagonal_and_negative_interference_is_free():
    pair = ToyParams(np.array([[1.0, -1.0]]), np.zeros(2))
    together = ToyParams(np.array([[1.0, 1.0]]), np.zeros(2))
    np.testing.assert_allclose(one_active(pair, 1.0, activation="relu"), np.zeros((2, 2)), atol=1e-7)
    off = (1 - np.eye(2)) / 3
    np.testing.assert_allclose(
        one_active(together, (1.0, 2.0), activation="relu"), off * [[1], [2]], atol=1e-7
    )
    np.testing.assert_allclose(one_active(pair, 1.0, activation="linear"), off, atol=1e-7)
    nothing = ToyParams(np.zeros((1, 2)), np.zeros(2))
    np.testing.assert_allclose(one_active(nothing, 1.0, activation="relu"), np.eye(2) / 3, atol=1e-7)


def test_the_linear_model_is_its_two_terms_times_the_variance_at_every_density():
    params, importance = _model(8, 6, m=3)
    benefit, interference = linear_terms(params.W, importance)
    for density in (0.02, 0.5, 1.0):
        best = (np.eye(6) - params.W.T @ params.W) @ np.full(6, density / 2)
        exact = reference_loss(ToyParams(params.W, best), importance, density, activation="linear")
        total = variance(density) * float(benefit.sum() + interference.sum())
        assert total == pytest.approx(exact, rel=1e-5)


def test_many_features_are_no_obstacle():
    params, importance = _model(9, 30, m=8, scale=0.3)
    found = _terms(params, importance, activation="relu")
    p = 1e-5
    exact = reference_loss(params, importance, p, activation="relu")
    assert count_weights(p, 30, 2) @ found == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation": "gelu"}, "gelu"),
        ({"most": 10}, "most"),
        ({"most": -1}, "most"),
        ({"most": 3}, "use most=2"),
        ({"importance": (1.0, 2.0)}, "importance"),
    ],
)
def test_what_is_not_accepted_is_named(change, words):
    params, _ = _model(1, 9)
    with pytest.raises(ConfigError, match=words):
        losses_by_count(params, **({"importance": 1.0, "activation": "relu"} | change))


def test_shapes_and_densities_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="W must be"):
        losses_by_count(ToyParams(np.ones((2, 3)), np.ones(4)), 1.0, activation="relu")
    with pytest.raises(ConfigError, match="density"):
        count_weights(1.5, 3, 2)
