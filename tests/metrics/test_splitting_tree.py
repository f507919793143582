"""The tree of features over several widths, read from both ends, and partners of both sides at once."""

import numpy as np
import pytest

from superposition import metrics
from superposition.errors import ConfigError

# Six examples. Narrow: 0 fires on 0..3, 1 on 4, 5; 2 never. Wide: 0 and 1 are halves of narrow 0; 2 is narrow 1 on one
# of its two occasions, 3 a stranger; 4 never fires.
NARROW = np.array([[1, 0, 0]] * 4 + [[0, 1, 0]] * 2, float)
WIDE = np.array(
    [[1, 0, 0, 0, 0], [1, 0, 0, 1, 0], [0, 2, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 3, 1, 0], [0, 0, 0, 0, 0]],
    float,
)
D_NARROW = np.eye(3, 4)
D_WIDE = np.array([[1, 0, 0, 0.5], [1, 0, 0, -0.5], [0, 1, 0, 0], [0, 0, 0, 1.0], [1, 0, 0, 0]])


def tree():
    return metrics.split_features(D_NARROW, D_WIDE, metrics.cofiring(NARROW, WIDE))


def test_coalescing_by_hand():
    splitting = tree()
    assert splitting.parent.tolist() == [0, 0, 1, -1, -1]
    counts = metrics.coverage(NARROW, WIDE, splitting.parent)
    got = metrics.coalescing(splitting, counts)
    assert got.merged.tolist() == [2, 1, 0]
    np.testing.assert_allclose(got.covered, [1, 0.5, 0])
    assert got.merged_fraction == 1 / 2  # the dead one does not count
    assert got.whole_fraction == 1
    assert got.lost_fraction == 1 / 4


def test_a_parent_that_fires_without_its_children_is_more_than_the_sum_of_its_parts():
    splitting = tree()
    lonely = np.concatenate([NARROW, [[1.0, 0, 0]] * 4])
    counts = metrics.coverage(lonely, np.concatenate([WIDE, np.zeros((4, 5))]), splitting.parent)
    got = metrics.coalescing(splitting, counts)
    np.testing.assert_allclose(got.covered[0], 4 / 8)
    assert got.whole_fraction == 0
    assert metrics.coalescing(splitting, counts, level=0.5).whole_fraction == 1


def test_coverage_of_batches_adds_up_and_two_children_at_once_count_once():
    r = np.random.default_rng(0)
    narrow, wide = (r.random((50, n)) * (r.random((50, n)) < 0.4) for n in (3, 7))
    parent = np.array([0, 0, 1, -1, 2, 1, 0])
    whole = metrics.coverage(narrow, wide, parent)
    parts = [metrics.coverage(narrow[s], wide[s], parent) for s in (slice(0, 20), slice(20, 50))]
    for a, b in zip(metrics.add(*parts), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    for i in range(3):
        expected = sum(narrow[t, i] > 0 and any(wide[t, parent == i] > 0) for t in range(50))
        assert whole.covered[i] == expected


def test_lineage_follows_links_and_ends_where_one_is_missing():
    first, second = metrics.lineage([[0, 0, -1, 2], [3, 2, 1, -1, 0]])
    assert first.tolist() == [0, 0, -1, 2]
    assert second.tolist() == [2, -1, 0, -1, 0]


def test_partners_of_both_sides_are_those_of_each_side_alone():
    r = np.random.default_rng(1)
    a = r.normal(size=(40, 5))
    b = np.concatenate([a[:, [3, 1]] + 0.1 * r.normal(size=(40, 2)), np.zeros((40, 1))], 1)
    of_a, of_b = metrics.partners(metrics.correlation_sums(a, b))
    for got, pair in ((of_a, (a, b)), (of_b, (b, a))):
        alone = metrics.best_partners([pair])
        np.testing.assert_allclose(got.correlation, alone.correlation, atol=1e-12)
        np.testing.assert_array_equal(got.partner, alone.partner)
    assert of_b.partner.tolist() == [3, 1, -1]
    assert of_b.correlation[0] > 0.9


def test_trees_that_do_not_fit_are_refused():
    splitting = tree()
    with pytest.raises(ConfigError, match="counts"):
        metrics.coalescing(splitting, metrics.Coverage(np.ones(4), np.ones(4)))
    with pytest.raises(ConfigError, match="level"):
        metrics.coalescing(splitting, metrics.coverage(NARROW, WIDE, splitting.parent), level=0.0)
    with pytest.raises(ConfigError, match="parent"):
        metrics.coverage(NARROW, WIDE, [0, 0, 3, 0, 0])
    with pytest.raises(ConfigError, match="at least one link"):
        metrics.lineage([])
    with pytest.raises(ConfigError, match=r"parents\[1\]"):
        metrics.lineage([[0, 0], [2]])
