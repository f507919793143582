"""The exact expected loss: limits, invariances, and what is refused."""

from functools import partial

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.expected_loss import enumeration, expected_loss, expected_losses, reference_loss, series
from tests.oracles.exact_loss import rational_losses
from tests.support.exact_losses import METHODS, Params, loss_and_gradient, losses_of, toy


def test_enumeration_is_homogeneous_down_to_underflow():
    """E (t z)_+^2 = t^2 E z_+^2, although the recursion takes seventh powers."""
    a, b, density = np.array([1.0, -0.3, 0.01, 0.5, -0.7]), -0.2, np.full(5, 0.3)
    mean = jax.jit(partial(enumeration.mean_positive_square, signed=False))
    value, tiny = (mean(t * a, t * b, density) for t in (1.0, 2.0**-300))
    assert np.isclose(float(tiny) * 2.0**600, value, rtol=1e-14)


def test_chunks_of_nodes_change_nothing(monkeypatch):
    arguments = toy("random", 5, 2), np.ones(5), np.full(5, 0.2)
    whole, gradient = loss_and_gradient(*arguments, method="series")
    monkeypatch.setattr(series, "_CHUNK", 25 * 15)  # 1024 nodes: 68 turns and a part of one more
    parts = jax.jit(jax.value_and_grad(partial(expected_loss, activation="relu", method="series")))(
        *arguments
    )
    for x, y in zip(jax.tree.leaves((whole, gradient[0])), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("density", [0.9, 0.5, 0.02])
def test_hand_picked_models_of_the_paper(density):
    """n = 2, m = 1: antipodal (1 + r) s^2 / 6, extra feature ignored r (s / 3 - s^2 / 4)."""
    importance = np.array([1.0, 0.6])
    antipodal = expected_loss(
        Params(np.array([[1.0, -1.0]]), np.zeros(2)), importance, density, activation="relu"
    )
    assert np.isclose(antipodal, 1.6 * density**2 / 6, rtol=1e-14)
    ignoring = Params(np.array([[1.0, 0.0]]), np.array([0.0, density / 2]))
    for activation in ("relu", "linear"):
        loss = expected_loss(ignoring, importance, density, activation=activation)
        assert np.isclose(loss, 0.6 * (density / 3 - density**2 / 4), rtol=1e-14)


@pytest.mark.parametrize("signed", [False, True])
def test_linear_model_against_sampling(signed):
    params, density = toy("random", 5, 2), np.linspace(0.1, 0.9, 5)
    generator = np.random.default_rng(0)
    x = generator.uniform(-1.0 if signed else 0.0, 1.0, (400_000, 5)) * (
        generator.random((400_000, 5)) < density
    )
    squared = (x - x @ params.W.T @ params.W - params.b) ** 2
    error = squared.std(axis=0) / np.sqrt(len(x))
    losses = expected_losses(params, density, activation="linear", signed=signed)
    assert (np.abs(losses - squared.mean(axis=0)) < 4 * error).all()


def test_linear_optimum():
    """Keeping the m most important features costs p / 3 - p^2 / 4 times the importance of the others."""
    importance = 0.7 ** np.arange(20)
    params = Params(np.eye(5, 20), np.where(np.arange(20) < 5, 0, 0.05))
    loss = expected_loss(params, importance, 0.1, activation="linear")
    assert np.isclose(loss, (0.1 / 3 - 0.01 / 4) * importance[5:].sum(), rtol=1e-13)


@pytest.mark.usefixtures("single_precision")
def test_reference_is_double_precision_wherever_it_is_called():
    params, importance = jax.tree.map(np.float32, toy("random", 5, 2)), np.ones(5)
    loss = reference_loss(params, importance, np.full(5, 0.3), activation="relu", nodes=1024)
    assert isinstance(loss, float)
    assert np.isclose(loss, rational_losses(*params, 0.3).sum(), rtol=1e-13)
    assert jnp.ones(()).dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "gelu"}, "gelu"),
        ({"activation": "relu", "method": "magic"}, "magic"),
        ({"activation": "relu", "method": "enumeration"}, "at most 10"),
        ({"activation": "relu", "nodes": 0}, "nodes must be an integer >= 1"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        expected_loss(toy("random", 11, 2), np.ones(11), 0.5, **arguments)


numbers = st.floats(-2, 2, allow_subnormal=False, width=32)


@st.composite
def problems(draw):
    n, m = draw(st.sampled_from([(2, 1), (5, 2)]))
    W = np.array(draw(st.lists(numbers, min_size=m * n, max_size=m * n))).reshape(m, n)
    b = np.array(draw(st.lists(numbers, min_size=n, max_size=n)))
    density = np.array(draw(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=n, max_size=n)))
    return Params(W, b), density


@hypothesis.settings(max_examples=60, derandomize=True, deadline=None)
@hypothesis.given(problems(), st.sampled_from(METHODS), st.floats(0, 6.3), st.randoms(use_true_random=False))
def test_invariances(problem, method, angle, random):
    params, density = problem
    n = len(params.b)
    losses = np.asarray(losses_of(params, density, method=method))
    tolerance = {"enumeration": 1e-12, "series": 1e-7}[method] * (1 + np.abs(params.W).max() ** 2) ** 2
    assert (losses >= -tolerance).all()

    order = random.sample(range(n), n)
    permuted = losses_of(Params(params.W[:, order], params.b[order]), density[order], method=method)
    np.testing.assert_allclose(permuted, losses[order], atol=tolerance)

    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = Params((turn if len(params.W) == 2 else -np.eye(1)) @ params.W, params.b)
    np.testing.assert_allclose(losses_of(turned, density, method=method), losses, atol=tolerance)

    # With next to nothing active, only the biases are left.
    silent = losses_of(params, 1e-12 * density, method=method)
    np.testing.assert_allclose(silent, np.maximum(params.b, 0) ** 2, atol=1e-9)


def test_loss_is_linear_in_importance():
    params = toy("random", 5, 2)
    importance, density = np.array([3.0, 1.0, 0.0, 0.5, 2.0]), np.full(5, 0.2)
    losses = losses_of(params, density, method="enumeration")
    loss, _ = loss_and_gradient(params, importance, density, method="enumeration")
    assert np.isclose(loss, importance @ losses, rtol=1e-13)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("density", [0.3, 0.05, 0.01])
def test_few_nodes_suffice_for_many_features_of_which_few_are_active(density, signed):
    # The largest sum of a row is then some fifty times what its z ever is.
    rng = np.random.default_rng(0)
    params = Params(rng.normal(size=(20, 200)) / 20, rng.normal(size=200) / 50 - 0.05)
    losses = [
        reference_loss(params, np.ones(200), density, activation="relu", nodes=nodes, signed=signed)
        for nodes in (64, 512)
    ]
    assert abs(losses[0] / losses[1] - 1) < 1e-5
