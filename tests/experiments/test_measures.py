"""Measures that several experiments' verdicts rest on."""

import numpy as np
import pytest

from experiments.language_model.shared.detectors import strongest
from experiments.toy_models.basins.claims import hexagon_claim
from experiments.toy_models.hidden_basis import alignment
from experiments.toy_models.shared.phase_grid import by_the_rule


def test_only_tokens_that_a_unit_fires_on_are_ranked_and_ties_are_in_no_order_of_the_text():
    activation = np.zeros(1000)
    activation[[700, 900, 800]] = [1.0, 3.0, 2.0]
    assert strongest(activation, 100).tolist() == [900, 800, 700]
    assert len(strongest(np.zeros(5))) == 0
    tied = strongest(np.ones(1000), 50)
    assert len(set(tied.tolist())) == 50
    assert 300 < tied.mean() < 700  # a stable sort would give 24.5
    assert tied.tolist() == strongest(np.ones(1000), 50).tolist()


def test_the_papers_rule_drops_the_worst_seed_and_averages_the_others():
    loss = np.array([[1.0, 5.0, 2.0], [9.0, 1.0, 1.0]])
    norm = np.array([[0.0, 7.0, 1.0], [7.0, 0.0, 0.2]])
    rule = by_the_rule(loss, norm, 2 * norm)
    np.testing.assert_allclose(rule[0], [0.5, 0.1])
    np.testing.assert_allclose(rule[1], [1.0, 0.2])


def test_one_hexagon_in_fifty_seeds_contradicts_that_there_is_none():
    names = [["pentagon"] * 50, ["hexagon", *["pentagon"] * 49]]
    losses = np.ones((2, 50))
    assert hexagon_claim((0.3, 0.1), losses, [names[0]] * 2).verdict == "holds"
    assert hexagon_claim((0.3, 0.1), losses, names).verdict == "does not hold"


def test_features_along_units_and_between_them():
    assert alignment(np.eye(3, 5)) == 1
    assert alignment(np.array([[1.0, 1.0], [1.0, -1.0]])) == pytest.approx(0.5)
    assert alignment(np.zeros((2, 3))) == 0
