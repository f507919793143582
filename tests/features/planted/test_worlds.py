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
    Planted,
    key_words,
)
from tests.oracles.peers import peer
from tests.support.planted import SIGMAS, WORDS, frequencies_agree, sample

TREES = Planted(
    n_features=50,
    d_in=16,
    rates="level",
    low=0.02,
    high=0.4,
    level_ratio=0.25,
    roots=2,
    branching=3,
    depth=2,
    compensate="published",
    correlation_rank=3,
    correlation_scale=0.3,
    bias_norm=0.5,
)


@pytest.mark.parametrize("name", [n for n in PLANTED if n != "synth-sae-bench-16k"])
def test_presets_fire_as_often_as_they_say(name):
    recipe = PLANTED[name]
    world = recipe.build()
    on = sample(recipe, batch=5_000, steps=4, world=world) > 0
    assert frequencies_agree(on, recipe.firing_probabilities(world))


@pytest.mark.parametrize("compensate", ["no", "published"])
def test_trees_under_a_copula_fire_as_often_as_the_quadrature_says(compensate):
    recipe = dataclasses.replace(TREES, compensate=compensate)
    world = recipe.build()
    on = sample(recipe, batch=40_000, steps=5, world=world) > 0
    p = recipe.firing_probabilities(world, pairs=8192)
    assert frequencies_agree(on, p)
    independent = recipe.forest.marginals(recipe.coins() * np.asarray(world.positive))
    assert not frequencies_agree(on, independent)  # the copula matters here: parent and child are correlated
    parent = np.asarray(world.parent)
    np.testing.assert_allclose(p[parent < 0], (recipe.coins() * np.asarray(world.positive))[parent < 0])


def test_exact_compensation_reaches_the_target_rates():
    recipe = PLANTED["hierarchy"]
    assert recipe.compensate == "exact"
    np.testing.assert_allclose(recipe.firing_probabilities(recipe.build()), recipe.target_rates(), rtol=1e-6)


def test_magnitudes_are_normals_given_that_they_are_positive():
    recipe = Planted(
        n_features=3, d_in=3, rates="constant", mean_active=1.5, magnitude_first=2.0, magnitude_last=0.3
    )
    world = recipe.build()
    x = sample(recipe, batch=20_000, steps=5, world=world)
    for i in range(3):
        mean, std = float(world.magnitude_mean[i]), float(world.magnitude_std[i])
        law = stats.truncnorm(-mean / std, np.inf, mean, std)
        assert stats.kstest(x[:, i][x[:, i] > 0], law.cdf).pvalue > 1e-6
        p = 0.5 * stats.norm.cdf(mean / std)  # a magnitude of 0 is not firing
        assert frequencies_agree(x[:, [i]] > 0, p)
    assert float(world.positive[2]) < 0.95
    uniform_world = dataclasses.replace(recipe, magnitudes="uniform")
    x = sample(uniform_world, batch=20_000, steps=2)
    assert stats.kstest(x[x > 0], "uniform").pvalue > 1e-6
    assert abs(np.corrcoef(x[(x > 0).all(1)].T) - np.eye(3)).max() < SIGMAS / np.sqrt((x > 0).all(1).sum())


def test_parents_scale_their_children():
    recipe = Planted(n_features=3, d_in=3, rates="constant", mean_active=3.0, roots=1, branching=1, depth=2,
                     scale_children=True, magnitude_first=1.0, magnitude_last=1.0, std_mean=0.3, std_std=0.0)  # fmt: skip
    x = sample(recipe, batch=20_000, steps=2)
    plain = sample(dataclasses.replace(recipe, scale_children=False), batch=20_000, steps=2)
    x, plain = (a[(a > 0).all(1)] for a in (x, plain))
    np.testing.assert_allclose(x, np.cumprod(plain, 1), rtol=1e-5)  # magnitude_mean is 1
    assert abs(np.corrcoef(plain.T)[0, 1]) < SIGMAS / np.sqrt(len(x))


def test_acts_are_the_coefficients_on_the_dictionary_plus_the_bias():
    world = TREES.build()
    acts, coefficients = jax.jit(TREES.draw, static_argnums=3)(world, WORDS, 3, 500)
    assert (acts.shape, coefficients.shape) == ((500, 16), (500, 50))
    np.testing.assert_allclose(acts, coefficients @ world.dictionary + world.bias, atol=1e-4)
    np.testing.assert_array_equal(
        coefficients, jax.jit(TREES.coefficients, static_argnums=3)(world, WORDS, 3, 500)
    )
    assert float(jnp.linalg.norm(world.bias)) == pytest.approx(0.5, rel=1e-5)
    assert float(coefficients.min()) == 0.0


