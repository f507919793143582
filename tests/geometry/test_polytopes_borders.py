"""Where the recogniser of polytopes draws its lines: just inside, just outside, and at the ends of floats."""

import jax.numpy as jnp
import numpy as np
import pytest

from superposition import geometry
from superposition.geometry import shapes
from tests.support.polytopes import DIGON, FACTORS, NAMED


def fan(*degrees):
    """Unit vectors in the plane at these angles."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def only(W, **options):
    (component,) = geometry.recognise(W, **options).components
    return component


def test_a_norm_at_the_threshold_is_dropped():
    assert geometry.recognise([[0.5, 1.0]]).dropped == (0,)


def test_factors_of_one_size_are_listed_by_name():
    # Five features each: the simplex comes second in W, and first in the alphabet.
    assert (
        geometry.recognise(shapes.tegum(shapes.polygon(5), shapes.simplex(4))).name == "4-simplex + pentagon"
    )


@pytest.mark.parametrize(
    ("W", "name"),
    [
        (fan(0, 180, 75, 255), "4 in 2"),  # two digons, 15 degrees from orthogonal
        (fan(*range(0, 90, 30), 99, *range(120, 360, 30)), "12 in 2"),  # a quarter of 30 degrees is less than 9
        (fan(0, 9, 18), "3 in 2"),  # a chain as wide as two tolerances is not one direction
        (fan(0, 9, 120, 135, 244), "5 in 2"),  # 15 degrees apart are two vertices
        (fan(*range(0, 90, 9), 220.5), "11 in 2"),  # a quarter of a turn of neighbours is no vertex of a digon
        (shapes.polygon(64), "64-gon"),
        (shapes.polygon(65), "65 in 2"),
        (shapes.polygon(400), "400 in 2"),
    ],
)  # fmt: skip
def test_what_is_beyond_the_tolerance_has_no_name(W, name):
    component = only(W)
    assert component.name == name
    assert component.deviation == (np.inf if " in " in name else pytest.approx(0, abs=1e-4))


@pytest.mark.parametrize(("height", "rank"), [(0.1, 2), (0.2, 3), (0.3, 3)])
def test_the_rank_of_what_has_no_name_is_the_number_of_directions_it_fills_beyond_the_tolerance(height, rank):
    component = only(np.array([[1, 0, 0.8], [0, 1, 0.6], [0, 0, height]]))
    assert (component.rank, component.deviation) == (rank, np.inf)


@pytest.mark.parametrize("name", FACTORS)
def test_of_several_shapes_within_a_wide_tolerance_the_nearest_names_it(name):
    component = only(NAMED[name], tolerance=40)
    assert component.name == name
    assert component.deviation < 1e-5


def test_between_two_shapes_the_nearer_names_it_whichever_comes_first():
    for share, name in ((0.4, "8-simplex"), (0.6, "3-3 duoprism")):
        C = (1 - share) * geometry.gram(shapes.simplex(8)) + share * geometry.gram(NAMED["3-3 duoprism"])
        values, vectors = np.linalg.eigh(C)
        assert only(np.sqrt(values.clip(0))[:, None] * vectors.T, tolerance=40, edge=0.01).name == name


def test_vectors_that_count_once_leave_name_rank_and_deviation_of_the_rest():
    digon = only(fan(0, 8, 184))
    assert (digon.name, digon.rank) == ("collapsed digon", 1)
    assert digon.deviation < 1e-4
    assert only(np.repeat(shapes.polygon(5), 2, 1)).rank == 2
    together = only(fan(0, 3, 8))
    assert together.name == "3 collapsed"
    assert together.deviation == pytest.approx(8)


def test_dimensions_add_up():
    assert geometry.recognise(shapes.tegum(shapes.polygon(5), DIGON)).dimensions == 3


@pytest.mark.parametrize(
    ("factors", "product"),
    [
        (("digon",) * 2, "square"),
        (("digon",) * 3, "octahedron"),
        (("digon",) * 4, "16-cell"),
        (("triangle", "digon"), "triangular bipyramid"),
        (("pentagon", "digon"), "pentagonal bipyramid"),
        (("hexagon", "digon"), "hexagonal bipyramid"),
        (("tetrahedron", "digon"), "tetrahedral bipyramid"),
    ],
)
def test_every_product_has_its_name(factors, product):
    assert geometry.recognise(shapes.tegum(*(NAMED[f] for f in reversed(factors)))).tegum == product


@pytest.mark.parametrize(
    ("W", "options", "dimensionality"),
    [
        (np.full((2, 3), 1.7e308), {}, 1 / 3),  # the norm is beyond any float
        (np.diag([1e308, 1e-5]), {"represented": 0.0}, 1.0),  # as is the ratio of norms
        (1e308 * shapes.polygon(5), {}, 0.4),
        (jnp.asarray(shapes.polygon(5), jnp.bfloat16), {}, 0.4),
        (shapes.polygon(5).astype(np.float16), {}, 0.4),
    ],
)
def test_dimensionality_is_right_in_every_range_and_type(W, options, dimensionality):
    for component in geometry.recognise(W, **options).components:
        assert component.dimensionality == pytest.approx(dimensionality, rel=1e-2)
