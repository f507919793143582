"""What every feature law shares: units that fire independently, and how to draw them.

A unit is a feature, or a set of features that fire together or against each other. A law turns uniform
numbers into features elementwise, so it runs unchanged for one example, a batch, or a sweep of models
that share one draw (common random numbers).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features._draw import BELOW_ONE, key_words, uniform
from superposition.typing import PRNGKey

Numbers = float | Sequence[float] | np.ndarray | Array


@dataclass(frozen=True)
class FeatureLaw(ABC):
    """A distribution of features x in R^n_features; say how often a unit fires by density or by sparsity.

    density p = P(unit fires) in (0, 1], sparsity S = 1 - p in [0, 1): one of them, a number or one per
    unit. Raises ConfigError for both, or for values out of range.
    """

    density: Numbers | None = None
    sparsity: Numbers | None = None
    signed: bool = False

    def __post_init__(self) -> None:
        validate.settle(self)
        if self.density is not None and self.sparsity is not None:
            raise ConfigError(
                f"give density or sparsity, not both; got density={validate.shown(self.density)} and "
                f"sparsity={validate.shown(self.sparsity)} (density = 1 - sparsity)"
            )
        if self.sparsity is not None:
            validate.in_range("sparsity", self.sparsity, 0.0, 1.0, open_high=True, many=True)
            object.__setattr__(self, "density", _plain(1 - np.asarray(self.sparsity, float)))
            object.__setattr__(self, "sparsity", None)
        if self.density is None:
            object.__setattr__(self, "density", 1.0)
        validate.in_range("density", self.density, 0.0, 1.0, open_low=True, many=True)

    @abstractmethod
    def n_units(self, n_features: int) -> int:
        """How many independent coins n_features take."""

    @abstractmethod
    def n_uniforms(self, n_features: int) -> int:
        """How many uniform numbers one example takes (the last is the conditional sampler's own)."""

    @abstractmethod
    def transform(self, u: Array, at: "Thresholds", n_features: int, *, conditional: bool) -> Array:
        """Uniforms u (n_uniforms, *batch) and thresholds (n_units, *batch) -> x (n_features, *batch)."""

    def rows(self, u: Array, at: "Thresholds", n_features: int, *, conditional: bool) -> list[Array]:
        """The same as a list of features; a law may keep them apart, which lets XLA fuse each into its use."""
        return list(self.transform(u, at, n_features, conditional=conditional))

    @abstractmethod
    def mean(self, n_features: int) -> np.ndarray:
        """E x, (n_features,), exact."""

    @abstractmethod
    def second_moment(self, n_features: int) -> np.ndarray:
        """E x x^T, (n_features, n_features), exact."""

    def unit_densities(self, n_features: int) -> Array:
        """Density of every unit, (n_units,); ConfigError when the number given is wrong."""
        units = self.n_units(n_features)
        validate.length("density", self.density, units)
        return jnp.broadcast_to(jnp.asarray(self.density, float), (units,))

    def sample(self, key: PRNGKey, n_features: int, batch_size: int, *, conditional: bool = False) -> Array:
        """Draw (batch_size, n_features); `conditional` draws given that at least one unit fires."""
        validate.integer("batch_size", batch_size, 1)
        u = uniform(key_words(key), jnp.uint32(0), (self.n_uniforms(n_features), batch_size))
        at = thresholds(self.unit_densities(n_features)[:, None])
        return self.transform(u, at, n_features, conditional=conditional).T

    def values(self, u: Array) -> Array:
        """A firing feature's magnitude from u in [0, 1): U[0, 1], or U[-1, 1] when signed."""
        return 2 * u - 1 if self.signed else u

    def _first_moments(self, n_features: int) -> tuple[np.ndarray, float, float]:
        """Unit densities, E value and E value^2 of a firing feature, in float64."""
        units = self.n_units(n_features)
        p = np.broadcast_to(np.asarray(self.density, np.float64), (units,))
        return p, 0.0 if self.signed else 0.5, 1 / 3


class Thresholds(NamedTuple):
    """Constants that sampling compares with, (n_units, *rest); computed once, not every step.

    inverse 1 / p; reached c_i = 1 - prod_{j<=i} (1 - p_j) and before c_{i-1}, the chances that some unit up
    to i, or before it, fires; any q = c_last, (*rest).
    """

    density: Array
    inverse: Array
    before: Array
    reached: Array
    any: Array


def thresholds(density: Array) -> Thresholds:
    """Thresholds of units with these densities, (n_units, *rest)."""
    reached = -jnp.expm1(jnp.cumsum(jnp.log1p(-density), 0))
    before = jnp.concatenate([jnp.zeros_like(reached[:1]), reached[:-1]])
    return Thresholds(density, 1 / density, before, reached, reached[-1])


def firing(u: Array, at: Thresholds, chooser: Array | None) -> tuple[Array, Array]:
    """Which units fire, and a fresh U[0, 1) for each that does; u and thresholds (n_units, *batch).

    One uniform gives both: given u < p, u / p is uniform. With `chooser` (one more uniform per example)
    the draw is conditional on at least one unit firing: the first to fire is found by inverting
    P(first <= i | any) = c_i / q, those before it are silent, those after it are free. Exact, with static
    shapes. Elementwise: rows of u and of the thresholds give rows.
    """
    fires = u < at.density
    value = u * at.inverse  # u < p keeps this <= 1 after rounding
    if chooser is None:
        return fires, value
    t = chooser * (at.any * BELOW_ONE)  # strictly below q after rounding: some unit always fires
    after_first = t < at.before
    return jnp.where(after_first, fires, t < at.reached), jnp.where(after_first, value, u)


def _plain(values: np.ndarray) -> Any:
    return float(values) if values.ndim == 0 else tuple(float(v) for v in values)
