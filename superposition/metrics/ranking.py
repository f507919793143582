"""How well a unit ranks the examples of a label first: average precision, at the rarity that the label has in the world."""

from typing import Any

import numpy as np
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics import _arrays


def average_precision(
    scores: Any, labels: Any, *, share: float | None = None
) -> Float[np.ndarray, "n_units"]:
    r"""Average precision of each unit as a detector of one label, (n_units,); 1 is a perfect ranking.

    $AP = \sum_t (R_t - R_{t-1}) P_t$ over the unit's values t from the largest down: of the examples at or above t,
    $P_t$ is the labelled share, and $R_t$ is the share of the labelled that are among them. Examples of equal score
    come in together, so that no order among them is assumed: a unit that never fires has AP = share.

    Args:
        scores: (examples, n_units), the larger the surer.
        labels: (examples,), true or not.
        share: Weigh the labelled so that they are this share of all examples, for example 0.003 where a script is
            0.3 % of the text and the examples at hand hold more of it. Default: as the examples are.

    Raises:
        ConfigError: Shapes disagree, an array is empty or not finite, labels are all true or all false, or share is
            not between 0 and 1.

    Example:
        >>> from superposition import metrics
        >>> scores = [[3.0, 0.0], [2.0, 0.0], [1.0, 5.0], [0.0, 0.0]]
        >>> metrics.average_precision(scores, [True, True, False, False]).tolist()  # a perfect unit, and a wrong one
        [1.0, 0.5]
    """
    x = _arrays.matrix(np, "scores", np.asarray(scores), "(examples, n_units)")
    y = np.asarray(labels).astype(bool)
    if y.shape != x.shape[:1]:
        raise ConfigError(f"labels must be ({len(x)},), one an example of scores; got shape {y.shape}")
    if y.all() or not y.any():
        raise ConfigError(f"labels must hold both true and false; all {len(y)} are {str(bool(y[0])).lower()}")
    rarity = float(y.mean())
    if share is not None:
        rarity = validate.one_in_range("share", share, 0.0, 1.0, open_low=True)
    weight = np.where(y, rarity / y.sum(), (1 - rarity) / (~y).sum())
    return np.array([_average(column, y, weight, rarity) for column in x.T])


def _average(score: np.ndarray, y: np.ndarray, weight: np.ndarray, rarity: float) -> float:
    """Of one unit. Those of the least score, for most units the silent ones, are one step and need no sorting."""
    above = np.flatnonzero(score > score.min())
    order = above[np.argsort(-score[above], kind="stable")]
    value, hits = score[order], np.cumsum(weight[order] * y[order])
    ends = np.flatnonzero(np.diff(value, append=-np.inf))
    recall, precision = hits[ends] / rarity, hits[ends] / np.cumsum(weight[order])[ends]
    found = float(recall[-1]) if len(ends) else 0.0
    return float((np.diff(recall, prepend=0.0) * precision).sum()) + (1 - found) * rarity
