"""Dictionaries of directions: unit, orthogonal, and as far apart as there is room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.features import (
    mean_max_cosine,
    orthogonal,
    orthogonalized,
    random_unit,
)


@pytest.mark.parametrize(("n", "d", "seed"), [(1, 1, 0), (1, 7, 1), (9, 1, 2), (40, 20, 3), (20, 40, 4)])
def test_rows_are_unit_whatever_the_shape(n, d, seed):
    key = jax.random.key(seed)
    for rows in (random_unit(key, n, d), orthogonalized(key, n, d, 3)):
        assert rows.shape == (n, d)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


def test_orthogonal_rows_are_orthonormal_and_need_room():
    rows = orthogonal(jax.random.key(0), 20, 30)
    np.testing.assert_allclose(rows @ rows.T, np.eye(20), atol=1e-6)
    with pytest.raises(ConfigError, match="n_features <= d_in; got n_features=31 and d_in=30"):
        orthogonal(jax.random.key(0), 31, 30)


@pytest.mark.parametrize(("n", "d"), [(60, 20), (20, 60)])
def test_orthogonalizing_follows_the_gradient_of_its_loss(n, d):
    """One Adam step moves every entry by learning_rate against the sign of the gradient, here by autodiff."""
    key, rate = jax.random.key(1), 1e-4

    def loss(v):
        dots = v @ v.T
        off = dots - jnp.diag(jnp.diagonal(dots))
        return jnp.sum(off**2) + n * jnp.sum((jnp.diagonal(dots) - 1) ** 2)

    before = random_unit(key, n, d)
    gradient = np.asarray(jax.grad(loss)(before))
    expected = np.asarray(before) - rate * np.sign(gradient)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    clear = np.abs(gradient) > 1e-3
    assert clear.mean() > 0.95
    np.testing.assert_allclose(
        np.asarray(orthogonalized(key, n, d, 1, rate))[clear], expected[clear], atol=2e-6
    )


def test_orthogonalizing_lowers_the_mean_max_cosine_and_respects_the_welch_bound():
    key, n, d = jax.random.key(2), 200, 50
    rho = [float(mean_max_cosine(orthogonalized(key, n, d, steps, 3e-3))) for steps in (0, 30, 300)]
    assert rho[1] < rho[0] - 0.04
    assert rho[2] < rho[0] - 0.04
    assert rho[2] > np.sqrt((n - d) / (d * (n - 1)))
    assert float(mean_max_cosine(orthogonalized(key, 20, 30, 300, 1e-2))) < 0.02


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_mean_max_cosine_in_blocks_is_the_definition(block):
    rows = 3.0 * jax.random.normal(jax.random.key(3), (65, 9))
    unit = np.asarray(rows, float) / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = np.abs(unit @ unit.T)
    np.fill_diagonal(cosine, 0.0)
    assert float(mean_max_cosine(rows, block=block)) == pytest.approx(cosine.max(1).mean(), abs=1e-6)
