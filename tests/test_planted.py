import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from superposition.errors import ConfigError
from superposition.features import (
    PLANTED,
    Constant,
    Dictionary,
    Forest,
    GaussianCopula,
    Geometric,
    Hierarchical,
    Independent,
    Levels,
    Linear,
    NormalMagnitudes,
    Planted,
    SparseUniform,
    UniformMagnitudes,
    Zipf,
    key_words,
    mean_max_cosine,
    orthogonal,
    orthogonalized,
    random_unit,
    rates,
    uniform,
)
from superposition.features._draw import substream, uniform_at
from superposition.features._sparse import nth_feature, pack
from superposition.features.copula import copula, given_common, joint
from tests.oracles.peers import peer

SIGMAS = 5.0  # 5 sigma: p = 6e-7 a comparison, a few thousand comparisons, fixed seeds
WORDS = key_words(jax.random.key(11))
BROAD = NormalMagnitudes(first=5.0, last=4.0, std_mean=0.5, std_std=0.5)
TREES = Planted(
    Hierarchical(
        density=Levels(high=0.4, ratio=0.25, low=0.02),
        magnitudes=BROAD,
        roots=2,
        branching=3,
        depth=2,
        compensate="published",
        correlation_rank=3,
        correlation_scale=0.3,
    ),
    Dictionary(n_features=50, d_in=16),
    bias_norm=0.5,
)


def of(law, n, d_in=3):
    """A world of n features of a law."""
    return Planted(law, Dictionary(n, d_in))


def with_law(recipe, **changes):
    """The world with changes of its law."""
    return dataclasses.replace(recipe, features=dataclasses.replace(recipe.features, **changes))


def coefficients(recipe, world, words, step, batch):
    return recipe.draw(world, words, step, batch)[1]


def sample(recipe, batch=20_000, steps=10, first=0, world=None):
    """Coefficients of some steps, (steps * batch, n_features), float64."""
    world = recipe.build() if world is None else world
    draw = jax.jit(recipe.draw, static_argnums=3)
    return np.concatenate([np.asarray(draw(world, WORDS, first + s, batch)[1], float) for s in range(steps)])


def frequencies_agree(on, p):
    """Observed frequencies of columns lie within their binomial error of p."""
    error = np.sqrt(p * (1 - p) / len(on)) + 1e-9
    return np.all(np.abs(on.mean(0) - p) < SIGMAS * error)


# Dictionaries


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


# Rates


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


# The stream and the packed mask


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


# The copula


@pytest.mark.parametrize(("p", "q", "rho"), [(0.3, 0.1, 0.64), (0.05, 0.05, 0.64), (0.5, 0.2, -0.64)])
def test_joint_firing_is_the_bivariate_normal_orthant(p, q, rho):
    recipe = of(GaussianCopula(density=Linear(low=q, high=p), correlation_rank=1), 2, 2)
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


# The forest


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


# Whole worlds


@pytest.mark.parametrize("name", [n for n in PLANTED if n != "synth-sae-bench-16k"])
def test_presets_fire_as_often_as_they_say(name):
    recipe = PLANTED[name]
    world = recipe.build()
    on = sample(recipe, batch=5_000, steps=4, world=world) > 0
    assert frequencies_agree(on, recipe.features.firing_probabilities(recipe.n_features))


@pytest.mark.parametrize("compensate", ["no", "published"])
def test_trees_under_a_copula_fire_as_often_as_the_quadrature_says(compensate):
    recipe = with_law(TREES, compensate=compensate)
    law, n = recipe.features, recipe.n_features
    world = recipe.build()
    on = sample(recipe, batch=40_000, steps=5, world=world) > 0
    p = law.firing_probabilities(n, pairs=8192)
    assert frequencies_agree(on, p)
    coins = law.coins(law.densities(n)) * np.asarray(world.constants.magnitude.positive)
    independent = law.forest.marginals(coins)
    assert not frequencies_agree(on, independent)  # the copula matters here: parent and child are correlated
    parent = np.asarray(world.constants.parent)
    np.testing.assert_allclose(p[parent < 0], coins[parent < 0])


