import numpy as np
import pytest

from superposition import metrics
from superposition.errors import ConfigError


def example(seed=0, n=4000):
    """Three units: noise, one that fires above 0.5 on label 1 and faintly elsewhere, one that never fires."""
    r = np.random.default_rng(seed)
    labels = r.random((n, 2)) < [0.3, 0.1]
    x = np.maximum(r.normal(size=(n, 3)), 0)
    x[:, 1] = np.where(labels[:, 1], 0.5 + 0.5 * r.random(n), 0.2 * r.random(n))
    x[:, 2] = 0
    return x, labels


def by_hand(x, labels, threshold):
    said = x > threshold
    hits, fired, true = (said & labels).sum(), said.sum(), labels.sum()
    other = len(labels) - true
    return 2 * hits / (fired + true), hits / max(fired, 1), hits / true, (other - (fired - hits)) / other


def test_the_planted_unit_is_found_at_a_threshold_that_parts_label_from_noise():
    x, labels = example()
    thresholds = metrics.thresholds_of(x.max(0))
    best = metrics.best_detectors(metrics.detections(x, labels, thresholds))
    assert best.unit[1] == 1
    assert best.f1[1] == 1
    assert 0.2 <= thresholds[best.threshold[1], 1] < 0.5
    assert best.f1[0] < 0.5  # nothing detects label 0
    assert best.recall[1] == best.precision[1] == best.specificity[1] == 1


def test_scores_are_those_computed_by_hand_for_every_unit_and_threshold():
    x, labels = example(1)
    thresholds = metrics.thresholds_of(x.max(0))
    counts = metrics.detections(x, labels, thresholds)
    for t in range(len(thresholds)):
        for unit in range(3):
            got = metrics.judge(counts, [unit, unit], [t, t])
            for label in range(2):
                f1, precision, recall, specificity = by_hand(
                    x[:, unit], labels[:, label], thresholds[t, unit]
                )
                assert got.f1[label] == pytest.approx(f1)
                assert got.precision[label] == pytest.approx(precision)
                assert got.recall[label] == pytest.approx(recall)
                assert got.specificity[label] == pytest.approx(specificity)


def test_counts_of_two_halves_add_up_to_those_of_the_whole():
    x, labels = example(2)
    thresholds = metrics.thresholds_of(x.max(0))
    whole = metrics.detections(x, labels, thresholds)
    parts = metrics.add(
        metrics.detections(x[:1500], labels[:1500], thresholds),
        metrics.detections(x[1500:], labels[1500:], thresholds),
    )
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_unit_chosen_among_thousands_of_noise_is_judged_lower_on_fresh_text():
    r = np.random.default_rng(3)
    labels, x = r.random((200, 1)) < 0.1, np.maximum(r.normal(size=(200, 3000)), 0)
    fresh_labels, fresh = r.random((200, 1)) < 0.1, np.maximum(r.normal(size=(200, 3000)), 0)
    thresholds = metrics.thresholds_of(x.max(0))
    best = metrics.best_detectors(metrics.detections(x, labels, thresholds))
    judged = metrics.judge(metrics.detections(fresh, fresh_labels, thresholds), best.unit, best.threshold)
    assert judged.f1[0] < best.f1[0] - 0.1


def test_shapes_that_disagree_and_values_that_are_not_finite_are_refused():
    x, labels = example()
    thresholds = metrics.thresholds_of(x.max(0))
    with pytest.raises(ConfigError, match="share batch and n_units"):
        metrics.detections(x[:10], labels, thresholds)
    with pytest.raises(ConfigError, match="finite"):
        metrics.detections(np.full((3, 3), np.nan), labels[:3], thresholds)
