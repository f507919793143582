"""Compares and writes numbers that vary over seeds."""

import numpy as np
from scipy import stats


def above(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the mean of a exceeds that of b by more than the seeds' spread (Welch's t, 95 %, two-sided)."""
    if max(a.std(), b.std()) < 1e-6:  # no spread to measure by
        return bool(a.mean() > b.mean())
    return bool(stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue < 0.025)


def spread(values: np.ndarray) -> str:
    """Return the mean +- half of the 95 % confidence interval (Student's t) as text."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"
