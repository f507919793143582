"""Features in a forest: who fires with whom, and that marginals are what they should be."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superposition.errors import ConfigError
from superposition.features import (
    Forest,
    Hierarchical,
    Levels,
)
from tests.support.planted import (
    of,
)


def test_features_are_numbered_breadth_first():
    forest = Forest(roots=2, branching=2, depth=2)
    assert (forest.n_nodes, forest.n_inner) == (14, 6)
    np.testing.assert_array_equal(forest.parents(16), [-1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, -1, -1])
    with pytest.raises(ConfigError, match="take 14 features, there are 13"):
        forest.parents(13)
    np.testing.assert_allclose(
        forest.level_rates(15, 0.4, 0.5, 0.01), [0.4] * 2 + [0.2] * 4 + [0.1] * 8 + [0.01]
    )


@pytest.mark.parametrize("roots", [0, 3])
@pytest.mark.parametrize("branching", [1, 2, 4])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("exclusive", [False, True])
def test_no_child_without_its_parent_and_no_two_exclusive_siblings(roots, branching, depth, exclusive):
    forest = Forest(roots, branching, depth, exclusive)
    n, random = forest.n_nodes + 3, np.random.default_rng(branching)
    coins = random.random((n, 200)) < 0.7
    on = np.asarray(
        forest.gate(jnp.asarray(coins), jnp.asarray(random.random((forest.n_inner, 200)), jnp.float32))
    )
    parent = forest.parents(n)
    assert on.shape == coins.shape
    assert np.all(on <= coins)
    np.testing.assert_array_equal(on[parent < 0], coins[parent < 0])
    for node in range(n):
        children = np.flatnonzero(parent == node)
        if len(children):
            heads = coins[children] & on[node]
            if exclusive:  # exactly one where any could: exclusion never silences a family
                np.testing.assert_array_equal(on[children].sum(0), heads.any(0))
            else:
                np.testing.assert_array_equal(on[children], heads)


def by_enumeration(coins):
    """P(i wins) among exclusive siblings with the given coins, by every outcome."""
    n = len(coins)
    result = np.zeros(n)
    for outcome in range(1, 2**n):
        heads = np.array([outcome >> i & 1 for i in range(n)], bool)
        result[heads] += np.prod(np.where(heads, coins, 1 - coins)) / heads.sum()
    return result


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=7))
def test_marginals_of_exclusive_siblings_are_exact(coins):
    forest = Forest(roots=1, branching=len(coins), depth=1)
    p = forest.marginals(np.array([0.3, *coins]))
    np.testing.assert_allclose(p, [0.3, *(0.3 * by_enumeration(np.array(coins)))], atol=1e-12)
    free = dataclasses.replace(forest, exclusive=False).marginals(np.array([0.3, *coins]))
    np.testing.assert_allclose(free, [0.3, *(0.3 * np.array(coins))], atol=1e-12)


@given(
    shares=st.lists(st.floats(0.001, 1.0), min_size=2, max_size=5),
    load=st.floats(0.05, 0.95),
    exclusive=st.booleans(),
)
def test_exact_compensation_keeps_the_marginals(shares, load, exclusive):
    forest = Forest(roots=1, branching=len(shares), depth=1, exclusive=exclusive)
    target = np.array([0.4, *(0.4 * load * np.array(shares) / np.sum(shares))])
    np.testing.assert_allclose(forest.marginals(forest.compensated(target)), target, rtol=1e-9)
    if not exclusive:
        np.testing.assert_allclose(forest.published(target), forest.compensated(target))


def test_published_compensation_overshoots_by_half_the_siblings_share():
    forest = Forest(roots=1, branching=3, depth=1)
    for scale in (1e-1, 1e-2, 1e-3):
        share = scale * np.array([1.0, 2.0, 0.5])
        target = np.array([0.4, *(0.4 * share)])
        error = forest.marginals(forest.published(target))[1:] / target[1:] - 1
        np.testing.assert_allclose(error, (share.sum() - share) / 2, rtol=5 * scale)


def test_compensation_that_cannot_be_exact_is_refused():
    with pytest.raises(ConfigError, match=r"children of feature 0 .* at most 0.999 times .* got 1.5 times"):
        of(Hierarchical(density=Levels(0.2, 0.75), roots=1, branching=2, depth=1, compensate="exact"), 3)
    with pytest.raises(ConfigError, match="at most 1 times"):
        of(Hierarchical(density=Levels(0.2, 1.1), compensate="exact", exclusive=False), 3)
