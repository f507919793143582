"""Latents as detectors and as gauges of true features: who fires when, and how strongly.

Each latent is judged against one true feature: the `nearest` (many latents may share one, SynthSAEBench's
definition, arXiv 2602.14687) or, `one_to_one`, the Hungarian partner of `match`. A score that is undefined (a dead
latent has no precision) is 0, the worst, never NaN.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics import _arrays
from superposition.metrics._arrays import ratio
from superposition.metrics.moments import correlation
from superposition.metrics.recovery import match, nearest
from superposition.metrics.streaming import Sums, accumulate, require

BANDS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)
_NEEDS = "latents, coefficients and match"


class Scores(NamedTuple):
    """Per latent, (d_sae,); 0 where undefined and for a latent without a matched feature.

    >>> from superposition import metrics
    >>> latents, coefficients = [[1.0, 0.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> metrics.classify(latents, coefficients, [[1, 0], [0, 1]], [[1, 0], [0, 1]]).per_latent.precision.tolist()
    [0.5, 1.0]
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    accuracy: np.ndarray
    matched: np.ndarray  # boolean


class Classification(NamedTuple):
    """Means over the latents that have a matched feature, dead ones among them, and the scores of each.

    >>> from superposition import metrics
    >>> latents, coefficients = [[1.0, 0.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> result = metrics.classify(latents, coefficients, [[1, 0], [0, 1]], [[1, 0], [0, 1]])
    >>> result.precision, result.recall
    (0.75, 1.0)
    """

    precision: float
    recall: float
    f1: float
    accuracy: float
    per_latent: Scores


class Bands(NamedTuple):
    """Mean F1 of the latents whose feature's firing rate lies in [edges[i], edges[i+1]); NaN for none.

    >>> import numpy as np
    >>> from superposition import metrics
    >>> coefficients = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    >>> metrics.f1_by_frequency(coefficients, coefficients, np.eye(2), np.eye(2), edges=(0.0, 0.5, 1.0))
    Bands(edges=array([0. , 0.5, 1. ]), f1=array([1., 1.]), n_latents=array([1, 1]))
    """

    edges: np.ndarray
    f1: np.ndarray
    n_latents: np.ndarray


class Magnitude(NamedTuple):
    """Least-squares line of activation against coefficient, per latent, and on how many examples it rests.

    >>> from superposition import metrics
    >>> coefficients = [[1.0], [2.0], [3.0]]
    >>> line = metrics.magnitude_slope(coefficients, coefficients, [[1.0, 0.0]], [[1.0, 0.0]])
    >>> line.slope.tolist(), line.r2.round(6).tolist(), line.examples.tolist()
    ([1.0], [1.0], [3])
    """

    slope: np.ndarray
    r2: np.ndarray
    examples: np.ndarray


def classify_from(sums: Sums) -> Classification:
    """`classify` of a stream; raises ConfigError unless latents, coefficients and match were summed.

    >>> from superposition import metrics
    >>> sums = metrics.accumulate(None, None, [[1.0, 0.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], match=[0, 1])
    >>> metrics.classify_from(sums).precision
    0.75
    """
    require(sums, "hits", from_=_NEEDS)
    hits, fired, truth, total = (
        np.asarray(part, np.float64) for part in (sums.hits, sums.fired, sums.matched_fired, sums.matched)
    )
    matched = total > 0
    scores = Scores(
        precision=ratio(np, hits, np.where(matched, fired, 0)),
        recall=ratio(np, hits, truth),
        f1=ratio(np, 2 * hits, np.where(matched, fired + truth, 0)),
        accuracy=ratio(np, total - fired - truth + 2 * hits, total),
        matched=matched,
    )
    p, r, f1, accuracy = (float(score[matched].mean()) if matched.any() else 0.0 for score in scores[:4])
    return Classification(p, r, f1, accuracy, per_latent=scores)


def f1_by_frequency_from(sums: Sums, edges: Sequence[float] = BANDS) -> Bands:
    """`f1_by_frequency` of a stream.

    >>> from superposition import metrics
    >>> sums = metrics.accumulate(None, None, [[1.0], [0.0]], [[1.0], [0.0]], match=[0])
    >>> metrics.f1_by_frequency_from(sums, edges=(0.1, 1.0)).f1.tolist()
    [1.0]
    """
    validate.between("edges", edges, 1.0)
    ordered = np.asarray(edges, np.float64)
    if ordered.ndim != 1 or len(ordered) < 2 or not (np.diff(ordered) > 0).all():
        raise ConfigError(f"edges must be two or more increasing firing rates; got {edges!r}")
    scores = classify_from(sums).per_latent
    rate = ratio(np, np.asarray(sums.matched_fired, np.float64), np.asarray(sums.matched, np.float64))
    last = rate == ordered[-1]  # the last band is closed
    band = np.where(last, len(ordered) - 2, np.searchsorted(ordered, rate, side="right") - 1)
    members = [scores.matched & (band == i) for i in range(len(ordered) - 1)]
    f1 = [scores.f1[m].mean() if m.any() else np.nan for m in members]
    return Bands(ordered, np.array(f1), np.array([m.sum() for m in members]))


def activation_correlation_from(sums: Sums) -> Float[np.ndarray, "d_sae"]:
    """`activation_correlation` of a stream.

    >>> from superposition import metrics
    >>> sums = metrics.accumulate(None, None, [[1.0], [2.0]], [[10.0], [20.0]], match=[0])
    >>> metrics.activation_correlation_from(sums).round(6).tolist()
    [1.0]
    """
    require(sums, "pairs", from_=_NEEDS)
    return correlation(sums.pairs)  # type: ignore[arg-type]


def magnitude_slope_from(sums: Sums, W_dec: Any) -> Magnitude:
    """`magnitude_slope` of a stream.

    >>> from superposition import metrics
    >>> sums = metrics.accumulate(None, None, [[1.0], [2.0], [3.0]], [[1.0], [2.0], [3.0]], match=[0])
    >>> metrics.magnitude_slope_from(sums, [[0.5, 0.0]]).slope.tolist()  # a short decoder row: half of the feature
    [0.5]
    """
    require(sums, "firing", from_=_NEEDS)
    rows = _arrays.matrix(np, "W_dec", W_dec, "(d_sae, d_in)")
    firing = sums.firing
    assert firing is not None
    cross, m2 = (np.asarray(v, np.float64) for v in (firing.cross, firing.b.m2))
    if len(cross) != len(rows):
        raise ConfigError(f"W_dec must have one row per latent summed, {len(cross)}; got {len(rows)}")
    slope = ratio(np, cross, m2) * np.linalg.norm(rows, axis=1)
    return Magnitude(slope, correlation(firing) ** 2, np.asarray(firing.a.n, np.int64))


def classify(
    latents: Any, coefficients: Any, W_dec: Any, dictionary: Any, *, one_to_one: bool = False
) -> Classification:
    r"""Precision, recall, F1 and accuracy of latents as detectors of their true features.

    $$P = \frac{TP}{TP + FP}, \quad R = \frac{TP}{TP + FN}, \quad F_1 = \frac{2PR}{P + R}, \quad
    A = \frac{TP + TN}{\mathrm{batch}}$$

    Args:
        latents: (batch, d_sae); positive where not 0.
        coefficients: True features (batch, n_features); true where not 0.
        W_dec: (d_sae, d_in).
        dictionary: (n_features, d_in).
        one_to_one: Pair by `match` instead of `nearest`. Latents left without a feature then score 0 and are left
            out of the means.

    Raises:
        ConfigError: Shapes disagree, an array is empty or holds NaN or infinity.

    Example:
        >>> import numpy as np
        >>> from superposition import metrics
        >>> coefficients = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> metrics.classify(coefficients, coefficients, np.eye(2), np.eye(2)).f1
        1.0
    """
    return classify_from(_paired(latents, coefficients, W_dec, dictionary, one_to_one))


def f1_by_frequency(
    latents: Any,
    coefficients: Any,
    W_dec: Any,
    dictionary: Any,
    *,
    edges: Sequence[float] = BANDS,
    one_to_one: bool = False,
) -> Bands:
    """Mean F1 by the measured firing rate of the matched true feature. Arguments as for `classify`.

    >>> import numpy as np
    >>> from superposition import metrics
    >>> coefficients = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    >>> latents = coefficients * [0.0, 1.0]  # the rare feature's latent is dead
    >>> metrics.f1_by_frequency(latents, coefficients, np.eye(2), np.eye(2), edges=(0.0, 0.5, 1.0)).f1.tolist()
    [0.0, 1.0]
    """
    return f1_by_frequency_from(_paired(latents, coefficients, W_dec, dictionary, one_to_one), edges)


def activation_correlation(
    latents: Any, coefficients: Any, W_dec: Any, dictionary: Any, *, one_to_one: bool = True
) -> Float[np.ndarray, "d_sae"]:
    """Pearson correlation of each latent with its feature's coefficient over all examples, (d_sae,).

    0 for a latent without a feature, and where either never varies. Arguments as for `classify`.

    >>> import numpy as np
    >>> from superposition import metrics
    >>> coefficients = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    >>> metrics.activation_correlation(2 * coefficients, coefficients, np.eye(2), np.eye(2)).round(6).tolist()
    [1.0, 1.0]
    """
    return activation_correlation_from(_paired(latents, coefficients, W_dec, dictionary, one_to_one))


def magnitude_slope(
    latents: Any, coefficients: Any, W_dec: Any, dictionary: Any, *, one_to_one: bool = True
) -> Magnitude:
    r"""How a latent's contribution grows with the true coefficient, where both fire.

    $$\mathrm{slope}_j = \|d_j\| \, \frac{\mathrm{Cov}(a_j, c)}{\mathrm{Var}(c)}, \quad
    R^2_j = \frac{\mathrm{Cov}(a_j, c)^2}{\mathrm{Var}(a_j)\,\mathrm{Var}(c)}$$

    With intercept; 1 and 1 for unit features read exactly, a slope below 1 is shrinkage that grows with the
    magnitude. 0 where the coefficient does not vary. Arguments as for `classify`.

    >>> from superposition import metrics
    >>> latents, coefficients = [[0.5], [1.5], [2.5]], [[1.0], [2.0], [3.0]]  # a constant shrinkage: the slope is 1
    >>> metrics.magnitude_slope(latents, coefficients, [[1.0, 0.0]], [[1.0, 0.0]]).slope.tolist()
    [1.0]
    """
    return magnitude_slope_from(_paired(latents, coefficients, W_dec, dictionary, one_to_one), W_dec)


def _paired(latents: Any, coefficients: Any, W_dec: Any, dictionary: Any, one_to_one: bool) -> Sums:
    xp = _arrays.namespace(latents, coefficients)
    a = _arrays.matrix(xp, "latents", latents, "(batch, d_sae)")
    c = _arrays.matrix(xp, "coefficients", coefficients, "(batch, n_features)")
    pairs = (
        match(W_dec, dictionary).feature_of_latent
        if validate.truth("one_to_one", one_to_one)
        else nearest(W_dec, dictionary)
    )
    if len(pairs) != a.shape[1]:
        raise ConfigError(f"W_dec must have one row per latent, {a.shape[1]}; got {len(pairs)}")
    if len(dictionary) != c.shape[1]:
        raise ConfigError(
            f"dictionary must have one row per true feature, {c.shape[1]}; got {len(dictionary)}"
        )
    return accumulate(None, None, a, c, pairs)
