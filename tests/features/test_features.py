import hashlib
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from superposition.errors import ConfigError
from superposition.features import (
    FEATURES,
    Anticorrelated,
    Bernoulli,
    Correlated,
    SparseUniform,
    key_words,
    thresholds,
    uniform,
)

N, DRAWS = 6, 100_000
SIGMAS = 5.0  # 5 sigma: p = 6e-7 a comparison, a few hundred comparisons, fixed seeds
LAWS = [
    SparseUniform(density=1.0),
    SparseUniform(density=0.3),
    SparseUniform(density=0.01, signed=True),
    SparseUniform(density=(0.1, 0.5, 0.9, 0.2, 1.0, 0.3)),
    Correlated(density=0.2, n_sets=2),
    Correlated(density=0.4, n_sets=3, signed=True),
    Anticorrelated(density=0.3, n_sets=3),
    Anticorrelated(density=(0.9, 0.2), n_sets=2),
]


def within(samples, expected, sigmas=SIGMAS):
    """Sample means of products agree with their expectations in units of their own standard error."""
    error = samples.std(0) / np.sqrt(len(samples)) + 1e-9
    return np.all(np.abs(samples.mean(0) - expected) < sigmas * error)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("conditional", [False, True])
def test_first_and_second_moments_are_exact(law, conditional):
    x = np.asarray(law.sample(jax.random.key(1), N, DRAWS, conditional=conditional), np.float64)
    scale = float(law.constants(law.densities(N)).any[0]) if conditional else 1.0
    assert within(x * scale, law.mean(N))
    products = (x[:, :, None] * x[:, None, :]).reshape(DRAWS, -1) * scale
    assert within(products, law.second_moment(N).ravel())


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_conditional_draws_always_fire_and_match_the_conditioned_plain_draw(law):
    conditional = np.asarray(law.sample(jax.random.key(2), N, 50_000, conditional=True))
    assert (conditional != 0).any(1).all()
    plain = np.asarray(law.sample(jax.random.key(3), N, 1_000_000 if np.min(law.density) < 0.1 else 200_000))
    plain = plain[(plain != 0).any(1)]
    for active in range(1, N + 1):  # the number of active features, and the values of the last feature
        a, b = ((s != 0).sum(1) == active for s in (conditional, plain))
        error = np.sqrt(a.mean() * (1 - a.mean()) / len(a) + b.mean() * (1 - b.mean()) / len(b)) + 1e-9
        assert abs(a.mean() - b.mean()) < SIGMAS * error
    values = conditional[:, -1][conditional[:, -1] != 0], plain[:, -1][plain[:, -1] != 0]
    assert stats.ks_2samp(*values).pvalue > 1e-6


@pytest.mark.parametrize("density", [1.0, 0.3, 1e-2, 1e-3, 1e-4])
def test_values_are_uniform_at_any_density_without_loss_of_resolution(density):
    rows, batch = 50, 400_000
    x = np.asarray(SparseUniform(density=density).sample(jax.random.key(4), rows, batch)).ravel()
    active = x[x != 0]
    count = rows * batch
    assert abs(len(active) - count * density) <= SIGMAS * np.sqrt(count * density * (1 - density)) + 3
    assert stats.kstest(active[:20_000], "uniform").pvalue > 1e-6
    assert active.max() <= 1.0
    # Distinct values: a sampler with 24 bits a uniform would offer only 2^24 * density of them.
    some = active[:2_000]
    assert len(np.unique(some)) > len(some) * 0.999


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("conditional", [False, True])
def test_boolean_features_are_off_or_of_unit_size(signed, conditional):
    x = np.asarray(
        Bernoulli(density=0.3, signed=signed).sample(jax.random.key(5), N, DRAWS, conditional=conditional)
    )
    assert set(np.unique(x)) == ({-1.0, 0.0, 1.0} if signed else {0.0, 1.0})
    p = 0.3 / (1 - 0.7**N if conditional else 1)
    expected = np.array([p / 2, p / 2] if signed else [0.0, p])  # P(x = -1), P(x = 1)
    observed = np.array([(x == -1).mean(), (x == 1).mean()])
    assert np.all(np.abs(observed - expected) < SIGMAS * np.sqrt(p / x.size))


