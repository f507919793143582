import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.theory import variance
from superposition.theory.best_of import binomial_interval, expected_minimum, models_needed, success
from superposition.theory.kgons import digon_levels, kgon, kgon_levels, kgon_one_active
from superposition.typing import ToyParams

SIDES = 6  # one compilation of the independent loss: features of density 0 pad smaller polygons


def polygon_loss(k, radius, bias, density):
    """Loss a feature, by the library's other route: enumeration of the whole model."""
    angles = 2 * np.pi * np.arange(SIDES) / k
    present = np.arange(SIDES) < k
    W = radius * np.stack([np.cos(angles), np.sin(angles)])
    return reference_loss(
        ToyParams(W, np.full(SIDES, bias)), present / k, density * present, activation="relu"
    )


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("density", [1.0, 0.3, 0.02])
def test_a_kgon_has_the_loss_it_claims_and_nothing_about_it_is_less(k, density):
    found = kgon(k, density)
    at = polygon_loss(k, found.radius, found.bias, density)
    assert found.loss == pytest.approx(at, rel=1e-9)
    for radius, bias in ((1.003, 0), (0.997, 0), (1, 0.003), (1, -0.003), (1.2, -0.1), (0.8, 0.1)):
        assert polygon_loss(k, radius * found.radius, bias + found.bias, density) > at * (1 - 1e-12)


def test_no_coarse_grid_of_radii_and_biases_beats_the_pentagon():
    found = kgon(5, 0.1)
    grid = [
        polygon_loss(5, r, b, 0.1) for r in np.linspace(0.5, 1.6, 12) for b in np.linspace(-0.75, 0.35, 12)
    ]
    assert found.loss <= min(grid)
    assert min(grid) < 1.05 * found.loss


def test_octagon_against_monte_carlo():
    found = kgon(8, 0.3)
    rng = np.random.default_rng(0)
    x = np.where(rng.random((400_000, 8)) < 0.3, rng.random((400_000, 8)), 0.0)
    angles = 2 * np.pi * np.arange(8) / 8
    W = found.radius * np.stack([np.cos(angles), np.sin(angles)])
    error = ((x - np.maximum(x @ W.T @ W + found.bias, 0)) ** 2).mean(1)
    assert abs(error.mean() - found.loss) < 4 * error.std() / np.sqrt(len(error))


def test_one_active_feature_as_in_the_literature():
    losses = {5: 0.015826, 6: 0.048192, 7: 0.083271}
    for k, value in losses.items():
        assert kgon_one_active(k).loss == pytest.approx(value, abs=1e-6)
    for k in (1, 2, 3, 4):
        assert kgon_one_active(k).loss == pytest.approx(0, abs=1e-12)
    assert kgon_one_active(5).radius == pytest.approx(1.1705, abs=1e-4)
    assert kgon_one_active(5).bias == pytest.approx(-0.2823, abs=1e-4)


@pytest.mark.parametrize("k", [5, 6, 7, 8])
def test_one_active_feature_is_the_limit_of_small_densities(k):
    assert kgon(k, 1e-6).loss / 1e-6 == pytest.approx(kgon_one_active(k).loss, rel=1e-3)


def test_one_active_octagon_by_quadrature():
    found = kgon_one_active(8)
    x, weights = (np.arange(200_000) + 0.5) / 200_000, 1 / 200_000
    a = found.radius**2 * np.cos(2 * np.pi * np.arange(8) / 8)
    z = np.maximum(a[:, None] * x + found.bias, 0)
    assert found.loss == pytest.approx((weights * ((x - z[0]) ** 2 + (z[1:] ** 2).sum(0))).sum(), abs=1e-9)


def test_an_orthogonal_pair_of_digons_is_a_square():
    for density in (0.7, 0.2):
        assert kgon(4, density).loss == pytest.approx(kgon(2, density).loss, rel=1e-9)


def test_levels_add_stored_and_dropped_features():
    levels = kgon_levels(6, 0.1)
    assert list(levels) == [1, 2, 3, 4, 5, 6]
    assert levels[1] == pytest.approx(5 * variance(0.1))
    assert levels[6] == pytest.approx(6 * kgon(6, 0.1).loss)
    assert levels[4] == pytest.approx(4 * kgon(4, 0.1).loss + 2 * variance(0.1))
    # In a plane: one digon and a dedicated feature, then two digons.
    line = digon_levels(6, 2, 0.1)
    assert len(line) == 5
    assert line[0] == pytest.approx(6 * variance(0.1))
    assert line[2] == pytest.approx(4 * variance(0.1))
    assert line[3] == pytest.approx(2 * kgon(2, 0.1).loss + 3 * variance(0.1))
    assert line[4] == pytest.approx(levels[4])
    assert len(digon_levels(3, 5, 0.1)) == 4
    assert digon_levels(3, 5, 0.1)[-1] == 0


