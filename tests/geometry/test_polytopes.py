"""The recogniser of polytopes, on shapes built from their coordinates."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superposition import geometry
from superposition.errors import ConfigError
from superposition.geometry import shapes
from superposition.geometry.polytopes import TOLERANCE
from tests.support.polytopes import DIGON, FACTORS, NAMED


def names(W, **options):
    return sorted(c.name for c in geometry.recognise(W, **options).components)


def rotation(rng, m):
    q, r = np.linalg.qr(rng.normal(size=(m, m)))
    return q * np.sign(np.diag(r))


def turned(rng, W, degrees):
    """Every vector turned by up to `degrees` in a random direction, lengths kept."""
    length = np.linalg.norm(W, axis=0)
    aside = rng.normal(size=W.shape)
    aside -= W * (W * aside).sum(0) / length**2
    aside /= np.maximum(np.linalg.norm(aside, axis=0), 1e-12)
    angle = np.radians(degrees) * rng.uniform(0, 1, W.shape[1])
    return np.cos(angle) * W + np.sin(angle) * length * aside


@pytest.mark.parametrize("name", FACTORS)
def test_every_shape_has_its_name_rank_and_dimensionality(name):
    W = NAMED[name]
    m, k = W.shape
    (component,) = geometry.recognise(W).components
    assert component.name == name
    assert component.rank == m == np.linalg.matrix_rank(W)
    assert component.features == tuple(range(k))
    assert component.dimensionality == pytest.approx(m / k)  # they are tight frames
    assert component.deviation == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1)


def test_shapes_have_the_angles_and_symmetries_that_define_them():
    for d in range(1, 12):
        cosines = geometry.gram(shapes.simplex(d))[np.triu_indices(d + 1, 1)]
        np.testing.assert_allclose(cosines, -1 / d, atol=1e-12)
    neighbours = {
        "icosahedron": (5, 1 / math.sqrt(5)),
        "dodecahedron": (3, math.sqrt(5) / 3),
        "3-3 duoprism": (4, 1 / 4),
        "rectified 4-simplex": (6, 1 / 6),
    }
    for name, (count, cosine) in neighbours.items():
        C = geometry.gram(NAMED[name])
        np.fill_diagonal(C, -1)
        assert (np.isclose(C, cosine).sum(1) == count).all()
        assert C.max() == pytest.approx(cosine)
    # A vertex of a square antiprism has two neighbours in its square, and two in the other.
    C = geometry.gram(shapes.antiprism(4))
    across = math.sqrt(2) / 3 - 1 / 3
    np.testing.assert_allclose(
        np.sort(C)[:, -5:-1], np.tile([across, across, 1 / 3, 1 / 3], (8, 1)), atol=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(
    factors=st.lists(st.sampled_from(FACTORS), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_tegum_product_gives_back_its_factors_rotated_permuted_scaled_and_padded(factors, extra, seed):
    rng = np.random.default_rng(seed)
    W = shapes.tegum(*(NAMED[f] for f in factors))
    m, n = W.shape
    W = np.concatenate([W, np.zeros((extra, n))])
    order = rng.permutation(n)
    W = rotation(rng, m + extra) @ (W * rng.uniform(0.6, 3, n))[:, order]
    arrangement = geometry.recognise(W)
    assert sorted(c.name for c in arrangement.components) == sorted(factors)
    assert sum(c.rank for c in arrangement.components) == m
    assert not arrangement.dropped
    ends = np.cumsum([NAMED[f].shape[1] for f in factors])
    wanted = {frozenset(range(e - NAMED[f].shape[1], e)) for e, f in zip(ends, factors, strict=True)}
    assert {frozenset(order[list(c.features)].tolist()) for c in arrangement.components} == wanted


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FACTORS), seed=st.integers(0, 2**32 - 1), extra=st.integers(0, 2))
def test_a_shape_keeps_its_name_while_its_vectors_turn_by_less_than_half_the_tolerance(name, seed, extra):
    rng = np.random.default_rng(seed)
    W = np.concatenate([NAMED[name], np.zeros((extra, NAMED[name].shape[1]))])
    (component,) = geometry.recognise(turned(rng, W, 0.49 * TOLERANCE)).components
    assert component.name == name
    assert component.deviation <= TOLERANCE


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from([f for f in FACTORS if f != "dedicated"]), seed=st.integers(0, 2**32 - 1))
def test_factors_are_told_apart_though_noise_joins_them(name, seed):
    """Cosines of up to sin 9.8 degrees = 0.17 between factors are edges, but not interference worth a name."""
    rng = np.random.default_rng(seed)
    W = turned(rng, shapes.tegum(NAMED[name], NAMED["triangle"]), 0.49 * TOLERANCE)
    assert names(W) == sorted([name, "triangle"])


def test_random_directions_have_no_name():
    rng = np.random.default_rng(0)
    for m, k in [(2, 5), (3, 6), (3, 8), (4, 9), (3, 12)]:
        found = [geometry.recognise(W, represented=0.0).components for W in rng.normal(size=(200, m, k))]
        whole = sum(len(c) == 1 and c[0].name != f"{k} in {c[0].rank}" for c in found)
        assert whole <= 4, (m, k, whole)  # by chance five directions are within 10 degrees of a pentagon


@pytest.mark.parametrize(
    ("W", "name", "tegum"),
    [
        (shapes.polygon(4), "2 digons", "square"),
        (shapes.antiprism(3), "3 digons", "octahedron"),
        (shapes.tegum(shapes.polygon(3), DIGON), "triangle + digon", "triangular bipyramid"),
        (shapes.tegum(DIGON, shapes.polygon(5)), "pentagon + digon", "pentagonal bipyramid"),
        (shapes.tegum(*[DIGON] * 5), "5 digons", "5 digons"),
        (shapes.tegum(*[shapes.simplex(3)] * 2), "2 tetrahedra", "2 tetrahedra"),
        (shapes.tegum(*[shapes.simplex(4)] * 2), "2 4-simplices", "2 4-simplices"),
        (np.eye(3), "3 dedicated", "3 dedicated"),
        (np.zeros((2, 5)), "nothing", "nothing"),
        (np.zeros((2, 0)), "nothing", "nothing"),
        (np.zeros((0, 4)), "nothing", "nothing"),
        (np.ones((3, 2)), "2 collapsed", "2 collapsed"),
        (np.repeat(np.eye(2), 3, 1), "2 x (3 collapsed)", "2 x (3 collapsed)"),
        (np.array([[1.0, -1.0, -2.0]]), "collapsed digon", "collapsed digon"),
        (np.repeat(shapes.polygon(5), 2, 1), "collapsed pentagon", "collapsed pentagon"),
        (np.array([[1.0, 0, 0.8], [0, 1.0, 0.6]]), "3 in 2", "3 in 2"),
        (shapes.tegum(*[np.array([[1.0, 0, 0.8], [0, 1.0, 0.6]])] * 2), "2 x (3 in 2)", "2 x (3 in 2)"),
    ],
)  # fmt: skip
def test_names_of_products_and_of_degenerate_arrangements(W, name, tegum):
    arrangement = geometry.recognise(W)
    assert (arrangement.name, arrangement.tegum) == (name, tegum)
    for component in arrangement.components:
        assert np.isfinite(component.dimensionality)
        assert not np.isnan(component.deviation)


def test_rank_deficient_W_and_features_below_the_threshold():
    flat = np.concatenate([shapes.polygon(5), np.zeros((4, 5))])
    weak = np.zeros((6, 2))
    weak[:, 1] = 0.2
    arrangement = geometry.recognise(np.concatenate([flat, weak], 1))
    assert (arrangement.name, arrangement.dropped) == ("pentagon", (5, 6))
    (component,) = arrangement.components
    assert component.rank == 2
    # What is not represented still interferes: D is that of the whole W.
    whole = geometry.dimensionality(np.concatenate([flat, weak], 1))
    assert component.dimensionality == pytest.approx(whole[:5].mean(), rel=1e-12)
    assert component.dimensionality < 2 / 5 - 1e-3
    assert geometry.recognise(flat, represented=1.5).name == "nothing"
    assert geometry.recognise(0.3 * flat, represented=0.2).name == "pentagon"


def test_edge_is_a_cosine():
    W = np.array([[1.0, np.cos(np.radians(60))], [0.0, np.sin(np.radians(60))]])
    assert geometry.recognise(W, edge=0.49).name == "2 in 2"
    assert geometry.recognise(W, edge=0.51).name == "2 dedicated"
    # The cosines of an 11-simplex, -1 / 11, are no longer edges at the default; they are at a lower one.
    assert geometry.recognise(shapes.simplex(11)).name == "12 dedicated"
    assert geometry.recognise(shapes.simplex(11), edge=0.05).name == "11-simplex"


@pytest.mark.parametrize("size", [1e-150, 1e150, 1e300])
def test_lengths_may_be_huge_or_tiny(size):
    W = shapes.polygon(5) * np.array([1, 2, 3, 4, 5]) * size
    if size > 1:
        (component,) = geometry.recognise(W).components
        assert component.name == "pentagon"
        assert 0 < component.dimensionality < 1
    else:
        assert geometry.recognise(W, represented=0.0).name == "nothing"  # shorter than DEAD


@pytest.mark.parametrize(
    ("W", "options", "words"),
    [
        (np.array([[1.0, np.nan]]), {}, "finite"),
        (np.array([[1.0, np.inf]]), {}, "finite"),
        (np.ones(3), {}, "shape"),
        (np.ones((2, 3, 4)), {}, "one model"),
        (np.ones((2, 3), complex), {}, "real"),
        ([["a", "b"]], {}, "real"),
        ([[1.0], [1.0, 2.0]], {}, "real"),
        (np.eye(2), {"edge": -0.1}, "edge"),
        (np.eye(2), {"edge": np.nan}, "edge"),
        (np.eye(2), {"represented": -1}, "represented"),
        (np.eye(2), {"tolerance": 0}, "tolerance"),
        (np.eye(2), {"tolerance": 90}, "tolerance"),
    ],
)
def test_what_is_not_a_matrix_is_refused(W, options, words):
    with pytest.raises(ConfigError, match=words):
        geometry.recognise(W, **options)


def test_census_counts_features():
    W = shapes.tegum(shapes.polygon(5), DIGON, DIGON, np.zeros((1, 3)))
    counts = geometry.census([geometry.recognise(W), geometry.recognise(W[:, :5])])
    assert counts == {"pentagon": 10, "digon": 4, "not represented": 3}
    assert geometry.census([]) == {}


def test_thousands_of_small_models_and_one_large_take_seconds():
    rng = np.random.default_rng(0)
    begun = time.process_time()
    for W in rng.normal(size=(500, 2, 5)):
        geometry.recognise(W)
    geometry.recognise(rng.normal(size=(30, 400)))
    assert time.process_time() - begun < 5