def test_exact_compensation_reaches_the_target_rates():
    law = PLANTED["hierarchy"].features
    assert law.compensate == "exact"
    np.testing.assert_allclose(law.firing_probabilities(40), law.densities(40), rtol=1e-6)
    traced = jax.jit(law.coins)(jnp.asarray(law.densities(40), jnp.float32))
    np.testing.assert_allclose(traced, law.coins(law.densities(40)), rtol=1e-5)


def test_magnitudes_are_normals_given_that_they_are_positive():
    recipe = of(Independent(density=Constant(1.5), magnitudes=NormalMagnitudes(2.0, 0.3, 0.5, 0.5)), 3)
    world = recipe.build()
    magnitude = world.constants.magnitude
    x = sample(recipe, batch=20_000, steps=5, world=world)
    for i in range(3):
        mean, std = float(magnitude.mean[i]), float(magnitude.std[i])
        law = stats.truncnorm(-mean / std, np.inf, mean, std)
        assert stats.kstest(x[:, i][x[:, i] > 0], law.cdf).pvalue > 1e-6
        p = 0.5 * stats.norm.cdf(mean / std)  # a magnitude of 0 is not firing
        assert frequencies_agree(x[:, [i]] > 0, p)
    assert float(magnitude.positive[2]) < 0.95
    uniform_world = with_law(recipe, magnitudes=UniformMagnitudes())
    x = sample(uniform_world, batch=20_000, steps=2)
    assert stats.kstest(x[x > 0], "uniform").pvalue > 1e-6
    assert abs(np.corrcoef(x[(x > 0).all(1)].T) - np.eye(3)).max() < SIGMAS / np.sqrt((x > 0).all(1).sum())


def test_parents_scale_their_children():
    law = Hierarchical(density=1.0, magnitudes=NormalMagnitudes(1.0, 1.0, 0.3), roots=1, branching=1, depth=2,
                       scale_children=True)  # fmt: skip
    recipe = of(law, 3)
    x = sample(recipe, batch=20_000, steps=2)
    plain = sample(with_law(recipe, scale_children=False), batch=20_000, steps=2)
    x, plain = (a[(a > 0).all(1)] for a in (x, plain))
    np.testing.assert_allclose(x, np.cumprod(plain, 1), rtol=1e-5)  # magnitude_mean is 1
    assert abs(np.corrcoef(plain.T)[0, 1]) < SIGMAS / np.sqrt(len(x))


def test_acts_are_the_coefficients_on_the_dictionary_plus_the_bias():
    world = TREES.build()
    acts, coefficients = jax.jit(TREES.draw, static_argnums=3)(world, WORDS, 3, 500)
    assert (acts.shape, coefficients.shape) == ((500, 16), (500, 50))
    np.testing.assert_allclose(acts, coefficients @ world.dictionary + world.bias, atol=1e-4)
    alone = TREES.features.coefficients(world.constants, WORDS, jnp.uint32(3), 500)
    np.testing.assert_array_equal(coefficients, alone)
    whole = jax.jit(TREES.features.draw, static_argnums=(3, 4))(
        world.constants, WORDS, jnp.uint32(3), 50, 500
    )
    np.testing.assert_allclose(whole.T, coefficients, rtol=1e-6)  # as a toy model meets them
    assert float(jnp.linalg.norm(world.bias)) == pytest.approx(0.5, rel=1e-5)
    assert float(coefficients.min()) == 0.0


