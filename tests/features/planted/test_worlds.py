"""Whole planted worlds: their rates, magnitudes, and independence, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from superposition.errors import ConfigError
from superposition.features import (
    PLANTED,
    Constant,
    Dictionary,
    GaussianCopula,
    Geometric,
    Hierarchical,
    Independent,
    Levels,
    NormalMagnitudes,
    Planted,
    SparseUniform,
    UniformMagnitudes,
    Zipf,
    key_words,
)
from tests.oracles.peers import peer
from tests.support.planted import (
    SIGMAS,
    TREES,
    WORDS,
    coefficients,
    frequencies_agree,
    of,
    sample,
    with_law,
)


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
    np.testing.assert_allclose(acts, x @ world.dictionary + world.bias[None], atol=1e-6)


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