def test_one_draw_serves_every_density_with_nested_masks():
    u = uniform(key_words(jax.random.key(5)), jnp.uint32(0), (N + 1, 10_000))
    masks = [
        np.asarray(SparseUniform().transform(u, thresholds(jnp.full((N, 1), p)), N, conditional=False)) != 0
        for p in (0.01, 0.1, 0.5, 1.0)
    ]
    for fewer, more in pairwise(masks):
        assert (fewer <= more).all()
        assert (fewer < more).any()


def test_uniforms_are_independent_across_positions_steps_and_seeds():
    words = key_words(jax.random.key(6))
    a = np.asarray(uniform(words, jnp.uint32(0), (100_000,)), np.float64) - 0.5
    b = np.asarray(uniform(words, jnp.uint32(1), (100_000,)), np.float64) - 0.5
    c = np.asarray(uniform(key_words(jax.random.key(7)), jnp.uint32(0), (100_000,)), np.float64) - 0.5
    for other in (b, c, np.roll(a, 1), np.roll(a, 17), np.roll(b, 1)):
        for f, g in ((a, other), (a**2 - 1 / 12, other**2 - 1 / 12)):
            assert abs(np.corrcoef(f, g)[0, 1]) < SIGMAS / np.sqrt(len(a))
    # Consecutive steps of one stream, at one position: the training loop's view.
    steps = np.asarray(jax.vmap(lambda i: uniform(words, i, (4,)))(jnp.arange(50_000, dtype=jnp.uint32)))
    assert stats.kstest(steps[:, 0], "uniform").pvalue > 1e-6
    assert abs(np.corrcoef(steps[:-1, 1], steps[1:, 1])[0, 1]) < SIGMAS / np.sqrt(50_000)
    pairs = np.histogram2d(a[:-1], a[1:], bins=16)[0].ravel()
    assert stats.chisquare(pairs).pvalue > 1e-6


def test_many_cells_draw_what_each_draws_alone():
    words = jnp.stack([key_words(jax.random.key(s)) for s in range(3)])
    step = jnp.uint32(9)
    first = uniform(words, step, (4, 5))
    last = uniform(words, step, (4, 5), cells_last=True)
    for cell in range(3):
        alone = uniform(words[cell], step, (4, 5))
        np.testing.assert_array_equal(first[cell], alone)
        np.testing.assert_array_equal(last[..., cell], alone)


def test_golden_bits_of_the_stream():
    """If this fails, every seed now means another experiment: say so in the changelog, then update."""
    u = np.asarray(uniform(key_words(jax.random.key(0)), jnp.uint32(3), (7, 11)))
    assert hashlib.sha256(u.tobytes()).hexdigest()[:16] == "7486c11ab0433e41"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"density": 0.5, "sparsity": 0.5}, "not both"),
        ({"density": 0.0}, "(0, 1]"),
        ({"density": 1.5}, "(0, 1]"),
        ({"density": float("nan")}, "finite"),
        ({"density": -1.0}, "(0, 1]"),
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": -0.1}, "sparsity"),
        ({"density": "half"}, "number"),
        ({"density": ()}, "non-empty"),
    ],
)
def test_bad_density_is_refused_by_name(settings, said):
    for law in FEATURES.values():
        with pytest.raises(ConfigError, match=said.replace("(", r"\(").replace("]", r"\]")):
            law(**settings)


def test_sparsity_is_one_minus_density():
    assert SparseUniform(sparsity=0.75) == SparseUniform(density=0.25)
    assert SparseUniform(sparsity=[0.5, 0.75]).density == (0.5, 0.25)


def test_sets_must_divide_the_features():
    with pytest.raises(ConfigError, match="multiple of n_sets=4"):
        Correlated(density=0.5, n_sets=4).sample(jax.random.key(0), 6, 3)
    with pytest.raises(ConfigError, match="6 of them"):
        SparseUniform(density=(0.5, 0.5)).sample(jax.random.key(0), 6, 3)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_rows_equal_the_transform(n, conditional):
    for law in (SparseUniform(), SparseUniform(signed=True)):
        u = uniform(key_words(jax.random.key(8)), jnp.uint32(0), (n + 1, 5_000))
        at = thresholds(jnp.linspace(0.2, 1.0, n)[:, None])
        whole = law.transform(u, at, n, conditional=conditional)
        np.testing.assert_array_equal(jnp.stack(law.rows(u, at, n, conditional=conditional)), whole)
