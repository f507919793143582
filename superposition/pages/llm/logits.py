"""What latents write to the logits by the direct path: histogram, and the tokens at both ends."""

from typing import NamedTuple

import numpy as np

from superposition.llm.direct import logit_weights
from superposition.llm.model import LanguageModel

CELLS = 2**24
BINS, ENDS = 50, 10


class Logits(NamedTuple):
    """Of each latent: tokens of the greatest and least weights (n, ENDS), and counts (n, BINS) from low to high."""

    highest: np.ndarray
    most: np.ndarray
    lowest: np.ndarray
    least: np.ndarray
    histogram: np.ndarray
    low: np.ndarray
    high: np.ndarray


def logits_of(lm: LanguageModel, hook: str, directions: np.ndarray) -> Logits:
    """Of directions (n, width); ConfigError for a hook point without a direct path."""
    step = max(1, CELLS // lm.spec.d_vocab)
    ends = min(ENDS, lm.spec.d_vocab)
    parts = []
    for a in range(0, len(directions), step):
        rows = directions[a : a + step]
        filled = np.pad(rows, ((0, min(step, len(directions)) - len(rows)), (0, 0)))
        weights = np.asarray(logit_weights(lm, hook, filled))[: len(rows)]
        columns = []
        for sign in (-1, 1):
            some = np.argpartition(sign * weights, ends - 1, axis=1)[:, :ends]
            values = np.take_along_axis(weights, some, 1)
            order = np.lexsort((some, sign * values), axis=1)
            columns += [np.take_along_axis(some, order, 1), np.take_along_axis(values, order, 1)]
        low, high = weights.min(1), weights.max(1)
        width = np.where(high > low, high - low, 1)[:, None]
        bins = np.clip(((weights - low[:, None]) / width * BINS).astype(np.int64), 0, BINS - 1)
        flat = (bins + BINS * np.arange(len(rows))[:, None]).reshape(-1)
        counts = np.bincount(flat, minlength=BINS * len(rows)).reshape(-1, BINS)
        parts.append((*columns, counts, low, high))
    return Logits(*(np.concatenate(column) for column in zip(*parts, strict=True)))
