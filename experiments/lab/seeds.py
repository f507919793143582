"""Compares and writes numbers that vary over seeds."""

import numpy as np
from scipy import stats

from experiments.lab.claim import Comparison, more_than


def above(a: np.ndarray, b: np.ndarray | float) -> Comparison:
    """Whether the mean of `a` exceeds that of `b`, with the 95 % interval of the difference (Welch's t over seeds).

    Where `b` is a number, or neither varies, it has no spread.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    difference = float(a.mean() - b.mean())
    spread = [x.var(ddof=1) / x.size if x.size > 1 else 0.0 for x in (a, b)]
    if max(a.std(), b.std()) < 1e-6:  # no spread to measure by
        return more_than(difference, 0)
    freedom = sum(spread) ** 2 / sum(
        s**2 / (x.size - 1) for s, x in zip(spread, (a, b), strict=True) if s > 0
    )
    return more_than(difference, 0, stats.t.ppf(0.975, freedom) * sum(spread) ** 0.5)


def spread(values: np.ndarray) -> str:
    """Return the mean +- half of the 95 % confidence interval (Student's t) as text."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def half_interval(values: np.ndarray) -> np.ndarray:
    """Half of the 95 % confidence interval of the mean over the last axis (Student's t); 0 for one value."""
    n = values.shape[-1]
    if n < 2:
        return np.zeros(values.shape[:-1])
    return np.asarray(stats.t.ppf(0.975, n - 1) * values.std(-1, ddof=1) / np.sqrt(n))
