"""The exact expected loss against rational arithmetic, the other method, and sampling."""

from functools import partial
from typing import Any, NamedTuple

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.expected_loss import enumeration, expected_loss, expected_losses, reference_loss, series
from tests.oracles.exact_loss import rational_losses, sampled_loss

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
METHODS = ("enumeration", "series")
KINDS = ("random", "orthogonal", "antipodal", "duplicate", "trained", "nearly_trained", "small", "zero")


class Params(NamedTuple):
    W: Any
    b: Any


# Nearly all the time here is compilation, once for every shape and every set of static arguments as written
# down. So densities are (n,), static arguments keep the defaults given here, and the default run keeps to 2, 5
# and 8 features; `slow` has the other shapes.
_STATIC = ("activation", "method", "nodes", "signed")
losses_of = partial(
    jax.jit(expected_losses, static_argnames=_STATIC), activation="relu", nodes=4096, signed=False
)
loss_and_gradient = partial(
    jax.jit(jax.value_and_grad(expected_loss, argnums=(0, 1, 2)), static_argnames=_STATIC),
    activation="relu",
    nodes=None,
    signed=False,
)
slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture
def single_precision():
    """Asked for by tests that run with JAX's default dtypes; all others run in double precision."""


@pytest.fixture(autouse=True)
def precision(request):
    with jax.enable_x64("single_precision" not in request.fixturenames):
        yield


def toy(kind, n, m):
    """Weights that are hard in one particular way, with the biases that make them so."""
    generator = np.random.default_rng([n, m])
    noise, bias_noise = generator.normal(size=(m, n)), generator.normal(size=n)
    pairs = np.concatenate([np.eye(m), -np.eye(m), np.zeros((m, n))], axis=1)[:, :n]
    return {
        "random": Params(0.7 * noise, 0.3 * bias_noise),
        "orthogonal": Params(np.eye(m, n), np.full(n, 0.01)),
        "antipodal": Params(pairs, np.zeros(n)),
        "duplicate": Params(np.repeat(noise[:, :1], n, axis=1), np.zeros(n)),
        "trained": Params(np.eye(m, n) + 1e-3 * noise, 1e-4 * bias_noise),
        "nearly_trained": Params(1.02 * pairs + 0.02 * noise, 0.01 * bias_noise - 0.01),
        "small": Params(1e-3 * noise, 1e-7 * bias_noise),
        "zero": Params(np.zeros((m, n)), 0.1 * bias_noise),
    }[kind]


def relative_error(value, truth):
    return np.abs(np.asarray(value) - truth).sum() / np.abs(truth).sum()


