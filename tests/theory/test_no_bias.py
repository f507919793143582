import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superposition import ToyParams, theory
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.theory import no_bias

WEIGHT = st.floats(-2, 2)
RATIO = st.floats(0.05, 20)
DENSITY = st.floats(0.005, 1)


@settings(deadline=None, max_examples=60)
@given(WEIGHT, WEIGHT, RATIO, DENSITY)
def test_the_closed_form_is_the_enumerated_expected_loss(first, extra, r, p):
    exact = reference_loss(ToyParams(np.array([[first, extra]]), np.zeros(2)), [1, r], p, activation="relu")
    np.testing.assert_allclose(no_bias.no_bias_loss(first, extra, r, p), exact, rtol=1e-9, atol=1e-15)


@settings(deadline=None, max_examples=40)
@given(RATIO, DENSITY)
def test_no_weights_do_better_than_the_solved_minimum(r, p):
    found = no_bias.no_bias_minimum(r, p)
    center, half, lowest = np.zeros(2), 1.6, []
    for _ in range(6):  # ever finer grids around the best point of the grid before
        first, second = (c + half * np.linspace(-1, 1, 161) for c in center)
        grid = no_bias.no_bias_loss(first[:, None], second[None], r, p)
        best = np.unravel_index(grid.argmin(), grid.shape)
        center, half = np.array([first[best[0]], second[best[1]]]), half / 16
        lowest.append(grid.min())
    assert min(lowest) >= found.loss * (1 - 1e-12)
    np.testing.assert_allclose(found.loss, min(lowest), rtol=1e-8)
    np.testing.assert_allclose(no_bias.no_bias_loss(*found.W, r, p), found.loss, rtol=1e-10)
    sign = found.W[0] * found.W[1]
    assert found.loss == (found.opposite_sign if sign < 0 else found.same_sign)


def test_the_least_loss_of_a_direction_is_the_least_over_its_length():
    length = np.linspace(0, 2, 20_001)
    for angle in (0.0, 0.3, 0.8, 1.4, 2.0, 2.9):
        line = no_bias.no_bias_loss(length * np.cos(angle), length * np.sin(angle), 0.6, 0.7)
        np.testing.assert_allclose(no_bias.direction_loss(angle, 0.6, 0.7), line.min(), rtol=1e-7)
        np.testing.assert_allclose(no_bias.direction_loss(angle + np.pi, 0.6, 0.7), line.min(), rtol=1e-7)


def test_exchanging_the_features_exchanges_the_weights():
    r, p = np.geomspace(0.1, 10, 20)[None], np.geomspace(1, 0.01, 15)[:, None]
    one, other = no_bias.no_bias_minimum(r, p), no_bias.no_bias_minimum(1 / r, p)
    np.testing.assert_allclose(one.loss, r * other.loss, rtol=1e-12)
    np.testing.assert_allclose(np.abs(one.W), np.abs(other.W[..., ::-1]), atol=1e-7)


def test_at_equal_importance_the_confused_feature_is_one_over_root_two_and_costs_a_variance():
    for p in (0.6, 0.8, 1.0):
        found = no_bias.no_bias_minimum(1.0, p)
        np.testing.assert_allclose(found.W, [0.5**0.5, 0.5**0.5], rtol=1e-7)
        np.testing.assert_allclose(found.loss, theory.variance(p), rtol=1e-12)
    p = 0.3
    found = no_bias.no_bias_minimum(1.0, p)
    np.testing.assert_allclose(found.W[0], ((8 - 5 * p) / (8 - 6 * p)) ** 0.5, rtol=1e-7)
    np.testing.assert_allclose(found.W[1], -found.W[0], rtol=1e-6)
    np.testing.assert_allclose(
        found.loss, 2 * p * (1 / 3 - (8 - 5 * p) ** 2 / (48 * (4 - 3 * p))), rtol=1e-12
    )


def test_the_border_is_where_the_signs_tie_and_has_its_closed_form_at_equal_importance():
    p = no_bias.ANTIPODAL_BELOW
    assert abs(43 * p**2 - 80 * p + 32) < 1e-12
    r = np.array([0.1, 0.5, 1.0, 2.0, 10.0])
    border = no_bias.antipodal_boundary(r)
    np.testing.assert_allclose(border[2], p, rtol=1e-10)
    np.testing.assert_allclose(border, border[::-1], rtol=1e-9)
    above, below = (no_bias.no_bias_minimum(r, border * (1 + e)).W.prod(-1) for e in (1e-6, -1e-6))
    assert (above > 0).all()
    assert (below < 0).all()


def test_the_lesser_weight_never_vanishes():
    found = no_bias.no_bias_minimum(np.geomspace(1e-3, 1, 30)[None], np.geomspace(1, 1e-3, 30)[:, None])
    assert (np.abs(found.W) > 0).all()


@pytest.mark.slow
def test_a_bias_never_hurts():
    r, p = np.array([0.3, 0.9, 3.0]), np.array([0.9, 0.6, 0.1])
    importance = np.stack([np.ones(3), r], 1)
    best = theory.exact_minimum("relu", importance, p, 1, key=jax.random.key(0), restarts=16)
    assert (best.loss <= no_bias.no_bias_minimum(r, p).loss * (1 + 1e-9)).all()


@pytest.mark.parametrize("r", [1e9, 1e-9, 1e-300])
def test_a_boundary_between_minima_equal_to_rounding_is_refused(r):
    with pytest.raises(ConfigError, match="relative_importance"):
        no_bias.antipodal_boundary([1.0, r])
    assert no_bias.antipodal_boundary(1e-4) == pytest.approx(float(no_bias.antipodal_boundary(1e4)), rel=1e-9)


@pytest.mark.parametrize(
    ("r", "p"),
    [
        (1e-16, 0.5),
        (1e16, 0.5),
        (1.0, 1e-300),
        ("a", 0.1),
        (np.ones(2), np.ones(3)),
        (0.0, 0.5),
        (1.0, 0.0),
        (1.0, 1.1),
        (-1.0, 0.5),
        (float("nan"), 0.5),
    ],
)
def test_bad_settings_are_refused(r, p):
    with pytest.raises(ConfigError, match="must"):
        no_bias.no_bias_minimum(r, p)
