"""Classification, absorption and hedging, splitting, universality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superposition import metrics
from superposition.errors import ConfigError

EYE = np.eye(3)


def gaussian(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def sparse(seed, *shape, density=0.3):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1, shape) * (rng.uniform(size=shape) < density)


# Six examples, three features; latents 0 and 1 both lie on feature 0, latent 2 on feature 1, latent 3 is dead.
COEFFICIENTS = np.array(
    [[1.0, 0, 0], [2.0, 0, 0], [3.0, 1.0, 0], [0, 1.0, 0], [0, 0, 0], [0, 0, 0]],
)
W_DEC = np.array([[2.0, 0, 0], [1.0, 0.1, 0], [0, 1.0, 0], [0, 0, 1.0]])
LATENTS = np.array([[0.5, 0, 0, 0], [1.0, 1, 0, 0], [1.5, 0, 2, 0], [0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


def test_classification_by_hand():
    # Latent 0 is perfect. Latent 1: TP 1, FP 1, FN 2, TN 2. Latent 2: TP 2, FP 1, TN 3. Latent 3: TN 6.
    got = metrics.classify(LATENTS, COEFFICIENTS, W_DEC, EYE)
    np.testing.assert_allclose(got.per_latent.precision, [1, 1 / 2, 2 / 3, 0])
    np.testing.assert_allclose(got.per_latent.recall, [1, 1 / 3, 1, 0])
    np.testing.assert_allclose(got.per_latent.f1, [1, 0.4, 0.8, 0])
    np.testing.assert_allclose(got.per_latent.accuracy, [1, 1 / 2, 5 / 6, 1])
    assert got.f1 == pytest.approx(2.2 / 4)
    assert got.accuracy == pytest.approx((1 + 0.5 + 5 / 6 + 1) / 4)


def test_one_to_one_leaves_the_duplicate_out():
    got = metrics.classify(LATENTS, COEFFICIENTS, W_DEC, EYE, one_to_one=True)
    assert got.per_latent.matched.tolist() == [True, False, True, True]
    assert got.per_latent.f1.tolist() == pytest.approx([1, 0, 0.8, 0])
    assert got.f1 == pytest.approx(1.8 / 3)
    assert got.per_latent.precision[1] == 0


def test_f1_by_frequency_by_hand():
    # Rates: latents 0 and 1 have 1/2, latent 2 has 1/3, latent 3 has 0.
    got = metrics.f1_by_frequency(LATENTS, COEFFICIENTS, W_DEC, EYE, edges=[0.0, 0.2, 0.4, 0.5])
    assert got.n_latents.tolist() == [1, 1, 2]  # the last band holds its upper edge
    np.testing.assert_allclose(got.f1, [0, 0.8, 0.7])
    empty = metrics.f1_by_frequency(LATENTS, COEFFICIENTS, W_DEC, EYE, edges=[0.6, 0.7, 1.0])
    assert np.isnan(empty.f1).all()
    assert empty.n_latents.sum() == 0


def test_activation_correlation_and_slope_by_hand():
    r = metrics.activation_correlation(LATENTS, COEFFICIENTS, W_DEC, EYE, one_to_one=False)
    np.testing.assert_allclose(r[0], 1)
    np.testing.assert_allclose(r[1], np.corrcoef(LATENTS[:, 1], COEFFICIENTS[:, 0])[0, 1])
    assert r[3] == 0
    line = metrics.magnitude_slope(LATENTS, COEFFICIENTS, W_DEC, EYE)
    np.testing.assert_allclose(line.slope, [1, 0, 0, 0], atol=1e-12)  # 0.5 c through a row of norm 2
    np.testing.assert_allclose(line.r2, [1, 0, 0, 0], atol=1e-12)
    assert line.examples.tolist() == [3, 0, 2, 0]


@given(st.integers(0, 10**6))
def test_slope_is_the_fit_of_polyfit_whatever_the_decoder_scale(seed):
    rng = np.random.default_rng(seed)
    c = rng.uniform(1, 2, (30, 1)) * (rng.uniform(size=(30, 1)) < 0.7)
    c[:3] = [[1.0], [2.0], [1.5]]
    a = np.where(c > 0, 0.5 * c + 0.3 + 0.1 * rng.normal(size=c.shape), 0)
    a[5:8] = 0
    scale = 10 ** rng.uniform(-2, 2)
    both = (a != 0) & (c != 0)
    slope, _ = np.polyfit(c[both], a[both], 1)
    got = metrics.magnitude_slope(a / scale, c, scale * np.eye(1), np.eye(1))
    np.testing.assert_allclose(got.slope, [slope], rtol=1e-6)
    np.testing.assert_allclose(got.r2, [np.corrcoef(a[both], c[both])[0, 1] ** 2], rtol=1e-6)


@pytest.mark.parametrize("xp", [np, jnp])
def test_a_constant_latent_correlates_with_nothing(xp):
    constants = np.array([0.1, 0.3, 0.7, 1 / 3, 1e3 / 7])  # their sums round
    c = xp.asarray(sparse(0, 100, 5), xp.float32)
    a = xp.asarray(np.tile(constants, (100, 1)), xp.float32)
    parts = [metrics.correlation_sums(a[s], c[s]) for s in (slice(0, 33), slice(33, 100))]
    assert not metrics.correlations(metrics.add(*parts)).any()
    assert not metrics.activation_correlation(a, c, np.eye(5), np.eye(5)).any()
    assert metrics.best_partners([(a, c)]).partner.tolist() == [-1] * 5
    fixed = xp.where(c > 0, a, xp.float32(0))
    line = metrics.magnitude_slope(c, fixed, np.eye(5), np.eye(5))
    assert not line.slope.any()
    assert not line.r2.any()
    assert (line.examples > 10).all()


# Parent 0, child 1. Six examples with both, of which the parent's latent is silent on three; four with the parent
# alone, silent on one; two with neither.
def family():
    c = np.array([[1.0, 1, 0]] * 6 + [[1.0, 0, 0]] * 4 + [[0.0, 0, 0]] * 2)
    latents = np.zeros((12, 3))
    latents[3:9, 0] = 1
    latents[:6, 1] = 1
    return latents, c


def test_absorption_by_hand():
    latents, c = family()
    got = metrics.absorption_rate(latents, c, EYE, EYE, [[0, 1], [0, 2]])
    np.testing.assert_allclose(got.rate, [3 / 6 - 1 / 4, np.nan])  # feature 2 never fires: undefined, not 0
    assert got.mean == pytest.approx(0.25)
    order = [2, 0, 1]
    moved = metrics.absorption_rate(latents[:, order], c, EYE[order], EYE, [[0, 1]])
    np.testing.assert_allclose(moved.rate, [0.25])


def test_absorption_streams_and_an_unfound_parent_is_not_absorbed():
    latents, c = family()
    of = np.array([0, 1, 2])
    parts = [metrics.absorption_counts(latents[i::3], c[i::3], np.array([[0, 1]]), of) for i in range(3)]
    total = metrics.add(metrics.add(parts[0], parts[1]), parts[2])
    assert metrics.absorption_from(total).mean == pytest.approx(0.25)
    counts = jax.jit(metrics.absorption_counts, static_argnums=2)(
        jnp.asarray(latents), jnp.asarray(c), ((0, 1),), of
    )
    assert metrics.absorption_from(counts).mean == pytest.approx(0.25)
    lost = metrics.absorption_from(metrics.absorption_counts(latents, c, [[0, 1]], [-1, 1, 2]))
    assert lost.mean == 0
    assert np.isnan(metrics.absorption_from(metrics.absorption_counts(latents, c, [[2, 1]], of)).mean)


def test_hedging_by_hand():
    # Features 0 and 1 are related; latent 0 leans 3:4 on feature 1, latent 1 as far on the unrelated feature 2.
    W = np.array([[4.0, 3.0, 0, 0], [0, 4.0, 3.0, 0], [0, 0, 1.0, 0], [0, 0, 0, 0]])
    related = np.zeros((4, 4), bool)
    related[0, 1] = related[1, 0] = True
    got = metrics.hedging(W, np.eye(4), related)
    np.testing.assert_allclose(got.correlated, [0.6, 0, np.nan, np.nan], atol=1e-12)
    np.testing.assert_allclose(got.uncorrelated, [0, 0.3, np.nan, np.nan], atol=1e-12)  # mean of 0.6 and 0
    np.testing.assert_allclose(got.mean, (0.6 - 0.3) / 2)


def test_clean_latents_do_not_hedge_even_in_superposition():
    D = gaussian(0, 12, 6)
    got = metrics.hedging(3 * D, D, np.eye(12, k=1, dtype=bool) | np.eye(12, k=-1, dtype=bool))
    np.testing.assert_allclose(got.hedging, 0, atol=1e-9)
    noise = metrics.hedging(gaussian(1, 12, 6), D, np.eye(12, k=1, dtype=bool) | np.eye(12, k=-1, dtype=bool))
    assert abs(noise.mean) < 0.2


def test_hedging_degree_by_hand_and_by_sampling():
    # The only old row turns from (4, 3)/5 to (1, 0): the change (0.2, -0.6) has 0.6 along the new row.
    before = np.array([[8.0, 6.0, 0, 0, 0]])
    after = np.array([[3.0, 0, 0, 0, 0], [0, 2.0, 0, 0, 0]])
    got = metrics.hedging_degree(before, after)
    assert got.projection == pytest.approx(0.6)
    rng = np.random.default_rng(0)
    for k in (1, 3):
        rows = np.concatenate([after[:1], np.eye(5)[1 : 1 + k]])
        bases = [np.linalg.qr(rng.normal(size=(5, k)))[0] for _ in range(4000)]
        sampled = np.mean([np.linalg.norm(np.array([0.2, -0.6, 0, 0, 0]) @ q) for q in bases])
        got = metrics.hedging_degree(before, rows)
        np.testing.assert_allclose(got.chance, sampled, rtol=0.02)
        np.testing.assert_allclose(got.degree, (got.projection - got.chance) / (1 - got.chance))
    still = metrics.hedging_degree(before, np.concatenate([before, after]))
    assert tuple(still) == (0, 0, 0)
    everything = metrics.hedging_degree(before, np.concatenate([after[:1], np.eye(5)]))
    assert everything.degree == pytest.approx(0)


def test_splitting_by_hand():
    # Narrow 0 splits into wide 0 and 1; narrow 1 lives on as wide 2; wide 3 is new; wide 4 has narrow 0's direction
    # but other occasions; wide 5 is dead; narrow 2 is dead.
    narrow_rows = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    wide_rows = np.array([[1.0, 0, 0.5], [1.0, 0, -0.5], [0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0], [1.0, 0, 0]])
    narrow = np.zeros((10, 3))
    narrow[:4, 0] = narrow[4:7, 1] = 1
    wide = np.zeros((10, 6))
    wide[:2, 0] = wide[2:4, 1] = wide[4:7, 2] = wide[:4, 3] = wide[6:10, 4] = 1
    got = metrics.split_features(narrow_rows, wide_rows, metrics.cofiring(narrow, wide))
    assert got.parent.tolist() == [0, 0, 1, -1, -1, -1]
    assert got.children.tolist() == [2, 1, 0]
    assert got.split_fraction == 1 / 2
    assert got.novel_fraction == 2 / 5
    assert got.wide_alive.tolist() == [True] * 5 + [False]
    parts = metrics.add(metrics.cofiring(narrow[:3], wide[:3]), metrics.cofiring(narrow[3:], wide[3:]))
    assert metrics.split_features(narrow_rows, wide_rows, parts).parent.tolist() == got.parent.tolist()


def test_an_sae_is_its_own_unsplit_parent_and_a_rotated_one_a_stranger():
    W, latents = gaussian(0, 20, 12), sparse(1, 300, 20)
    same = metrics.split_features(W, W, metrics.cofiring(latents, latents))
    assert same.parent.tolist() == list(range(20))
    assert (same.split_fraction, same.novel_fraction) == (0, 0)
    other = metrics.shuffled(jax.random.key(0), latents)
    assert metrics.split_features(W, W, metrics.cofiring(latents, other)).novel_fraction == 1


def test_shared_by_hand():
    a = np.array([[1.0, 0], [0, 1.0]])
    b = np.array([[1.0, 0], [0.6, 0.8], [np.cos(0.4), np.sin(0.4)]])  # cosines with a: 1; 0.8; 0.921
    got = metrics.shared(a, b, (0.75, 0.9, 0.95))
    assert got.mmcs_ab == pytest.approx((1 + 0.8 + np.cos(0.4)) / 3)
    assert got.mmcs_ba == pytest.approx((1 + 0.8) / 2)
    np.testing.assert_allclose(got.a_in_b, [1, 0.5, 0.5])
    np.testing.assert_allclose(got.b_in_a, [1, 2 / 3, 1 / 3])


@pytest.mark.parametrize("block", [1, 3, 100])
def test_best_partners_equal_corrcoef_in_blocks_and_batches(block):
    a = sparse(0, 120, 7) + 50
    b = np.concatenate([sparse(1, 120, 4), a[:, ::-1] * 3 + 0.3 * sparse(2, 120, 7)], 1)
    a[:, 5] = 2.0  # never varies
    batches = [(a[i : i + 50], b[i : i + 50]) for i in range(0, 120, 50)]
    got = metrics.best_partners(batches, block=block)
    alive = np.arange(7) != 5
    c = np.corrcoef(a[:, alive], b, rowvar=False)[:6, 6:]
    np.testing.assert_allclose(got.correlation[alive], c.max(1), rtol=1e-9)
    assert got.partner[alive].tolist() == c.argmax(1).tolist()
    assert (got.correlation[5], got.partner[5]) == (0, -1)
    in_jax = metrics.best_partners([(jnp.asarray(x), jnp.asarray(y)) for x, y in batches], block=block)
    np.testing.assert_allclose(in_jax.correlation, got.correlation, atol=1e-5)


def test_partners_are_found_in_another_space_and_order_far_above_chance():
    a = sparse(0, 500, 12)
    b = 7 * a[:, ::-1]
    key = jax.random.key(0)

    def mean_best(latents):
        return metrics.best_partners([(latents, b)]).correlation.mean()

    got = metrics.against_chance(key, mean_best, a, metrics.shuffled)
    assert got.observed == pytest.approx(1)
    assert got.mean < 0.2
    assert metrics.best_partners([(a, b)]).partner.tolist() == list(range(12))[::-1]
    again = metrics.against_chance(key, mean_best, a, metrics.shuffled)
    assert again == got


def test_rotation_keeps_geometry_and_leaves_only_chance():
    W = gaussian(0, 30, 20)
    R = metrics.rotated(jax.random.key(1), W)
    np.testing.assert_allclose(R @ R.T, W @ W.T, atol=1e-9)
    got = metrics.against_chance(jax.random.key(2), lambda rows: metrics.mmcs(rows, W), W)
    assert got.observed == pytest.approx(1)
    assert got.mean == pytest.approx(0.43, abs=0.05)  # expected largest of 30 cosines in 20 dimensions
    assert 0 < got.std < 0.05


def test_consensus_is_what_all_have():
    members = [[0, 1, 2], [0, 1, 2, 3], [0, 1, 5]]  # 2 is in two of three
    got = metrics.consensus([np.eye(6)[m] for m in members])
    np.testing.assert_allclose(got.fractions, [2 / 3, 2 / 4, 2 / 3])
    assert got.everywhere[1].tolist() == [True, True, False, False]
    latents = [sparse(0, 300, 6)[:, m] for m in members]
    by_activation = metrics.consensus_by_activation([[v[:100] for v in latents], [v[100:] for v in latents]])
    np.testing.assert_allclose(by_activation.fractions, got.fractions)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.classify(LATENTS, COEFFICIENTS, W_DEC[:2], EYE), "one row per latent, 4; got 2"),
        (
            lambda: metrics.classify(LATENTS, COEFFICIENTS, W_DEC, EYE[:2]),
            "one row per true feature, 3; got 2",
        ),
        (lambda: metrics.f1_by_frequency(LATENTS, COEFFICIENTS, W_DEC, EYE, edges=[0.5, 0.1]), "increasing"),
        (lambda: metrics.absorption_rate(LATENTS, COEFFICIENTS, W_DEC, EYE, [[0, 3]]), "features below 3"),
        (
            lambda: metrics.absorption_rate(LATENTS, COEFFICIENTS, W_DEC, EYE, [0, 1]),
            "rows \\(parent, child\\)",
        ),
        (lambda: metrics.absorption_counts(LATENTS, COEFFICIENTS, [[0, 1]], [0, 1]), "3 integers"),
        (lambda: metrics.hedging(W_DEC, EYE, np.eye(3)), "related must be boolean of shape"),
        (lambda: metrics.hedging_degree(EYE, EYE), "add rows to the 3"),
        (lambda: metrics.split_features(EYE, EYE, metrics.cofiring(LATENTS, LATENTS)), r"got \(4, 4\)"),
        (lambda: metrics.split_features(EYE, EYE, None, implication=0.0), "implication must lie in"),
        (lambda: metrics.cofiring(LATENTS, LATENTS[:2]), "batch must be the same"),
        (lambda: metrics.shared(EYE, EYE[:, :2]), "d_in must be the same"),
        (lambda: metrics.best_partners([]), "at least one pair"),
        (lambda: metrics.best_partners(iter([(LATENTS, LATENTS)]), block=2), "got a generator: give a list"),
        (lambda: metrics.consensus([EYE]), "two SAEs or more; got 1"),
        (lambda: metrics.consensus_by_activation([]), "two SAEs or more; got 0"),
        (lambda: metrics.against_chance(jax.random.key(0), metrics.l0, EYE, n_draws=1), "n_draws"),
    ],
)
def test_bad_input_is_refused_with_what_was_got(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
