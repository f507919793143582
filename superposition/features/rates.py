"""How often each feature is active: densities p_i = P(x_i != 0), most frequent first, in float64.

A function gives the vector for n features; a recipe of the same name (`Zipf`, ...) stands for it where n is not known
yet, as in `SparseUniform(density=Zipf())`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError


def zipf(n: int, exponent: float = 0.5, low: float = 5e-4, high: float = 0.4) -> np.ndarray:
    """A power law of the rank r = 1..n, stretched to end exactly at `low`.

    p_r = low + (high - low) (r^-a - n^-a) / (1 - n^-a), shape (n,). Raises ConfigError out of range.
    Source: SynthSAEBench (arXiv 2602.14687), "Firing probabilities".

    >>> zipf(3, exponent=1.0, low=0.1, high=0.4).round(3).tolist()
    [0.4, 0.175, 0.1]
    """
    _range(n, low, high)
    validate.in_range("exponent", exponent, 0.0, np.inf, open_low=True)
    power = np.arange(1, n + 1, dtype=float) ** -float(exponent)
    return np.full(1, float(high)) if n == 1 else low + (high - low) * (power - power[-1]) / (1 - power[-1])


def linear(n: int, low: float, high: float) -> np.ndarray:
    """From `high` down to `low` in equal steps, shape (n,). Raises ConfigError out of range.

    >>> linear(3, low=0.1, high=0.5).round(3).tolist()
    [0.5, 0.3, 0.1]
    """
    _range(n, low, high)
    return np.linspace(high, low, n)


def geometric(n: int, decay: float = 0.99, mean_active: float = 5.0) -> np.ndarray:
    """p_i = c decay^i with c chosen so that sum_i p_i = mean_active, shape (n,).

    Raises ConfigError when the first feature would have to fire with probability above 1.
    Source: Sharkey, Braun & Millidge 2022, "Taking features out of superposition": n = 512, decay 0.99, 5 active.

    >>> geometric(3, decay=0.5, mean_active=1.0).round(3).tolist()
    [0.571, 0.286, 0.143]
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
    """p_i = mean_active / n, shape (n,). Raises ConfigError for mean_active outside (0, n].

    >>> constant(4, mean_active=1.0).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return geometric(n, 1.0, mean_active)


@dataclass(frozen=True)
class Rates(Recipe, ABC):
    """Densities as a function of their number; a law's `density` may be one. Raises ConfigError out of range.

    >>> from superposition.features import RATES, Zipf
    >>> issubclass(RATES["zipf"], Rates), Zipf(exponent=1.0, low=0.1, high=0.4).vector(3).round(3).tolist()
    (True, [0.4, 0.175, 0.1])
    """

    def __post_init__(self) -> None:
        validate.settle(self)
        for name in vars(self):
            validate.positive(name, getattr(self, name))  # upper ends depend on the number of features

    @abstractmethod
    def vector(self, n: int) -> Float64[np.ndarray, "{n}"]:
        """P(x_i != 0) of n features, float64 (n,)."""


@dataclass(frozen=True)
class Zipf(Rates):
    """A power law of the rank, `zipf(n, exponent, low, high)`.

    >>> from superposition.features import SparseUniform
    >>> SparseUniform(density=Zipf(exponent=1.0, low=0.1, high=0.4)).densities(3).round(3).tolist()
    [0.4, 0.175, 0.1]
    """

    exponent: float = 0.5
    low: float = 5e-4
    high: float = 0.4

    def vector(self, n: int) -> Float64[np.ndarray, "{n}"]:
        """`zipf(n, exponent, low, high)`."""
        return zipf(n, self.exponent, self.low, self.high)


@dataclass(frozen=True)
class LinearRates(Rates):
    """From `high` down to `low` in equal steps, `linear(n, low, high)`.

    >>> LinearRates(low=0.1, high=0.5).vector(3).round(3).tolist()
    [0.5, 0.3, 0.1]
    """

    low: float = 5e-4
    high: float = 0.4

    def vector(self, n: int) -> Float64[np.ndarray, "{n}"]:
        """`linear(n, low, high)`."""
        return linear(n, self.low, self.high)


@dataclass(frozen=True)
class Geometric(Rates):
    """p_i = c decay^i of a given sum, `geometric(n, decay, mean_active)`.

    >>> Geometric(decay=0.5, mean_active=1.0).vector(3).round(3).tolist()
    [0.571, 0.286, 0.143]
    """

    decay: float = 0.99
    mean_active: float = 5.0

    def vector(self, n: int) -> Float64[np.ndarray, "{n}"]:
        """`geometric(n, decay, mean_active)`."""
        return geometric(n, self.decay, self.mean_active)


@dataclass(frozen=True)
class Constant(Rates):
    """The same density for all features, by the number of active ones: `constant(n, mean_active)`.

    >>> Constant(mean_active=1.0).vector(4).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    mean_active: float = 1.0

    def vector(self, n: int) -> Float64[np.ndarray, "{n}"]:
        """`constant(n, mean_active)`."""
        return constant(n, self.mean_active)


def _range(n: int, low: float, high: float) -> None:
    validate.integer("n_features", n, 1)
    validate.in_range("low", low, 0.0, 1.0, open_low=True)
    validate.in_range("high", high, 0.0, 1.0, open_low=True)
    if low > high:
        raise ConfigError(f"low must not exceed high; got low={low:g} and high={high:g}")
