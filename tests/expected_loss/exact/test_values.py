"""The exact expected loss against rational arithmetic, the other method, and sampling."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.expected_loss import reference_loss
from tests.oracles.exact_loss import rational_losses, sampled_loss
from tests.support.exact_losses import METHODS, Params, loss_and_gradient, losses_of, toy

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


KINDS = ("random", "orthogonal", "antipodal", "duplicate", "trained", "nearly_trained", "small", "zero")


slow = partial(pytest.param, marks=pytest.mark.slow)


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
