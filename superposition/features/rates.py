"""How often each planted feature fires: laws of P(feature i fires), most frequent first, in float64."""

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError


def zipf(n: int, exponent: float = 0.5, low: float = 5e-4, high: float = 0.4) -> np.ndarray:
    """A power law of the rank r = 1..n, stretched to end exactly at `low`.

    p_r = low + (high - low) (r^-a - n^-a) / (1 - n^-a), shape (n,). Raises ConfigError out of range.
    Source: SynthSAEBench (arXiv 2602.14687), "Firing probabilities".
    """
    _range(n, low, high)
    validate.in_range("exponent", exponent, 0.0, np.inf, open_low=True)
    power = np.arange(1, n + 1, dtype=float) ** -float(exponent)
    return np.full(1, float(high)) if n == 1 else low + (high - low) * (power - power[-1]) / (1 - power[-1])


def linear(n: int, low: float, high: float) -> np.ndarray:
    """From `high` down to `low` in equal steps, shape (n,). Raises ConfigError out of range."""
    _range(n, low, high)
    return np.linspace(high, low, n)


def geometric(n: int, decay: float = 0.99, mean_active: float = 5.0) -> np.ndarray:
    """p_i = c decay^i with c chosen so that sum_i p_i = mean_active, shape (n,).

    Raises ConfigError when the first feature would have to fire with probability above 1.
    Source: Sharkey, Braun & Millidge 2022, "Taking features out of superposition": n = 512, decay 0.99, 5 active.
    """
    validate.integer("n_features", n, 1)
    validate.in_range("decay", decay, 0.0, 1.0, open_low=True)
    validate.in_range("mean_active", mean_active, 0.0, n, open_low=True)
    weights = float(decay) ** np.arange(n)
    p = weights * (mean_active / weights.sum())
    if p[0] > 1 + 1e-12:
        raise ConfigError(
            f"mean_active must be at most {weights.sum():.4g} for {n} features and decay={decay:g}, since no "
            f"feature fires more than always; got {mean_active:g}. Lower it, or bring decay nearer to 1"
        )
    return np.minimum(p, 1.0)


def constant(n: int, mean_active: float) -> np.ndarray:
    """p_i = mean_active / n, shape (n,). Raises ConfigError for mean_active outside (0, n]."""
    return geometric(n, 1.0, mean_active)


def _range(n: int, low: float, high: float) -> None:
    validate.integer("n_features", n, 1)
    validate.in_range("low", low, 0.0, 1.0, open_low=True)
    validate.in_range("high", high, 0.0, 1.0, open_low=True)
    if low > high:
        raise ConfigError(f"low must not exceed high; got low={low:g} and high={high:g}")
