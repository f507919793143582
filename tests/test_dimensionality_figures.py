"""What the figures of dimensionality are computed from and drawn with."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.toy_models.dimensions_per_feature.claims import plateau
from experiments.toy_models.dimensions_per_feature.draw import dimensions_per_feature
from experiments.toy_models.feature_dimensionality.claims import peaks
from experiments.toy_models.feature_dimensionality.draw import Graph, feature_dimensionality, packed
from experiments.toy_models.feature_dimensionality.kinds import KINDS
from experiments.toy_models.shared import blocks
from experiments.toy_models.thomson.draw import Row, Solid, polytopes
from superposition.errors import ConfigError
from superposition.geometry import shapes
from superposition.theory import kgons


def test_blocks_are_at_their_exact_optimum():
    p = np.array([0.5, 0.1])
    found = blocks.blocks(p)
    names = list(blocks.SHAPES)
    for name, k in (("dedicated", 1), ("digon", 2), ("triangle", 3), ("pentagon", 5), ("hexagon", 6)):
        exact = [k * kgons.kgon(k, float(x)).loss for x in p]
        np.testing.assert_allclose(found.loss[names.index(name)], exact, rtol=3e-3, atol=2e-6)
    loss, D = blocks.filling(found, p, 400, 30)
    assert found.best()[0] == "digon"
    assert loss[0] == pytest.approx(kgons.digon_levels(400, 30, 0.5).min(), rel=1e-4)
    assert D[0] == pytest.approx(1 / (2 * kgons.kgon(2, 0.5).radius ** 2), rel=0.02)


def test_plateau_is_the_longest_stretch_near_a_value():
    x = np.geomspace(1, 100, 30)
    y = np.interp(np.log10(x), [0, 0.2, 0.6, 1.2, 2], [1, 1, 0.5, 0.5, 0.1])
    low, high = plateau(x[::-1], y[::-1], 0.5)
    assert np.log10(high / low) == pytest.approx(0.6, abs=0.1)
    assert np.isnan(plateau(x, y, 2.0)).all()


def test_peaks_are_where_values_crowd():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.normal(0.5, 0.004, 300), rng.normal(0.4, 0.004, 200), rng.uniform(0.2, 0.9, 60)]
    )
    found = peaks(values)
    assert [np.abs(found - v).min() < 0.005 for v in (0.5, 0.4, 0.6667)] == [True, True, False]
    assert len(peaks(np.array([]))) == 0


def test_groups_are_packed_in_the_square_and_apart():
    W = shapes.tegum(*[shapes.simplex(1)] * 7, shapes.polygon(5), np.ones((1, 1)))
    groups = [[2 * k, 2 * k + 1] for k in range(7)] + [list(range(14, 19)), [19]]
    places = packed(W, groups)
    assert ((places >= 0) & (places <= 1)).all()
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(20)
    assert gaps.min() > 0.02


def test_figures_are_drawn_where_nothing_is_represented_and_refuse_what_does_not_fit():
    x, D = np.array([1.0, 2.0, 4.0]), np.array([[0.1, 0.1], [0.5, 0.5], [0.4, 0.0]])
    kinds = np.array([[-1, -1], [1, 1], [4, -1]])
    shares = np.full((3, len(KINDS)), np.nan)
    shares[1:] = np.eye(len(KINDS))[[1, 4]]
    guides = [(1 / 2, "1/2"), (2 / 5, "2/5")]
    graphs = [
        Graph("none", np.zeros((1, 0)), [], np.zeros(0)),
        Graph("pair", shapes.simplex(1), [[0, 1]], np.array([1, 1])),
    ]
    assert isinstance(feature_dimensionality(x, D, kinds, shares, guides, graphs), Figure)
    assert isinstance(dimensions_per_feature(x, D, [(0.5, 1.5, 3.0, "half")]), Figure)
    with pytest.raises(ConfigError, match="kinds"):
        feature_dimensionality(x, D, kinds[:2], shares, guides)
    with pytest.raises(ConfigError, match="shares"):
        feature_dimensionality(x, D, kinds, shares[:, :2], guides)
    with pytest.raises(ConfigError, match="positive"):
        dimensions_per_feature(x - 1, D, [])
    solid = Solid("square antiprism", "8 x 3/8", shapes.antiprism(4), [list(range(8))])
    assert isinstance(polytopes([solid], ["E"], [Row("8 in 3", [("antiprism", True)])], "a\nb"), Figure)
    with pytest.raises(ConfigError, match="cells"):
        polytopes([solid], ["E", "1/r"], [Row("8 in 3", [("antiprism", True)])])
    with pytest.raises(ConfigError, match="2 or 3"):
        polytopes([solid._replace(W=shapes.simplex(4))], ["E"], [])
