"""Single units as detectors of labels: is there one neuron, or one latent, that fires on all Arabic text and no other?

A unit u detects with threshold t: it says yes where its activation exceeds t. Thresholds are fractions of the
unit's own maximum, so that neurons and latents, of whatever scale, have the same choice (Bricken et al. 2023
compare a feature and a neuron by what they fire on at every strength). Choose the best unit and threshold on some
examples and `judge` them on others: the best of thousands is flattered by the data it was chosen on.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics import _arrays
from superposition.metrics._arrays import ratio

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


class Detections(NamedTuple):
    """Counts over examples.

    labels (n_labels,): examples of each; fired (n_thresholds, n_units): those above each threshold; hits
    (n_thresholds, n_labels, n_units): both together.

    >>> from superposition import metrics
    >>> counts = metrics.detections([[0.9, 0.1], [0.1, 0.2]], [[True], [False]], thresholds=[[0.5, 0.5]])
    >>> counts.fired.tolist(), counts.hits.tolist()
    ([[1.0, 0.0]], [[[1.0, 0.0]]])
    """

    examples: Any
    labels: Any
    fired: Any
    hits: Any


class Detector(NamedTuple):
    """For each label, (n_labels,): the unit, the number of its threshold, and its scores there; 0 where undefined.

    precision = hits / fired, recall (sensitivity) = hits / labelled, specificity = silent unlabelled / unlabelled.

    >>> from superposition import metrics
    >>> counts = metrics.detections([[0.9, 0.1], [0.1, 0.2]], [[True], [False]], thresholds=[[0.5, 0.5]])
    >>> best = metrics.best_detectors(counts)
    >>> best.unit.tolist(), best.f1.tolist()
    ([0], [1.0])
    """

    unit: np.ndarray
    threshold: np.ndarray
    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    specificity: np.ndarray


def thresholds_of(maximum: Any, fractions: Any = FRACTIONS) -> Float[np.ndarray, "n_thresholds n_units"]:
    """Thresholds (n_thresholds, n_units) from each unit's greatest activation (n_units,).

    >>> from superposition import metrics
    >>> metrics.thresholds_of([1.0, 4.0], fractions=[0.0, 0.5]).tolist()
    [[0.0, 0.0], [0.5, 2.0]]
    """
    validate.between("fractions", fractions, np.inf, -np.inf)
    validate.between("maximum", maximum, np.inf, -np.inf)
    if np.ndim(fractions) != 1:
        raise ConfigError(f"fractions must be a list of numbers; got shape {np.shape(fractions)}")
    return np.asarray(fractions, np.float64)[:, None] * np.maximum(np.asarray(maximum, np.float64), 0)


def detections(activations: Any, labels: Any, thresholds: Any) -> Detections:
    """Counts of one batch; `add` joins batches, and the whole can be jitted.

    Args:
        activations: (batch, n_units).
        labels: (batch, n_labels), true or not; an example may have none or several.
        thresholds: (n_thresholds, n_units), of `thresholds_of`.

    Raises:
        ConfigError: Shapes disagree, an array is empty, or (outside jit) holds NaN or infinity.

    Example:
        >>> from superposition import metrics
        >>> activations, labels = [[0.9, 0.1], [0.1, 0.2]], [[True], [False]]
        >>> counts = metrics.detections(activations, labels, metrics.thresholds_of([0.9, 0.2], [0.5]))
        >>> counts.labels.tolist(), counts.fired.tolist()
        ([1.0], [[1.0, 1.0]])
    """
    named = None if _arrays.traced(labels) or isinstance(labels, range) else np.asarray(labels)
    if named is not None and named.dtype.kind in "USO" and named.ndim <= 2:
        raise ConfigError(
            "labels must be (batch, n_labels), true or not; got names: give"
            " np.asarray(labels)[:, None] == np.unique(labels), a column a name"
        )
    xp = _arrays.namespace(activations, labels, thresholds)
    x = _arrays.matrix(xp, "activations", activations, "(batch, n_units)")
    y = _arrays.matrix(xp, "labels", labels, "(batch, n_labels)")
    t = _arrays.matrix(xp, "thresholds", thresholds, "(n_thresholds, n_units)")
    if x.shape[0] != y.shape[0] or x.shape[1] != t.shape[1]:
        raise ConfigError(
            f"activations {x.shape}, labels {y.shape} and thresholds {t.shape} must share batch and n_units"
        )
    above = [(x > row[None]).astype(x.dtype) for row in t]
    return Detections(
        xp.asarray(x.shape[0]),
        y.sum(0),
        xp.stack([a.sum(0) for a in above]),
        xp.stack([y.T @ a for a in above]),
    )


def best_detectors(counts: Detections) -> Detector:
    """The unit and threshold of the greatest F1 for each label; ties go to the first.

    >>> from superposition import metrics
    >>> counts = metrics.detections([[0.9, 0.1], [0.1, 0.2]], [[True], [False]], thresholds=[[0.5, 0.5], [0.0, 0.0]])
    >>> best = metrics.best_detectors(counts)
    >>> best.unit.tolist(), best.threshold.tolist(), best.precision.tolist()
    ([0], [0], [1.0])
    """
    f1 = _f1(counts)
    n_labels = f1.shape[1]
    flat = np.moveaxis(f1, 1, 0).reshape(n_labels, -1).argmax(1)
    threshold, unit = np.unravel_index(flat, (f1.shape[0], f1.shape[2]))
    return judge(counts, unit, threshold)


def judge(counts: Detections, unit: Any, threshold: Any) -> Detector:
    """Scores of chosen units (n_labels,) at chosen thresholds (n_labels,), on the examples of `counts`.

    >>> from superposition import metrics
    >>> counts = metrics.detections([[0.9, 0.1], [0.1, 0.2]], [[True], [False]], thresholds=[[0.0, 0.0]])
    >>> metrics.judge(counts, unit=[1], threshold=[0]).precision.tolist()  # unit 1 fires on both, and one is labelled
    [0.5]
    """
    label, unit, threshold = np.arange(counts.hits.shape[1]), np.asarray(unit), np.asarray(threshold)
    hits = np.asarray(counts.hits, np.float64)[threshold, label, unit]
    fired = np.asarray(counts.fired, np.float64)[threshold, unit]
    truth = np.asarray(counts.labels, np.float64)
    other = float(counts.examples) - truth
    return Detector(
        unit,
        threshold,
        ratio(np, 2 * hits, fired + truth),
        ratio(np, hits, fired),
        ratio(np, hits, truth),
        ratio(np, other - (fired - hits), other),
    )


def _f1(counts: Detections) -> np.ndarray:
    """(n_thresholds, n_labels, n_units)."""
    hits, fired, truth = (np.asarray(a, np.float64) for a in (counts.hits, counts.fired, counts.labels))
    return ratio(np, 2 * hits, fired[:, None] + truth[:, None])
