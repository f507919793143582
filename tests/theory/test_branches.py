"""Branches of exact minima followed through the density."""

import jax
import numpy as np
import pytest

from superposition import geometry, theory
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.features import Correlated
from superposition.typing import ToyParams

# n=2, m=1 at equal importance: both antipodal (best at low density) and one feature kept.
PAIR = ToyParams(np.array([[[1.0, -1.0]], [[1.0, 0.0]]]), np.array([[0.0, 0.0], [0.0, 0.02]]))
ONES = Correlated(n_sets=2)  # sets of one are independent features


@pytest.fixture(scope="module")
def pair():
    density = np.geomspace(0.05, 0.5, 6)
    return density, theory.follow("relu", np.ones(2), density, PAIR, law=ONES)


def test_a_branch_is_stationary_and_its_loss_is_the_expected_loss(pair):
    density, found = pair
    assert found.W.shape == (2, 6, 1, 2)
    assert found.gradient[0].max() < 1e-7
    for k, p in enumerate(density):
        exact = reference_loss(ToyParams(found.W[0, k], found.b[0, k]), np.ones(2), p, activation="relu")
        assert found.loss[0, k] == pytest.approx(exact, rel=1e-8)
        best = theory.PHASES_2_1[2].loss(1.0, p)
        assert found.loss[0, k] <= best  # W = (1, -1), b = 0 is on the way


def test_the_independent_table_of_minima(pair):
    # toy-models reference 5.6: exact minimum .02931 at 0.3, .07628 at 0.5
    found = theory.follow("relu", np.ones(2), np.array([0.3, 0.5]), PAIR, law=ONES)
    np.testing.assert_allclose(found.loss[0], [0.02931, 0.07628], rtol=3e-4)


def test_curvature_is_positive_at_a_minimum_and_blind_to_rotation():
    # Two orthogonal pairs in the plane: any rotation is as good, every other direction is worse.
    law = Correlated(n_sets=4)
    W = np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    starts = ToyParams(np.stack([W, turn @ W]), np.full((2, 4), 0.001))
    found = theory.follow("relu", np.ones(4), np.array([0.1, 0.1, 0.12]), starts, law=law)
    assert (found.curvature > 0.01).all()
    np.testing.assert_allclose(found.curvature[0], found.curvature[1], rtol=1e-3)
    np.testing.assert_allclose(found.loss[0], found.loss[1], rtol=1e-9)
    assert len(geometry.antipodal_pairs(found.W[0, -1])) == 2


def test_exact_minimum_takes_sets():
    density = np.array([0.1, 0.05])
    starts = ToyParams(
        np.tile(np.array([[0.9, 0.1, -0.9, 0.1], [0.1, 0.9, 0.1, -0.9]]), (2, 1, 1, 1)), np.zeros((2, 1, 4))
    )
    found = theory.exact_minimum(
        "relu",
        np.ones((2, 4)),
        density,
        2,
        key=jax.random.key(0),
        restarts=0,
        starts=starts,
        newton_steps=80,
        law=Correlated(n_sets=2),
    )
    cosines = geometry.cosines(found.W)
    assert np.abs(cosines[:, [0, 2], [1, 3]]).max() < 0.15  # partners at right angles, Elhage et al. 2022
    assert found.gradient.max() < 1e-6


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"starts must be W \(branch, m, n\)"):
        theory.follow("relu", np.ones(3), np.array([0.1]), PAIR)
    for density in (0.3, [], [2.0], np.full((2, 3), 0.1), [0.0]):
        with pytest.raises(ConfigError, match="density"):
            theory.follow("relu", np.ones(2), density, PAIR)
    for starts, importance in ((ToyParams(PAIR.W[0], PAIR.b), np.ones(2)), (PAIR, np.zeros(2)), (PAIR, 1.0)):
        with pytest.raises(ConfigError, match="importance"):
            theory.follow("relu", importance, [0.1], starts)