@pytest.mark.parametrize(
    ("n", "m", "signed", "method"),
    [
        *((2, 1, signed, method) for signed in (False, True) for method in METHODS),
        *((5, 2, False, method) for method in METHODS),
        (5, 2, True, "enumeration"),
        slow(5, 2, True, "series"),
        *(slow(1, 1, signed, method) for signed in (False, True) for method in METHODS),
        *(slow(3, 2, signed, method) for signed in (False, True) for method in METHODS),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_both_methods_agree_with_exact_rational_arithmetic(kind, n, m, signed, method):
    params = toy(kind, n, m)
    tolerance = {"enumeration": 1e-13, "series": 1e-9}[method]
    for density in (*DENSITIES[:: 1 if n < 5 else 3], np.linspace(0.05, 0.9, n)):
        density = np.full(n, density)
        truth = rational_losses(*params, density, signed=signed)
        losses = losses_of(params, density, method=method, signed=signed)
        # Absolute floor: the error of a perfectly reconstructed feature is zero.
        assert np.abs(losses - truth).sum() <= tolerance * truth.sum() + 1e-16, density


@pytest.mark.parametrize("kind", KINDS)
def test_methods_agree_at_eight_features(kind):
    params = toy(kind, 8, 3)
    for density in DENSITIES:
        by_enumeration, by_series = (losses_of(params, np.full(8, density), method=m) for m in METHODS)
        assert relative_error(by_series, by_enumeration) < 1e-9, density


def test_eight_features_agree_with_exact_rational_arithmetic():
    params = toy("nearly_trained", 8, 3)
    truth = rational_losses(*params, 0.1)
    assert relative_error(losses_of(params, np.full(8, 0.1), method="enumeration"), truth) < 1e-12


@pytest.mark.parametrize(("n", "m", "decay"), [(20, 5, 0.7), (80, 20, 0.9)])
@pytest.mark.parametrize("density", [0.3, 0.03, 0.001])
def test_agrees_with_sampling(n, m, decay, density):
    importance = decay ** np.arange(n)
    params = toy("random", n, m)._replace(b=np.full(n, -0.05))
    params = params._replace(W=params.W / np.sqrt(m))
    estimate, error = sampled_loss(*params, importance, density, samples=100_000, seed=n)
    assert error < 0.01 * estimate  # or the comparison has no power
    loss = float(importance @ losses_of(params, density, nodes=64))
    assert abs(loss - estimate) < 4 * error


@pytest.mark.parametrize(
    ("n", "m", "method"),
    [(2, 1, "enumeration"), (5, 2, "enumeration"), (5, 2, "series"), *(slow(3, 2, m) for m in METHODS)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_against_finite_differences(kind, n, m, method):
    params = toy(kind, n, m)
    # Where a row of W^T W and its bias vanish together the loss has a kink, so keep the biases off zero.
    params = params._replace(b=params.b + 0.05)
    importance, density = np.linspace(1, 0.5, n), np.linspace(0.1, 0.6, n)
    arguments = params, importance, density
    loss, gradient = loss_and_gradient(*arguments, method=method)
    assert np.isclose(loss, importance @ losses_of(params, density, method="enumeration"), rtol=1e-6)
    generator = np.random.default_rng(0)
    for _ in range(4):
        direction = jax.tree.map(lambda x: generator.normal(size=x.shape), arguments)
        step = jax.tree.map(lambda d: 1e-5 * d, direction)
        ahead = loss_and_gradient(*jax.tree.map(jnp.add, arguments, step), method="enumeration")[0]
        behind = loss_and_gradient(*jax.tree.map(jnp.subtract, arguments, step), method="enumeration")[0]
        slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)))
        assert np.isclose(slope, (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("n", "m", "signed", "nodes"),
    [
        (5, 2, False, None),
        (2, 1, True, 16),
        *(slow(n, m, signed, None) for n, m in [(1, 1), (2, 1), (4, 2)] for signed in (False, True)),
    ],
)
def test_gradients_are_finite_everywhere(n, m, signed, nodes, method):
    for kind in KINDS:
        for bias in (0.0, 1.0):
            params = toy(kind, n, m)
            params = params._replace(b=bias * params.b)
            for density in (1.0, 0.3, 0.0):
                for scale in (1.0, 1e-30, 1e-170):
                    scaled = Params(scale * params.W, scale * params.b)
                    values = loss_and_gradient(
                        scaled, np.ones(n), np.full(n, density), method=method, nodes=nodes, signed=signed
                    )
                    leaves = jax.tree.leaves(values)
                    assert all(np.isfinite(leaf).all() for leaf in leaves), (kind, bias, density, scale)


@pytest.mark.usefixtures("single_precision")
@pytest.mark.parametrize(("n", "m"), [(2, 1), (5, 2), slow(3, 2), slow(8, 3), slow(20, 5)])
def test_single_precision_is_good_enough_to_train_on(n, m):
    importance = np.float32(0.7) ** np.arange(n, dtype=np.float32)
    for kind in KINDS:
        params = jax.tree.map(np.float32, toy(kind, n, m))
        for density in np.float32(DENSITIES[::2]):
            density = np.full(n, density)
            loss, gradient = loss_and_gradient(params, importance, density)
            truth = reference_loss(params, importance, density, activation="relu", nodes=1024)
            assert loss.dtype == jnp.float32
            # The second term is rounding: an antipodal pair loses only density^2, from terms of size density.
            assert abs(loss - truth) <= 1e-4 * truth + 1e-7 * density[0], (kind, density[0])
            with jax.enable_x64(True):
                wide = jax.tree.map(np.float64, (params, importance, density))
                _, exact = loss_and_gradient(*wide, method="enumeration" if n <= 3 else "series")
            for ours, theirs in zip(gradient[0], exact[0], strict=True):
                ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs)
                tolerance = (1e-4 if n <= 3 else 1e-2) * max(np.abs(theirs).max(), density[0])
                assert np.abs(ours - theirs).max() <= tolerance, (kind, density[0])


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
