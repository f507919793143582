from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from experiments.toy_models import privileged_basis as pb
from experiments.toy_models.privileged_basis import claims as regimes
from experiments.toy_models.privileged_basis.config import Finalist, Found
from superposition.geometry.neurons import neurons


def from_codes(words, off=-0.7):
    """W (5, 10) whose feature i is 1 / sqrt(k) on its k neurons and `off` on others; features without a word are 0."""
    W = np.zeros((5, 10))
    for i, word in enumerate(words):
        W[:, i] = off
        W[list(word), i] = len(word) ** -0.5
    return W


def dense():
    return np.eye(5, 10)


def binary():
    W = np.eye(5, 10)
    W[3:, 3:6] = [[0.7, 0.9, -0.9], [0.7, -0.9, 0.9]]
    W[3:, 3:6] /= np.linalg.norm(W[3:, 3:6], axis=0)
    return W


WINNERS = {
    0.75: dense(),
    0.5: dense(),
    0.35: binary(),
    0.2: binary(),
    0.15: from_codes([(0,), (1,), (2,), (3,), (4,), (2, 3, 4), (2, 3)]),
    0.12: from_codes([(0,), *combinations(range(1, 4), 2), (4, 1), (4, 2), (4, 3)]),
    0.08: from_codes([*combinations(range(4), 3), *((4, k) for k in range(4))]),
    0.05: from_codes([*combinations(range(4), 3), *((4, k) for k in range(4))]),
    0.035: from_codes(list(combinations(range(5), 2))),
    0.02: from_codes(list(combinations(range(5), 2))),
    0.01: from_codes(list(combinations(range(5), 2))),
}


def found(winners, *, every=None, gap=0.1, error=0.01, alone=False):
    result = []
    for density, W in winners.items():
        name = neurons(W).name
        finalists = {name: Finalist(W, np.zeros(10), 0.1, 0.0, 0.0)}
        if not alone:
            other = WINNERS[0.12] if density == 0.12 and name != regimes.SIX else dense()
            finalists.setdefault(
                neurons(other).name + " " * (density != 0.12),
                Finalist(other, np.zeros(10), 0.1, gap, error),
            )
        result.append(Found(density, finalists, Counter(every or {name: 9, "1 in 1": 1}), 0.02))
    return result


def broken(winners, **options):
    """The regimes' claims that do not hold, by their first words."""
    claims = regimes.regimes(found(winners, **options))
    return {k for k, c in enumerate(claims) if not c.holds}


def test_the_papers_structures_hold_every_claim_of_theirs():
    assert broken(WINNERS) == set()


TRIPLES, FLAGGED = [*combinations(range(4), 3)], [(4, k) for k in range(4)]


@pytest.mark.parametrize(
    ("density", "words", "claims"),
    [
        (0.75, [(0,), (1,), (2,), (3,), (4,), (4,)], {0, 13, 14}),
        (0.35, [(0,), (1,), (2,), (3,), (4,), (3, 4), (3,)], {1}),
        (0.15, [(0,), (1,), (2,), (3,), (4,), (3, 4)], {3}),
        (0.12, [(0,), (1, 4), (1, 2), (1, 3), (2, 3), (2, 4), (4,)], {4, 5}),
        # The unimportant features, in place of the important ones, take three neurons of the rest.
        (0.08, FLAGGED + TRIPLES, {9, 10}),
        (0.08, [*TRIPLES[:3], FLAGGED[0], TRIPLES[3], *FLAGGED[1:]], {9}),
        (0.05, TRIPLES + FLAGGED[:3], {7, 8}),
        (0.05, [*TRIPLES, *FLAGGED, (4,)], {7}),
        (0.035, [*TRIPLES, *FLAGGED], {11}),
        (0.02, [*list(combinations(range(5), 2))[:9], (0, 1)], {11, 12}),
    ],
)
def test_another_structure_breaks_the_claims_about_it_and_no_other(density, words, claims):
    assert broken(WINNERS | {density: from_codes(words)}) == claims


def test_six_in_four_may_be_second_by_less_than_one_percent():
    other = {0.12: from_codes([(0,), (1, 4), (1, 2), (1, 3), (2, 3), (2, 4), (4,)])}
    assert broken(WINNERS | other, gap=0.009, error=0.001) == {4}


def test_dropping_an_important_feature_is_no_binary_code_of_the_paper():
    assert broken(WINNERS | {0.2: binary()[:, [9, 1, 2, 3, 4, 5, 0, 6, 7, 8]]}) == {1}


def test_a_code_that_is_not_antipodal_is_told():
    W = binary()
    W[3:, 5] = [-0.05, 1.0]
    assert broken(WINNERS | {0.2: W}) == {2}


def test_the_statistics_follow_the_counts():
    def holds(**options):
        return [c.holds for c in regimes.statistics(1000, found(WINNERS, **options))]

    assert holds() == [True] * 4
    # Of 1,001 models none, or one, has the best structure of its density.
    assert holds(every={"1 in 1": 999, "10 pairs of 5": 1, "5 monosemantic": 1}) == [
        False,
        False,
        False,
        True,
    ]
    assert holds(error=0.04) == [True, True, True, False]
    assert holds(error=0.04, alone=True) == [True] * 4


@pytest.mark.parametrize(("gap", "verdict"), [(0.1, "holds"), (0.015, "undecided")])
def test_a_structure_wins_if_the_next_is_further_off_than_the_error(gap, verdict):
    (one,) = found({0.12: WINNERS[0.12]}, gap=gap, error=0.01)
    assert one.rival
    assert regimes._wins(one, one.neurons.name).verdict == verdict
    assert regimes._wins(one, one.rival).verdict == (
        "undecided" if verdict == "undecided" else "does not hold"
    )
    assert regimes._wins(one, "another") is False


def test_gaps_are_of_paired_draws():
    shared = np.array([1.0, 2.0, 3.0])
    losses = np.stack([shared + 0.2, shared, shared + np.array([0.1, 0.2, 0.3])])
    ranked = pb._ranked(["a", "b"], np.zeros((3, 5, 10)), np.zeros((3, 10)), losses)
    assert list(ranked) == ["b", "a"]
    np.testing.assert_allclose(ranked["a"][3:], [0.1, 0.0], atol=1e-12)
    three = pb._ranked(["a", "b", "c"], np.zeros((3, 5, 10)), np.zeros((3, 10)), losses)["c"]
    np.testing.assert_allclose(three[3:], [0.1, 0.05 / np.sqrt(3)], atol=1e-12)


def test_finalists_are_the_best_model_of_each_structure():
    config = pb.Config(finalists=2, draws=(2, 2), examples=256)
    count = len(config.densities)
    good, bad = np.eye(5, 10), 0.8 * np.eye(5, 10)
    W = np.stack([bad, from_codes([(0,), (0,)]), good, 1.3 * np.eye(5, 10)])[None]
    models = pb._Models(W.astype(np.float32).repeat(count, 0), np.zeros((count, 4, 10), np.float32))
    chosen, structures = pb._finalists(config, models, pb._losses(config, models, 0).mean(2))
    assert chosen.tolist() == [[2, 1]] * count
    assert structures == [["5 monosemantic", "2 in 1"]] * count
