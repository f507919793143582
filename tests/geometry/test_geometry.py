import jax
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
    assert geometry.antipodal_pairs([[1, -1, -0.995], [0, 0.1, 0]]) == [(0, 2)]


def test_a_feature_as_short_as_dead_has_no_interference():
    assert geometry.interference(np.array([[5e-7, 1.0]]))[0] == 0


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (np.float64, 1e200),
        (np.float32, 1e10),
        (np.float32, 1e30),
        (np.float16, 100),
        (np.float16, 1e-3),
        (int, 40),
    ],
)
def test_dimensionality_and_cosines_of_a_digon_and_a_neighbour_whatever_the_type(dtype, size):
    W = (size * np.array([[1.0, -1.0, 0.5], [0.0, 0.0, 0.5]])).astype(dtype)
    for array in (W,) if dtype is np.float64 else (W, jnp.asarray(W)):
        np.testing.assert_allclose(geometry.dimensionality(array), [4 / 9, 4 / 9, 1 / 3], rtol=5e-3)
        np.testing.assert_allclose(geometry.cosines(array)[2], [0.5**0.5, -(0.5**0.5), 1], rtol=5e-3)
    whole = np.array([[100, -100], [100, 100]], np.int8)
    np.testing.assert_array_equal(geometry.gram(whole), [[20_000, 0], [0, 20_000]])


def test_measures_can_be_compiled_mapped_and_differentiated():
    W = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 5)), jnp.float32).at[:, :, 0].set(0)
    for measure in (geometry.dimensionality, geometry.interference, geometry.cosines):
        np.testing.assert_allclose(jax.jit(jax.vmap(measure))(W), measure(W), rtol=1e-4, atol=1e-5)
        slope = jax.grad(lambda w, f=measure: (f(w) ** 2).sum())(W[0])
        step = 1e-2 * jnp.ones((2, 5)).at[:, 0].set(0)
        rise = (measure(W[0] + step) ** 2).sum() - (measure(W[0] - step) ** 2).sum()
        assert float((slope * step).sum()) == pytest.approx(float(rise) / 2, rel=0.02, abs=1e-4)
