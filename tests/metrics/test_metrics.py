"""Reconstruction, recovery and streaming; see test_families.py for the metrics of relations."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superposition import metrics
from superposition.errors import ConfigError


def gaussian(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def sparse(seed, *shape, density=0.3):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1, shape) * (rng.uniform(size=shape) < density)


def problem(seed, batch=200, d_sae=7, n_features=5, d_in=4):
    """x, x_hat, latents, coefficients, W_dec, dictionary with some structure and a dead latent."""
    dictionary = gaussian(seed, n_features, d_in)
    W_dec = np.concatenate([dictionary, gaussian(seed + 1, d_sae, d_in)])[:d_sae] + 0.1
    c = sparse(seed + 2, batch, n_features)
    x = c @ dictionary
    latents = sparse(seed + 3, batch, d_sae)
    latents[:, :n_features] = c * (sparse(seed + 4, batch, n_features, density=0.8) > 0)
    latents[:, -1] = 0
    return x, latents @ W_dec, latents, c, W_dec, dictionary


# By hand: x has mean (1, 1) and sum of squares about it 2 + 2 = 4; the errors are 0, 0, 0 and (0, 1).
X = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 0.0], [1.0, 2.0]])
X_HAT = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LATENTS = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 3.0], [-1.0, 0.0, 0.0], [4.0, 0.0, 0.0]])


def test_reconstruction_by_hand():
    assert metrics.fvu(X, X_HAT) == 0.25
    assert metrics.explained_variance(X, X_HAT) == 0.75
    cos_last = 3 / np.sqrt(5 * 2)
    np.testing.assert_allclose(metrics.cosine(X, X_HAT), (3 + cos_last) / 4)
    np.testing.assert_allclose(metrics.relative_norm(X, X_HAT), (3 + np.sqrt(2 / 5)) / 4)


def test_sparsity_by_hand_where_negative_activations_fire_too():
    np.testing.assert_allclose(metrics.densities(LATENTS), [1, 0, 0.25])
    assert metrics.l0(LATENTS) == 1.25
    assert metrics.dead_fraction(LATENTS) == pytest.approx(1 / 3)
    assert metrics.dense_fraction(LATENTS) == pytest.approx(2 / 3)
    assert metrics.dense_fraction(LATENTS, 0.25) == pytest.approx(1 / 3)  # more than, not at least
    streamed = metrics.reconstruction_from(metrics.accumulate(X, X_HAT, LATENTS), dense=0.25)
    assert streamed.dense_fraction == pytest.approx(1 / 3)


def test_fvu_of_the_mean_is_one_and_of_constant_input_zero_or_infinite():
    x = gaussian(0, 50, 3)
    assert metrics.fvu(x, np.broadcast_to(x.mean(0), x.shape)) == pytest.approx(1)
    constant = np.full((5, 2), 0.1)
    assert metrics.fvu(constant, constant) == 0
    assert metrics.fvu(constant, constant + 1) == np.inf


def test_zero_inputs_have_no_direction_and_are_left_out():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
    x_hat = np.array([[1.0, 0.0], [6.0, 8.0], [0.0, 0.0]])
    assert metrics.cosine(x, x_hat) == pytest.approx((1 + 0) / 2)
    assert metrics.relative_norm(x, x_hat) == pytest.approx((2 + 0) / 2)


def test_density_histogram_counts_every_latent_once():
    h = metrics.density_histogram([0.0, 0.0, 1e-9, 10**-2.9, 0.05, 1.0], bins=4, low=-4.0)
    np.testing.assert_allclose(h.edges, [-4, -3, -2, -1, 0])
    assert h.counts.tolist() == [1, 1, 1, 1]
    assert h.dead == 2


@pytest.mark.parametrize("mean", [0.0, 1e4, -3e5])
@pytest.mark.parametrize("kind", [np.float64, np.float32, jnp.float32])
def test_variance_survives_a_large_mean(mean, kind):
    noise = gaussian(0, 4000, 3)
    x = np.asarray((noise + mean).astype(np.float32), np.float64)  # the same numbers for every kind
    error = gaussian(1, 4000, 3).round(1) * 0.5
    x_hat = np.asarray((x + error).astype(np.float32), np.float64)
    want = ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    arrays = [(jnp if kind is jnp.float32 else np).asarray(v, kind) for v in (x, x_hat)]
    np.testing.assert_allclose(metrics.fvu(*arrays), want, rtol=1e-5)
    parts = [metrics.accumulate(arrays[0][s], arrays[1][s], arrays[0][s]) for s in blocks(4000, 100)]
    np.testing.assert_allclose(fold(parts).fvu, want, rtol=1e-4)


def blocks(n, size):
    return [slice(i, i + size) for i in range(0, n, size)]


def fold(parts):
    total = parts[0]
    for part in parts[1:]:
        total = metrics.add(total, part)
    return metrics.reconstruction_from(total)


def flat(result):
    leaves = [np.atleast_1d(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(result)]
    return np.concatenate(leaves)


def finish(sums, W_dec):
    return (
        metrics.reconstruction_from(sums),
        metrics.classify_from(sums),
        metrics.f1_by_frequency_from(sums),
        metrics.activation_correlation_from(sums),
        metrics.magnitude_slope_from(sums, W_dec),
    )


@pytest.mark.parametrize("one_to_one", [False, True])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_streaming_equals_one_shot(size, one_to_one):
    x, x_hat, latents, c, W_dec, dictionary = problem(0)
    pairs = (
        metrics.match(W_dec, dictionary).feature_of_latent
        if one_to_one
        else metrics.nearest(W_dec, dictionary)
    )
    total = None
    for s in blocks(len(x), size):
        part = metrics.accumulate(x[s], x_hat[s], latents[s], c[s], pairs)
        total = part if total is None else metrics.add(total, part)
    reconstruction, classified, bands, correlation, magnitude = finish(total, W_dec)
    given = (latents, c, W_dec, dictionary)
    assert reconstruction.l0 == pytest.approx(metrics.l0(latents))
    assert reconstruction.fvu == pytest.approx(metrics.fvu(x, x_hat))
    assert reconstruction.cosine == pytest.approx(metrics.cosine(x, x_hat))
    assert reconstruction.relative_norm == pytest.approx(metrics.relative_norm(x, x_hat))
    for streamed, whole in (
        (classified, metrics.classify(*given, one_to_one=one_to_one)),
        (bands, metrics.f1_by_frequency(*given, one_to_one=one_to_one)),
        (correlation, metrics.activation_correlation(*given, one_to_one=one_to_one)),
        (magnitude, metrics.magnitude_slope(*given, one_to_one=one_to_one)),
    ):
        np.testing.assert_allclose(flat(streamed), flat(whole), atol=1e-9)
    np.testing.assert_array_equal(total.true_fired, (c != 0).sum(0))


def test_accumulate_and_add_run_inside_jit_and_scan():
    x, x_hat, latents, c, W_dec, dictionary = (jnp.asarray(v, jnp.float32) for v in problem(1))
    pairs = jnp.asarray(metrics.nearest(W_dec, dictionary))
    batches = [v.reshape(10, 20, -1) for v in (x, x_hat, latents, c)]
    first = metrics.accumulate(*(b[0] for b in batches), pairs)

    @jax.jit
    def stream(total, rest):
        return jax.lax.scan(lambda t, b: (metrics.add(t, metrics.accumulate(*b, pairs)), None), total, rest)[
            0
        ]

    first = jax.tree.map(jnp.asarray, first)
    one = metrics.add(first, first)  # on the host: float64
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(one))
    total = stream(jax.tree.map(lambda v: v.astype(jnp.float32), first), [b[1:] for b in batches])
    whole = metrics.accumulate(*(np.asarray(v) for v in (x, x_hat, latents, c)), np.asarray(pairs))
    np.testing.assert_allclose(flat(finish(total, W_dec)), flat(finish(whole, W_dec)), rtol=1e-4, atol=1e-4)


def test_add_refuses_sums_of_different_parts_or_shapes():
    x, x_hat, latents, *_ = problem(0)
    both, one = metrics.accumulate(x, x_hat, latents), metrics.accumulate(None, None, latents)
    with pytest.raises(ConfigError, match=r"same parts; got Moments and NoneType"):
        metrics.add(both, one)
    with pytest.raises(ConfigError, match=r"Sums.fired.*one shape; got \(7,\) and \(6,\)"):
        metrics.add(one, metrics.accumulate(None, None, latents[:, :6]))
    with pytest.raises(ConfigError, match=r"hold no x: accumulate them with x and x_hat"):
        metrics.reconstruction_from(one)
    with pytest.raises(ConfigError, match=r"hold no hits"):
        metrics.classify_from(both)


# Rows at 0, 60, 180 and 90 degrees, and a zero row, against features at 0 and 90 degrees.
W_DEC = np.array([[2.0, 0.0], [0.5, np.sqrt(0.75)], [-1.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
DICTIONARY = np.array([[1.0, 0.0], [0.0, 5.0]])


def test_recovery_by_hand():
    want = [[1, 0], [0.5, np.sqrt(0.75)], [-1, 0], [0, 1], [0, 0]]
    np.testing.assert_allclose(metrics.cosines(W_DEC, DICTIONARY), want, atol=1e-15)
    assert metrics.mmcs(W_DEC, DICTIONARY) == 1
    np.testing.assert_allclose(metrics.mmcs(DICTIONARY, W_DEC), (1 + np.sqrt(0.75) + 0 + 1 + 0) / 5)
    assert metrics.nearest(W_DEC, DICTIONARY).tolist() == [0, 1, 0, 1, 0]
    assert metrics.uniqueness(W_DEC, DICTIONARY) == 2 / 5
    assert metrics.found(W_DEC[1:], DICTIONARY).tolist() == [False, True]  # the opposite is not found
    assert metrics.found(W_DEC[:2], DICTIONARY, 0.86).tolist() == [True, True]
    pairs = metrics.match(W_DEC[1:3], DICTIONARY)
    assert pairs.feature_of_latent.tolist() == [1, 0]
    assert pairs.latent_of_feature.tolist() == [1, 0]
    np.testing.assert_allclose(pairs.cosines, [np.sqrt(0.75), -1])
    np.testing.assert_allclose(metrics.mcc(W_DEC[1:3], DICTIONARY), (np.sqrt(0.75) + 1) / 2)
    assert metrics.match(W_DEC, DICTIONARY).feature_of_latent.tolist().count(-1) == 3
    assert metrics.mcc(W_DEC, DICTIONARY) == 1
    assert metrics.mcc(np.zeros((2, 2)), DICTIONARY) == 0


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_mcc_is_the_best_of_all_pairings(seed, n, m):
    a, b = gaussian(seed, n, 3), gaussian(seed + 1, m, 3)
    small, large = (a, b) if n <= m else (b, a)
    c = np.abs(metrics.cosines(small, large))
    best = max(
        np.mean([c[i, j] for i, j in enumerate(p)])
        for p in itertools.permutations(range(len(large)), len(small))
    )
    np.testing.assert_allclose(metrics.mcc(a, b), best, rtol=1e-12)


@given(st.integers(0, 10**6))
def test_order_and_scale_do_not_matter_and_signs_only_to_mmcs(seed):
    rng = np.random.default_rng(seed)
    W, D = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))
    order, others = rng.permutation(6), rng.permutation(5)
    scale, signs = 10.0 ** rng.uniform(-200, 200, (6, 1)), rng.choice([-1.0, 1.0], (6, 1))
    changed = (scale * W)[order], D[others]
    for measure in (metrics.mcc, metrics.uniqueness, metrics.mmcs):
        np.testing.assert_allclose(measure(*changed), measure(W, D), rtol=1e-12)
    for measure in (metrics.mcc, metrics.uniqueness):
        np.testing.assert_allclose(measure(signs * W, D), measure(W, D), rtol=1e-12)
    np.testing.assert_array_equal(metrics.found(*changed, 0.7), metrics.found(W, D, 0.7)[others])
    assert metrics.mmcs(D, -D) < metrics.mmcs(D, D)
    np.testing.assert_allclose(metrics.mmcs(D, D), 1)


def test_jax_arrays_stay_in_jax_and_agree_with_numpy():
    W, D = gaussian(0, 6, 4), gaussian(1, 5, 4)
    for measure in (metrics.cosines, metrics.mmcs, metrics.found, metrics.nearest):
        result = jax.jit(measure)(jnp.asarray(W), jnp.asarray(D))
        assert isinstance(result, jax.Array)
        np.testing.assert_allclose(result, measure(W, D), atol=1e-6)
    models = jax.vmap(metrics.mmcs)(jnp.asarray(gaussian(2, 3, 6, 4)), jnp.asarray(gaussian(3, 3, 5, 4)))
    np.testing.assert_allclose(
        models[1], metrics.mmcs(gaussian(2, 3, 6, 4)[1], gaussian(3, 3, 5, 4)[1]), rtol=1e-5
    )
    half = [jnp.asarray(v, jnp.bfloat16) for v in (gaussian(4, 999, 3), gaussian(5, 999, 3))]
    exact = metrics.fvu(*(np.asarray(v, np.float64) for v in half))
    assert metrics.fvu(*half) == pytest.approx(exact, rel=1e-5)  # summed in float32


def test_a_random_dictionary_scores_what_chance_gives():
    W, D = gaussian(0, 50, 40), gaussian(1, 50, 40)
    assert metrics.mcc(W, D) < 0.5
    assert not metrics.found(W, D).any()
    assert metrics.mmcs(W, D) == pytest.approx(
        0.34, abs=0.05
    )  # expected largest of 50 cosines in 40 dimensions


bad = np.array([[1.0, np.nan], [np.inf, 1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.fvu(X, X_HAT[:2]), r"one shape; got \(4, 2\) and \(2, 2\)"),
        (lambda: metrics.fvu(bad, bad), r"x must be finite; got 2 NaN or infinite of 4"),
        (lambda: metrics.fvu(jnp.asarray(bad), X), r"x must be finite; got 2"),
        (lambda: metrics.l0(np.zeros((0, 3))), r"latents .* at least one entry; got shape \(0, 3\)"),
        (lambda: metrics.l0(np.zeros(3)), r"got shape \(3,\): reshape"),
        (lambda: metrics.l0([[1.0], [1.0, 2.0]]), "rows of unequal length"),
        (lambda: metrics.l0(np.ones((2, 2), complex)), "real numbers; got dtype complex128"),
        (lambda: metrics.accumulate(X, None, LATENTS), "give both or neither"),
        (lambda: metrics.accumulate(None, None, None), "nothing to sum"),
        (lambda: metrics.accumulate(X, X_HAT, LATENTS[:2]), "batch .* got 4 in x, 4 in x_hat, 2 in latents"),
        (lambda: metrics.accumulate(X, X_HAT, LATENTS, match=[0, 0, 0]), "without both"),
        (lambda: metrics.accumulate(X, X_HAT, LATENTS, X, [0, 0]), r"3 integers in \[-1, 2\)"),
        (lambda: metrics.accumulate(X, X_HAT, LATENTS, X, [0, 0, 2]), "got values from 0 to 2"),
        (lambda: metrics.mcc(W_DEC, np.ones((2, 3))), "d_in .* got 2 in W_dec, 3 in dictionary"),
        (lambda: metrics.mmcs(bad, DICTIONARY), "W_dec must be finite"),
        (lambda: metrics.found(W_DEC, DICTIONARY, 1.5), r"threshold must lie in \[-1, 1\]; got 1.5"),
        (lambda: metrics.density_histogram([1.5]), r"rates in \[0, 1\]"),
        (lambda: metrics.density_histogram([0.5], bins=0), "bins must be an integer"),
    ],
)
def test_bad_input_is_refused_with_what_was_got(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
