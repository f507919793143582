"""Rates, the counter-based stream, the packed mask and the copula of planted features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from superposition.errors import ConfigError
from superposition.features import (
    GaussianCopula,
    LinearRates,
    rates,
    uniform,
)
from superposition.features._draw import substream, uniform_at
from superposition.features._sparse import nth_feature, pack
from superposition.features.copula import copula, given_common, joint
from tests.support.planted import (
    SIGMAS,
    WORDS,
    frequencies_agree,
    of,
    sample,
)


def test_laws_of_the_rates():
    p = rates.zipf(1000, 0.5, 5e-4, 0.4)
    assert p[0] == pytest.approx(0.4)
    assert p[-1] == pytest.approx(5e-4)
    r = np.arange(1, 1001) ** -0.5
    np.testing.assert_allclose((p[:-1] - p[-1]) / (p[0] - p[-1]), ((r - r[-1]) / (1 - r[-1]))[:-1])
    assert rates.zipf(1, 0.5, 0.1, 0.4) == pytest.approx([0.4])
    np.testing.assert_allclose(rates.linear(5, 0.1, 0.3), [0.3, 0.25, 0.2, 0.15, 0.1])
    p = rates.geometric(512, 0.99, 5.0)
    assert p.sum() == pytest.approx(5.0)
    np.testing.assert_allclose(p[1:] / p[:-1], 0.99)
    np.testing.assert_allclose(rates.constant(8, 2.0), 0.25)
    with pytest.raises(ConfigError, match=r"mean_active must be at most 1\.998"):
        rates.geometric(10, 0.5, 3.0)
    with pytest.raises(ConfigError, match=r"low must not exceed high; got low=0\.5 and high=0\.4"):
        rates.zipf(10, 0.5, 0.5, 0.4)
    with pytest.raises(ConfigError, match="exponent"):
        rates.zipf(10, 0.0)


def test_positions_and_substreams_of_the_stream():
    u = uniform(WORDS, jnp.uint32(4), (5, 7)).reshape(-1)
    np.testing.assert_array_equal(uniform_at(WORDS, jnp.uint32(4), jnp.arange(35)), u)
    subs = [np.asarray(uniform(substream(WORDS, k), jnp.uint32(4), (50_000,)), float) - 0.5 for k in range(4)]
    correlation = np.corrcoef([*subs, np.roll(subs[0], 1)])
    assert np.all(np.abs(correlation - np.eye(5)) < SIGMAS / np.sqrt(50_000))


@given(
    n=st.sampled_from([1, 31, 32, 257, 600]),
    batch=st.sampled_from([1, 8]),
    density=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
def test_packed_masks_list_exactly_what_fires(n, batch, density):
    mask = np.random.default_rng(n * 10 + batch).random((n, batch)) < density
    active = jax.jit(pack)(jnp.asarray(mask))
    np.testing.assert_array_equal(active.total, mask.sum(0))
    most = int(mask.sum(0).max())
    ranks = sorted({k for k in (0, most // 2, most - 1) if k >= 0})
    find = jax.jit(nth_feature)
    listed = np.array([find(active, jnp.int32(k)) for k in ranks])
    for example in range(batch):
        truth = np.flatnonzero(mask[:, example])
        for row, k in zip(listed, ranks, strict=True):
            if k < len(truth):
                assert row[example] == truth[k]


@pytest.mark.parametrize(("p", "q", "rho"), [(0.3, 0.1, 0.64), (0.05, 0.05, 0.64), (0.5, 0.2, -0.64)])
def test_joint_firing_is_the_bivariate_normal_orthant(p, q, rho):
    recipe = of(GaussianCopula(density=LinearRates(low=q, high=p), correlation_rank=1), 2, 2)
    world = recipe.build()
    factor = jnp.array([[0.8], [np.sign(rho) * 0.8]])
    coins = world.constants.copula._replace(factor=factor, noise=jnp.array([0.6, 0.6]))
    world = world._replace(constants=world.constants._replace(copula=coins))
    np.testing.assert_allclose(joint(coins)[0, 1], stats.multivariate_normal(
        cov=[[1, rho], [rho, 1]]).cdf(-stats.norm.isf([p, q])), rtol=1e-5)  # fmt: skip
    on = sample(recipe, world=world, batch=40_000) > 0
    t = stats.norm.isf([p, q])
    both = stats.multivariate_normal(cov=[[1, rho], [rho, 1]]).cdf(-t)
    assert frequencies_agree(on, np.array([p, q]))
    assert frequencies_agree((on[:, 0] & on[:, 1])[:, None], both)
    assert abs(both - p * q) * len(on) > 100  # far from independence, or the test says nothing


def test_copula_is_a_correlation_matrix_with_exact_marginals():
    p = np.array([1.0, 0.5, 1e-3, 0.2])
    law = copula(jax.random.key(0), p, 5, 10.0)  # so strong that every row is shortened
    shared = np.sum(np.asarray(law.factor, float) ** 2, 1)
    np.testing.assert_allclose(shared, 0.99, rtol=1e-5)
    np.testing.assert_allclose(shared + np.asarray(law.noise) ** 2, 1.0, rtol=1e-5)
    np.testing.assert_allclose(law.quantile, stats.norm.isf(p), rtol=1e-5, atol=1e-6)
    weak = copula(jax.random.key(0), p, 5, 0.3)
    common = jax.random.normal(jax.random.key(1), (5, 400_000))
    given_e1 = np.asarray(given_common(weak, common), float)
    error = given_e1.std(1) / np.sqrt(400_000) + 1e-7
    assert np.all(np.abs(given_e1.mean(1) - p) < SIGMAS * error)
    assert np.all(given_e1.std(1)[1:] > 1e-4)
    free = copula(jax.random.key(0), p, 0, 0.3)
    np.testing.assert_allclose(given_common(free, jnp.zeros((0, 1)))[:, 0], p, rtol=1e-5)
