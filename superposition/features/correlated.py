"""Sets of features that fire together, or one at a time (Elhage et al. 2022, "Correlated features")."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features._base import FeatureLaw, Thresholds, firing


@dataclass(frozen=True)
class _Sets(FeatureLaw):
    """Features 0..k-1 are the first set, k..2k-1 the second, and so on; k = n_features / n_sets."""

    n_sets: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.integer("n_sets", self.n_sets, 1)

    def n_units(self, n_features: int) -> int:
        """Every set is a unit; n_features must be a multiple of n_sets."""
        if n_features % self.n_sets:
            raise ConfigError(
                f"n_features must be a multiple of n_sets={self.n_sets} so that the sets are of one size; "
                f"got {n_features}"
            )
        return self.n_sets

    def n_uniforms(self, n_features: int) -> int:
        """A coin per set, a number per feature, and one that chooses the first set to fire."""
        return self.n_units(n_features) + n_features + 1

    def _fires(self, u: Array, at: Thresholds, conditional: bool) -> tuple[Array, Array, int]:
        fires, value = firing(u[: self.n_sets], at, u[-1] if conditional else None)
        return fires, value, (u.shape[0] - self.n_sets - 1) // self.n_sets


@dataclass(frozen=True)
class Correlated(_Sets):
    """One coin a set decides whether all its features are non-zero; their values are independent.

    Within a set E x_i x_j = p E[v]^2, across sets p^2 E[v]^2; E x_i^2 = p / 3.
    """

    def transform(self, u: Array, at: Thresholds, n_features: int, *, conditional: bool) -> Array:
        """X (n_features, *batch); set s fires as a whole."""
        fires, _, size = self._fires(u, at, conditional)
        return jnp.where(jnp.repeat(fires, size, 0), self.values(u[self.n_sets : -1]), 0.0)

    def mean(self, n_features: int) -> np.ndarray:
        """E x_i = p_set E[value]."""
        p, first, _ = self._first_moments(n_features)
        return np.repeat(p, n_features // self.n_sets) * first

    def second_moment(self, n_features: int) -> np.ndarray:
        """Block matrix: one coin inside a set, two across sets."""
        p, first, second = self._first_moments(n_features)
        size = n_features // self.n_sets
        joint = np.outer(p, p)
        np.fill_diagonal(joint, p)
        moment = np.kron(joint, np.ones((size, size))) * first**2
        np.fill_diagonal(moment, np.repeat(p, size) * second)
        return moment


@dataclass(frozen=True)
class Anticorrelated(_Sets):
    """A set is silent with probability S, else exactly one of its features, chosen uniformly, is non-zero.

    With sets of k features: E x_i = p E[v] / k, E x_i^2 = p / (3 k), and E x_i x_j = 0 inside a set.
    """

    def transform(self, u: Array, at: Thresholds, n_features: int, *, conditional: bool) -> Array:
        """X (n_features, *batch); the coin's own remainder chooses the member."""
        fires, value, size = self._fires(u, at, conditional)
        chosen = jnp.repeat(jnp.minimum(jnp.floor(value * size), size - 1), size, 0)
        member = jnp.tile(jnp.arange(size, dtype=chosen.dtype), self.n_sets)
        is_chosen = chosen == member.reshape(-1, *(1 for _ in range(u.ndim - 1)))
        on = jnp.repeat(fires, size, 0) & is_chosen
        return jnp.where(on, self.values(u[self.n_sets : -1]), 0.0)

    def mean(self, n_features: int) -> np.ndarray:
        """E x_i = p_set E[value] / k."""
        p, first, _ = self._first_moments(n_features)
        size = n_features // self.n_sets
        return np.repeat(p, size) * first / size

    def second_moment(self, n_features: int) -> np.ndarray:
        """Zero between members of a set, independent across sets."""
        _, _, second = self._first_moments(n_features)
        p = self._first_moments(n_features)[0]
        size = n_features // self.n_sets
        mean = self.mean(n_features)
        moment = np.outer(mean, mean)
        moment[np.kron(np.eye(self.n_sets), np.ones((size, size))) > 0] = 0.0
        np.fill_diagonal(moment, np.repeat(p, size) * second / size)
        return moment