def test_draws_are_a_function_of_words_and_step_alone():
    world = TREES.build()
    first = np.asarray(TREES.coefficients(world, WORDS, 5, 300))
    compiled = jax.jit(TREES.coefficients, static_argnums=3)(world, WORDS, jnp.uint32(5), 300)
    np.testing.assert_allclose(compiled, first, rtol=1e-5)
    for words, step in ((WORDS, 6), (key_words(jax.random.key(12)), 5)):
        assert np.mean((np.asarray(TREES.coefficients(world, words, step, 300)) > 0) != (first > 0)) > 0.02
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
        return total + TREES.coefficients(world, WORDS, step, 50), None

    total, _ = jax.lax.scan(body, jnp.zeros((50, 50)), jnp.arange(3, dtype=jnp.uint32))
    parts = [TREES.coefficients(world, WORDS, s, 50) for s in range(3)]
    np.testing.assert_allclose(total, sum(parts), rtol=1e-5)
    words = jnp.stack([WORDS, key_words(jax.random.key(1))])
    both = jax.vmap(lambda w: TREES.draw(world, w, jnp.uint32(0), 50)[1])(words)
    np.testing.assert_allclose(both[0], TREES.coefficients(world, WORDS, 0, 50), rtol=1e-5)
    np.testing.assert_allclose(both[1], TREES.coefficients(world, words[1], 0, 50), rtol=1e-5)


def test_scaling_keeps_the_proportions():
    big = PLANTED["synth-sae-bench-16k"]
    small = big.scaled(n_features=2048, d_in=96, seed=3)
    assert (small.n_features, small.d_in, small.roots, small.seed) == (2048, 96, 16, 3)
    assert small.forest.n_nodes / 2048 == big.forest.n_nodes / 16384
    assert (small.exponent, small.correlation_rank, small.dictionary) == (0.5, 25, "orthogonalized")
    assert big.scaled(n_features=100).roots == 1
    with pytest.raises(ConfigError, match="the forest must fit"):
        big.scaled(n_features=50)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_features": 0}, "n_features must be an integer >= 1; got 0"),
        ({"d_in": 2.5}, "d_in must be an integer"),
        ({"dictionary": "best"}, "dictionary must be one of random, orthogonalized, orthogonal; got 'best'"),
        ({"dictionary": "orthogonal"}, "needs n_features <= d_in; got n_features=512 and d_in=256"),
        ({"rates": "zip"}, "rates must be one of zipf"),
        ({"high": 1.5}, r"high must lie in \(0, 1\]; got 1.5"),
        ({"low": 0.5}, "low must not exceed high"),
        ({"low": float("nan")}, "low must be finite"),
        ({"rates": "geometric", "mean_active": 200.0}, "mean_active must be at most 99.4"),
        ({"rates": "constant", "mean_active": 600.0}, "mean_active"),
        ({"roots": 100}, "the forest must fit in n_features"),
        ({"roots": -1}, "roots must be an integer >= 0"),
        ({"branching": 0}, "branching"),
        ({"exclusive": 1}, "exclusive must be True or False"),
        ({"compensate": True}, "compensate must be one of no, published, exact"),
        ({"correlation_rank": -1}, "correlation_rank"),
        ({"correlation_scale": float("inf")}, "correlation_scale must be finite"),
        ({"magnitudes": "gamma"}, "magnitudes must be one of"),
        ({"magnitude_last": 0.0}, "magnitude_last"),
        ({"std_mean": -0.1}, "std_mean"),
        ({"bias_norm": "long"}, "bias_norm must be a number"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, said):
    with pytest.raises(ConfigError, match=said):
        Planted(**settings)


def test_a_batch_too_large_for_the_stream_is_refused():
    world = TREES.build()
    with pytest.raises(ConfigError, match=r"must be below 2\^31"):
        TREES.coefficients(world, WORDS, 0, 2**30)
    with pytest.raises(ConfigError, match="batch_size"):
        TREES.draw(world, WORDS, 0, 0)


@pytest.mark.parametrize(("mean", "std"), [(1.0, 0.0), (5.0, 0.5)])
def test_recipes_are_hashable_and_extremes_stay_finite(mean, std):
    recipe = Planted(n_features=5, d_in=3, rates="constant", mean_active=5.0, std_mean=std, std_std=0.0,
                     magnitude_first=mean, magnitude_last=mean)  # fmt: skip
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
    world, n = recipe.build(), recipe.n_features
    config = synthetic.HierarchyConfig(
        total_root_nodes=recipe.roots,
        branching_factor=recipe.branching,
        max_depth=recipe.depth,
        mutually_exclusive_portion=1.0,
        compensate_probabilities=True,
        scale_children_by_parent=True,
    )
    forest = synthetic.generate_hierarchy(n, config, seed=0)
    target = synthetic.zipfian_firing_probabilities(n, recipe.exponent, recipe.high, recipe.low)
    np.testing.assert_allclose(target, recipe.target_rates(), rtol=1e-4)
    coins = (target * forest.compute_probability_correction_factors(target)).clamp(max=1.0)
    np.testing.assert_allclose(coins, recipe.coins(), rtol=1e-4)

    def tensor(a):
        return torch.from_numpy(np.array(a))

    generator = synthetic.ActivationGenerator(
        n,
        coins,
        std_firing_magnitudes=tensor(world.magnitude_std),
        mean_firing_magnitudes=tensor(world.magnitude_mean),
        modify_activations=forest.modifier,
        correlation_matrix=(tensor(world.copula.factor), tensor(world.copula.noise) ** 2),
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
