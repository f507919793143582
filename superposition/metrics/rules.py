"""The best simple description of when a latent fires, of counts: "the token is one of T", "the source is s".

A rule is a set of classes (tokens, sources) and says yes on the events of its classes. It is chosen on some events
and judged on others: the best set of thousands of tokens is flattered by the events it was chosen on.
"""

from typing import Any, NamedTuple

import numpy as np

from superposition.errors import ConfigError
from superposition.metrics._arrays import ratio


class Verdict(NamedTuple):
    """Scores of one rule a latent, (n_latents,); 0 where undefined."""

    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def best_sets(hits: Any, totals: Any, fired: Any) -> np.ndarray:
    r"""The set of classes of greatest F1 for each latent, (n_classes, n_latents) boolean; the smallest of equals.

    $F_1(T) = 2 \sum_{c \in T} hits_c / (fired + \sum_{c \in T} totals_c)$ is a ratio of sums, so that a best T holds
    the classes whose rate hits / totals is above half of the best F1: one of the prefixes in the order of the rates.

    Args:
        hits: (n_classes, n_latents), events of a class on which a latent fires.
        totals: (n_classes,), events of a class.
        fired: (n_latents,), events on which a latent fires, those of no class among them.

    Raises:
        ConfigError: Shapes disagree, or there are more hits than events.
    """
    h, n, f = _counts(hits, totals, fired)
    order = np.argsort(-ratio(np, h, n[:, None]), axis=0, kind="stable")
    hits_so_far = np.cumsum(np.take_along_axis(h, order, 0), 0)
    f1 = ratio(np, 2 * hits_so_far, f + np.cumsum(n[order], 0))
    in_best = (np.arange(len(n))[:, None] <= f1.argmax(0)) & (f1.max(0) > 0)
    chosen = np.zeros(h.shape, bool)
    np.put_along_axis(chosen, order, in_best, 0)
    return chosen


def best_classes(hits: Any, totals: Any, fired: Any) -> np.ndarray:
    """The single class of greatest F1 for each latent, as a set; none for a latent that fires on no class."""
    h, n, f = _counts(hits, totals, fired)
    f1 = ratio(np, 2 * h, f + n[:, None])
    return (np.arange(len(n))[:, None] == f1.argmax(0)) & (f1.max(0) > 0)


def judge_sets(hits: Any, totals: Any, fired: Any, chosen: Any) -> Verdict:
    """Scores of chosen sets (n_classes, n_latents) on the events of these counts."""
    h, n, f = _counts(hits, totals, fired)
    inside = np.asarray(chosen, bool)
    if inside.shape != h.shape:
        raise ConfigError(f"chosen must have the shape of hits, {h.shape}; got {inside.shape}")
    true, predicted = (h * inside).sum(0), n @ inside
    return Verdict(ratio(np, 2 * true, f + predicted), ratio(np, true, predicted), ratio(np, true, f))


def _counts(hits: Any, totals: Any, fired: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    h, n, f = (np.asarray(a, np.float64) for a in (hits, totals, fired))
    if h.ndim != 2 or n.shape != h.shape[:1] or f.shape != h.shape[1:] or 0 in h.shape:
        raise ConfigError(
            f"hits must be (n_classes, n_latents), totals (n_classes,), fired (n_latents,); got {h.shape}, {n.shape}, {f.shape}"
        )
    if (h < 0).any() or (h > n[:, None]).any() or (h.sum(0) > f).any():
        raise ConfigError("hits must lie between 0 and totals, and add up to no more than fired")
    return h, n, f
