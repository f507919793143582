"""Names, flags and order of groups of neurons that the structures of the paper do not tell apart."""

from itertools import combinations

import numpy as np
import pytest

from superposition.geometry.neurons import neurons
from tests.support.neurons import BINARY, from_codes

SIX = list(combinations(range(4), 2))


@pytest.mark.parametrize(
    ("words", "name", "flag"),
    [
        ([(0, 1)], "1 in 2", None),
        ([(0, 1), (0, 1), (1, 2)], "3 in 3", None),
        ([(0, 1), (0, 2), (1,), (2,)], "4 in 3", None),
        (SIX, "6 pairs of 4", None),
        ([*SIX, (0,)], "7 in 4, flagged", 0),
    ],
)
def test_small_groups_are_named_and_flagged_by_their_codes(words, name, flag):
    group = neurons(from_codes(words, 5, 10)).groups[0]
    assert (group.name, group.flag) == (name, flag)


def test_the_largest_group_comes_first():
    assert [g.name for g in neurons(from_codes(BINARY, 5, 10)).groups] == ["binary code"] + [
        "monosemantic"
    ] * 3
    assert [g.features for g in neurons(np.eye(3)).groups] == [(0,), (1,), (2,)]
