import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from superposition import geometry


def polygon(k):
    angles = 2 * np.pi * np.arange(k) / k
    return np.stack([np.cos(angles), np.sin(angles)])


@pytest.mark.parametrize(
    ("W", "dimensionality"),
    [(np.eye(3), 1.0), (np.array([[1.0, -1.0]]), 1 / 2), (polygon(3), 2 / 3), (polygon(5), 2 / 5)],
    ids=["dedicated", "digon", "triangle", "pentagon"],
)
def test_known_shapes(W, dimensionality):
    np.testing.assert_allclose(geometry.dimensionality(W), dimensionality, rtol=1e-12)
    np.testing.assert_allclose(geometry.interference(W), 1 / dimensionality - 1, atol=1e-12)
    np.testing.assert_allclose(geometry.norms(W), 1, rtol=1e-12)


@given(
    hnp.arrays(
        np.float64,
        st.sampled_from([(1, 3), (2, 5), (3, 3), (5, 20)]),
        elements=st.floats(-3, 3, allow_subnormal=False),
    )
)
def test_dimensionalities_sum_to_at_most_the_rank(W):
    D = geometry.dimensionality(W)
    assert ((D >= 0) & (D <= 1 + 1e-9)).all()
    assert D.sum() <= np.linalg.matrix_rank(W, tol=1e-12) + 1e-6


def test_dead_features_are_zero_never_nan():
    W = np.zeros((2, 3))
    W[0, 0] = 1.0
    for array in (W, jnp.asarray(W, jnp.float32)):
        for measure in (geometry.dimensionality, geometry.interference, geometry.norms):
            assert np.isfinite(measure(array)).all()
        np.testing.assert_allclose(geometry.dimensionality(array), [1, 0, 0])
        assert np.isfinite(geometry.cosines(array)).all()


def test_leading_axes_broadcast_and_kinds_are_kept():
    W = np.random.default_rng(0).normal(size=(4, 3, 2, 5))
    for measure in (geometry.dimensionality, geometry.interference, geometry.norms, geometry.represented):
        together = measure(W)
        assert isinstance(together, np.ndarray)
        np.testing.assert_allclose(together[2, 1], measure(W[2, 1]))
        np.testing.assert_allclose(measure(jnp.asarray(W)), together, rtol=1e-4)


def test_antipodal_pairs_are_disjoint_and_most_opposite_first():
    W = np.array([[1.0, -1.0, -0.9, 0.0, 0.0], [0.0, 0.0, 0.2, 1.0, -1.0]])
    assert geometry.antipodal_pairs(W) == [(0, 1), (3, 4)]
    assert geometry.antipodal_pairs(np.zeros((2, 3))) == []
