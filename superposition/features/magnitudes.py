"""The magnitude of an active feature: distributions of positive numbers, each a function of one uniform number.

A new distribution is a class and one line in `MAGNITUDES`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.typing import HostVector, PRNGKey

LARGEST = 1e15  # of a magnitude or scale: squares and sums of them stay within float32
SMALLEST = np.float32(1e-30)


class MagnitudeArrays(NamedTuple):
    """Per feature, each (n_features,): the mean and standard deviation asked for, and P(magnitude > 0)."""

    mean: Array
    std: Array
    positive: Array


@dataclass(frozen=True)
class Magnitudes(Recipe, ABC):
    """A distribution of magnitudes m >= 0, one for every feature. A magnitude of 0 is a feature that is not active.

    Raises ConfigError for settings out of range.

    >>> import jax
    >>> from superposition import features
    >>> magnitudes = features.MAGNITUDES["uniform"]()
    >>> magnitudes.moments(magnitudes.arrays(jax.random.key(0), n_features=2))
    (array([0.5, 0.5]), array([0.33333333, 0.33333333]))
    """

    def __post_init__(self) -> None:
        validate.settle(self)

    @abstractmethod
    def arrays(self, key: PRNGKey, n_features: int) -> MagnitudeArrays:
        """The parameters of every feature's magnitude, drawn once."""

    @abstractmethod
    def from_uniform(
        self, u: Float[Array, "*batch"], arrays: MagnitudeArrays, feature: Integer[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        """Magnitudes given that they are positive, from u uniform in (0, 1); u and feature (indices) of one shape."""

    @abstractmethod
    def moments(self, arrays: MagnitudeArrays) -> tuple[HostVector, HostVector]:
        """E m and E m^2 given m > 0, float64 (n_features,) each."""


@dataclass(frozen=True)
class UniformMagnitudes(Magnitudes):
    """m ~ U[0, 1].

    >>> UniformMagnitudes()
    UniformMagnitudes()
    """

    def arrays(self, key: PRNGKey, n_features: int) -> MagnitudeArrays:
        """Mean 1/2 and standard deviation 1/sqrt(12), always positive; nothing is drawn."""
        del key
        half, std = jnp.full(n_features, 0.5, jnp.float32), jnp.full(n_features, 12**-0.5, jnp.float32)
        return MagnitudeArrays(half, std, jnp.ones(n_features, jnp.float32))

    def from_uniform(
        self, u: Float[Array, "*batch"], arrays: MagnitudeArrays, feature: Integer[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        """The uniform number itself."""
        del arrays, feature
        return u

    def moments(self, arrays: MagnitudeArrays) -> tuple[HostVector, HostVector]:
        """1/2 and 1/3."""
        return np.full(len(arrays.mean), 0.5), np.full(len(arrays.mean), 1 / 3)


@dataclass(frozen=True)
class NormalMagnitudes(Magnitudes):
    """m_i = max(0, N(mean_i, std_i)), SynthSAEBench's rectified normal.

    mean_i goes in equal steps from `first` to `last`; std_i is drawn once, |N(std_mean, std_std)|. Raises ConfigError for
    means that are not positive and deviations that are negative. Source: SynthSAEBench (arXiv 2602.14687).

    >>> NormalMagnitudes(first=2.0, last=1.0, std_mean=0.1)
    NormalMagnitudes(first=2.0, std_mean=0.1)
    """

    first: float = 1.0
    last: float = 1.0
    std_mean: float = 0.5
    std_std: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("first", "last"):
            validate.in_range(name, getattr(self, name), 0.0, LARGEST, open_low=True)
        for name in ("std_mean", "std_std"):
            validate.in_range(name, getattr(self, name), 0.0, LARGEST)

    def arrays(self, key: PRNGKey, n_features: int) -> MagnitudeArrays:
        """mean_i, std_i, and P(N(mean_i, std_i) > 0)."""
        mean = jnp.linspace(self.first, self.last, n_features, dtype=jnp.float32)
        normal = jax.random.normal(key, (n_features,), jnp.float32)
        std = jnp.abs(self.std_mean + self.std_std * normal)
        return MagnitudeArrays(mean, std, jax.scipy.special.ndtr(mean / std))

    def from_uniform(
        self, u: Float[Array, "*batch"], arrays: MagnitudeArrays, feature: Integer[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        """The quantile mean - std Phi^-1(u P(positive)), positive."""
        normal = jax.scipy.special.ndtri(u * arrays.positive[feature])
        return jnp.maximum(arrays.mean[feature] - arrays.std[feature] * normal, SMALLEST)

    def moments(self, arrays: MagnitudeArrays) -> tuple[HostVector, HostVector]:
        """E m = mean + std r and E m^2 = mean^2 + std^2 + mean std r, r = phi(z) / Phi(z) at z = mean / std."""
        mean, std = np.asarray(arrays.mean, float), np.asarray(arrays.std, float)
        z = np.minimum(mean / np.maximum(std, np.finfo(float).tiny), 40.0)  # where phi is 0 already
        normal = NormalDist()
        ratio = np.array([normal.pdf(v) / normal.cdf(v) for v in z])
        return mean + std * ratio, mean**2 + std**2 + mean * std * ratio


# How large an active feature is: the laws of magnitudes, by name.
MAGNITUDES: dict[str, type[Magnitudes]] = {"uniform": UniformMagnitudes, "normal": NormalMagnitudes}