@pytest.mark.parametrize("call", [
    lambda: kgon(0, 0.1), lambda: kgon(9, 0.1), lambda: kgon(5, 0.0), lambda: kgon(5, 1.5), lambda: kgon(5, float("nan")),
    lambda: kgon_one_active(2.5), lambda: kgon_levels(0, 0.1), lambda: digon_levels(3, 0, 0.1),
    lambda: kgon(True, 0.1), lambda: kgon(5, [0.1]), lambda: kgon(5, (0.1,)), lambda: kgon_levels(3, [0.1]),
    lambda: kgon_levels(3, 2.0), lambda: digon_levels(3, 2, "a"),
])  # fmt: skip
def test_bad_settings_are_refused(call):
    with pytest.raises(ConfigError):
        call()


def test_expected_minimum_is_the_mean_over_all_subsets():
    from itertools import combinations

    losses = np.random.default_rng(1).random(7)
    for k in range(1, 8):
        exact = np.mean([min(c) for c in combinations(losses, k)])
        assert expected_minimum(losses, k) == pytest.approx(exact, rel=1e-12)


def test_expected_minimum_of_many_uniform_losses():
    losses = (np.arange(5000) + 0.5) / 5000
    k = np.array([1, 2, 10, 100])
    np.testing.assert_allclose(expected_minimum(losses, k), 1 / (k + 1), rtol=2e-2)


def test_expected_minimum_takes_k_of_any_shape():
    losses, k = np.random.default_rng(1).random(5), np.array([[1, 2, 5], [3, 4, 1]])
    each = [[float(expected_minimum(losses, int(one))) for one in row] for row in k]
    np.testing.assert_allclose(expected_minimum(losses, k), each, rtol=1e-12)
    assert expected_minimum(losses, 2).shape == ()


def test_models_needed_is_the_least_that_succeed():
    for share in (0.01, 0.16, 0.5, 0.94, 0.96):
        k = models_needed(share)
        assert success(share, k) >= 0.95
        assert k == 1 or success(share, k - 1) < 0.95
    assert models_needed(0.0) == float("inf")
    assert models_needed(1.0) == 1


def test_binomial_interval_covers_as_often_as_it_says():
    p, trials = 0.07, 60
    hits = np.random.default_rng(2).binomial(trials, p, 20_000)
    low, high = binomial_interval(hits, trials)
    covered = ((low <= p) & (p <= high)).mean()
    assert 0.95 <= covered < 0.995
    low, high = binomial_interval([0, 60], 60)
    assert low[0] == 0
    assert high[1] == 1
    assert high[0] == pytest.approx(1 - 0.025 ** (1 / 60))


@pytest.mark.parametrize("call", [
    lambda: expected_minimum([], 1), lambda: expected_minimum([1.0, np.nan], 1), lambda: expected_minimum([1.0], 2),
    lambda: expected_minimum([1.0], 0), lambda: expected_minimum([1.0], 1.5), lambda: models_needed(1.5),
    lambda: binomial_interval(3, 2), lambda: binomial_interval(0, 0),
    lambda: expected_minimum([1.0], np.array([], int)), lambda: expected_minimum(["a"], 1), lambda: success(1.5, 3),
    lambda: success(0.5, -1), lambda: models_needed([0.1, 0.2]), lambda: binomial_interval(np.nan, 3),
    lambda: binomial_interval([1, 2], [3, 4, 5]), lambda: binomial_interval(1.5, 3), lambda: binomial_interval("a", 3),
])  # fmt: skip
def test_bad_statistics_are_refused(call):
    with pytest.raises(ConfigError):
        call()


def test_certainty_is_refused_with_the_interval_that_leaves_it_out():
    for call in (lambda: models_needed(0.1, 1.0), lambda: binomial_interval(1, 2, 1.0)):
        with pytest.raises(ConfigError, match=r"must lie in \[0, 1\); got 1"):
            call()
