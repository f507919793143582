"""Average precision: the definition by brute force, its invariances, scikit-learn's, and what is refused."""

import numpy as np
import pytest

from superposition import metrics
from superposition.errors import ConfigError

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.random(200) < 0.2
SCORES = np.round(
    np.maximum(RANDOM.normal(size=(200, 6)) + LABELS[:, None] * np.arange(6) / 2, 0), 1
)  # with ties


def by_definition(score, y, weight):
    total, before = 0.0, 0.0
    for t in np.unique(score)[::-1]:
        above = score >= t
        recall = weight[above & y].sum() / weight[y].sum()
        total += (recall - before) * weight[above & y].sum() / weight[above].sum()
        before = recall
    return total


@pytest.mark.parametrize("share", [None, 0.003, 0.5])
def test_it_is_the_sum_over_thresholds_of_the_gain_in_recall_times_the_precision(share):
    rarity = LABELS.mean() if share is None else share
    weight = np.where(LABELS, rarity / LABELS.sum(), (1 - rarity) / (~LABELS).sum())
    got = metrics.average_precision(SCORES, LABELS, share=share)
    assert got == pytest.approx([by_definition(s, LABELS, weight) for s in SCORES.T], abs=1e-12)


@pytest.mark.parametrize("share", [None, 0.003])
def test_it_is_scikit_learns(share):
    peer = pytest.importorskip("sklearn.metrics")
    weight = None if share is None else np.where(LABELS, share / LABELS.sum(), (1 - share) / (~LABELS).sum())
    expected = [peer.average_precision_score(LABELS, s, sample_weight=weight) for s in SCORES.T]
    assert metrics.average_precision(SCORES, LABELS, share=share) == pytest.approx(expected, abs=1e-9)


def test_a_silent_unit_has_the_share_a_perfect_one_has_1_and_the_order_of_examples_does_not_matter():
    scores = np.stack([np.zeros(200), LABELS * 2.0, SCORES[:, 3]], 1)
    first = metrics.average_precision(scores, LABELS, share=0.01)
    assert first[:2] == pytest.approx([0.01, 1.0])
    mixed = RANDOM.permutation(200)
    assert metrics.average_precision(scores[mixed], LABELS[mixed], share=0.01) == pytest.approx(first)
    assert metrics.average_precision(np.exp(scores), LABELS, share=0.01) == pytest.approx(
        first
    )  # ranks alone count


@pytest.mark.parametrize(("scores", "labels", "share", "message"), [
    (SCORES, LABELS[:-1], None, r"labels must be \(200,\)"),
    (SCORES[:, 0], LABELS, None, "scores must be a matrix"),
    (SCORES, np.zeros(200), None, "all 200 are false"),
    (SCORES, np.ones(200), None, "all 200 are true"),
    (SCORES, LABELS, 0.0, "share"),
    (SCORES, LABELS, 30, "share"),
    (np.full((200, 1), np.nan), LABELS, None, "finite"),
])  # fmt: skip
def test_what_cannot_be_ranked_is_refused(scores, labels, share, message):
    with pytest.raises(ConfigError, match=message):
        metrics.average_precision(scores, labels, share=share)