def test_draws_are_a_function_of_words_and_step_alone():
    world = TREES.build()
    first = np.asarray(coefficients(TREES, world, WORDS, 5, 300))
    compiled = jax.jit(TREES.draw, static_argnums=3)(world, WORDS, jnp.uint32(5), 300)[1]
    np.testing.assert_allclose(compiled, first, rtol=1e-5)
    for words, step in ((WORDS, 6), (key_words(jax.random.key(12)), 5)):
        assert np.mean((np.asarray(coefficients(TREES, world, words, step, 300)) > 0) != (first > 0)) > 0.02
    other_seed = dataclasses.replace(TREES, seed=1).build()
    again = TREES.build()
    for a, b in zip(jax.tree.leaves(world), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(np.asarray(other_seed.dictionary) - np.asarray(world.dictionary)).max() > 0.1


def test_examples_and_steps_are_independent():
    x = (sample(TREES, batch=20_000, steps=2)[:, :10] > 0).astype(float)
    pairs = [(x[1:], x[:-1]), (x[:20_000], x[20_000:])]
    for a, b in pairs:
        between = np.corrcoef(a.T, b.T)[:10, 10:]
        assert np.max(np.abs(between)) < SIGMAS / np.sqrt(len(a))


def test_a_world_can_be_drawn_inside_a_scan_and_a_vmap():
    world = TREES.build()

    def body(total, step):
        return total + coefficients(TREES, world, WORDS, step, 50), None

    total, _ = jax.lax.scan(body, jnp.zeros((50, 50)), jnp.arange(3, dtype=jnp.uint32))
    parts = [coefficients(TREES, world, WORDS, s, 50) for s in range(3)]
    np.testing.assert_allclose(total, sum(parts), rtol=1e-5)
    words = jnp.stack([WORDS, key_words(jax.random.key(1))])
    both = jax.vmap(lambda w: TREES.draw(world, w, jnp.uint32(0), 50)[1])(words)
    np.testing.assert_allclose(both[0], coefficients(TREES, world, WORDS, 0, 50), rtol=1e-5)
    np.testing.assert_allclose(both[1], coefficients(TREES, world, words[1], 0, 50), rtol=1e-5)


def test_scaling_keeps_the_proportions():
    big = PLANTED["synth-sae-bench-16k"]
    small = big.scaled(n_features=2048, d_in=96)
    assert (small.n_features, small.d_in, small.features.roots, small.seed) == (2048, 96, 16, 42)
    assert small.features.forest.n_nodes / 2048 == big.features.forest.n_nodes / 16384
    law = small.features
    assert (law.density, law.correlation_rank, small.dictionary.kind) == (Zipf(), 25, "orthogonalized")
    bench = PLANTED["synth-sae-bench"]
    assert with_law(big.scaled(1024, 256), density=Zipf(low=8e-3)) == bench
    assert big.scaled(n_features=100).features.roots == 1
    with pytest.raises(ConfigError, match="the forest must fit"):
        big.scaled(n_features=50)


def test_any_law_is_planted_on_any_dictionary():
    recipe = of(SparseUniform(density=(0.1, 0.9)), 2, 5)
    world = recipe.build()
    acts, x = recipe.draw(world, WORDS, 0, 20_000)
    assert frequencies_agree(np.asarray(x) > 0, np.array([0.1, 0.9]))
    np.testing.assert_allclose(acts, x @ world.dictionary + world.bias, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Dictionary(n_features=0), "n_features must be an integer >= 1; got 0"),
        (lambda: Dictionary(d_in=2.5), "d_in must be an integer"),
        (
            lambda: Dictionary(kind="best"),
            "kind must be one of random, orthogonalized, orthogonal; got 'best'",
        ),
        (lambda: Dictionary(kind="orthogonal"), "needs? n_features <= d_in; got n_features=512 and d_in=256"),
        (lambda: of(SparseUniform(density=Zipf(high=1.5)), 3), r"high must lie in \(0, 1\]; got 1.5"),
        (lambda: of(SparseUniform(density=Zipf(low=0.5)), 3), "low must not exceed high"),
        (lambda: Zipf(low=float("nan")), "low must be finite"),
        (
            lambda: of(SparseUniform(density=Geometric(mean_active=200.0)), 512),
            "mean_active must be at most 99.4",
        ),
        (lambda: of(SparseUniform(density=Constant(600.0)), 512), "mean_active"),
        (lambda: of(SparseUniform(density=Levels()), 512), "by Levels are for Hierarchical"),
        (lambda: of(SparseUniform(density=(0.1, 0.2)), 3), "density must be one number or 3"),
        (lambda: of(Hierarchical(roots=200), 512), "the forest must fit in n_features"),
        (lambda: Hierarchical(roots=-1), "roots must be an integer >= 0"),
        (lambda: Hierarchical(branching=0), "branching"),
        (lambda: Hierarchical(exclusive=1), "exclusive must be True or False"),
        (lambda: Hierarchical(compensate=True), "compensate must be one of no, published, exact"),
        (lambda: GaussianCopula(correlation_rank=-1), "correlation_rank"),
        (lambda: GaussianCopula(correlation_scale=float("inf")), "correlation_scale must be finite"),
        (lambda: Independent(magnitudes="gamma"), "magnitudes must be of type Magnitudes"),
        (lambda: NormalMagnitudes(last=0.0), "last must lie in"),
        (lambda: NormalMagnitudes(std_mean=-0.1), "std_mean"),
        (lambda: Planted(bias_norm="long"), "bias_norm must be a number"),
        (lambda: Planted(seed=2**32), "seed"),
        (lambda: Planted(features="sharkey"), "features must be of type FeatureLaw"),
    ],
)
def test_bad_settings_are_refused_by_name(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_batch_too_large_for_the_stream_is_refused():
    world = TREES.build()
    with pytest.raises(ConfigError, match=r"must be below 2\^31"):
        coefficients(TREES, world, WORDS, 0, 2**30)
    with pytest.raises(ConfigError, match="batch_size"):
        TREES.draw(world, WORDS, 0, 0)


@pytest.mark.parametrize(("mean", "std"), [(1.0, 0.0), (5.0, 0.5)])
def test_recipes_are_hashable_and_extremes_stay_finite(mean, std):
    recipe = of(Independent(density=Constant(5.0), magnitudes=NormalMagnitudes(mean, mean, std)), 5)
    assert hash(recipe) == hash(dataclasses.replace(recipe))
    x = sample(recipe, batch=1000, steps=1)
    assert np.isfinite(x).all()
    assert (x > 0).all()
    if std == 0:
        np.testing.assert_allclose(x, mean)


# Against SAELens


@pytest.mark.peers
@pytest.mark.filterwarnings("default")  # theirs
def test_a_small_synth_sae_bench_fires_as_in_sae_lens():
    """The same rates, copula, forest and magnitudes in both generators give the same statistics."""
    synthetic = peer("sae_lens.synthetic")
    import torch

    recipe = PLANTED["synth-sae-bench-16k"].scaled(n_features=400, d_in=32)
    world, n, law = recipe.build(), recipe.n_features, recipe.features
    config = synthetic.HierarchyConfig(
        total_root_nodes=law.roots,
        branching_factor=law.branching,
        max_depth=law.depth,
        mutually_exclusive_portion=1.0,
        compensate_probabilities=True,
        scale_children_by_parent=True,
    )
    forest = synthetic.generate_hierarchy(n, config, seed=0)
    target = synthetic.zipfian_firing_probabilities(
        n, law.density.exponent, law.density.high, law.density.low
    )
    np.testing.assert_allclose(target, law.densities(n), rtol=1e-4)
    coins = (target * forest.compute_probability_correction_factors(target)).clamp(max=1.0)
    np.testing.assert_allclose(coins, law.coins(law.densities(n)), rtol=1e-4)

    def tensor(a):
        return torch.from_numpy(np.array(a))

    generator = synthetic.ActivationGenerator(
        n,
        coins,
        std_firing_magnitudes=tensor(world.constants.magnitude.std),
        mean_firing_magnitudes=tensor(world.constants.magnitude.mean),
        modify_activations=forest.modifier,
        correlation_matrix=(tensor(world.constants.copula.factor), tensor(world.constants.copula.noise) ** 2),
    )
    torch.manual_seed(0)
    theirs = np.concatenate([generator.sample(10_000).double().numpy() for _ in range(6)])
    ours = sample(recipe, batch=10_000, steps=6, world=world)

    def same(a, b):
        error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b)) + 2e-4  # rare features: a Poisson count or two
        return np.all(np.abs(a.mean(0) - b.mean(0)) < SIGMAS * error)

    on, their_on = (ours > 0).astype(float), (theirs > 0).astype(float)
    assert same(on, their_on)
    assert same(on.sum(1, keepdims=True), their_on.sum(1, keepdims=True))
    assert same(
        on.sum(1, keepdims=True) ** 2, their_on.sum(1, keepdims=True) ** 2
    )  # and the copula's spread of L0
    assert same(ours, theirs)
    assert same(ours**2, theirs**2)
    first = slice(0, 40)
    joint = [(a[:, first, None] * a[:, None, first]).reshape(len(a), -1) for a in (on, their_on)]
    assert same(*joint)
