"""Sets of features that fire together, or one at a time (Elhage et al. 2022, "Correlated features")."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features._base import Sets
from superposition.features._elementwise import ElementwiseLaw, Thresholds, firing
from superposition.typing import Examples, HostVector, Uniforms


@dataclass(frozen=True)
class _Sets(ElementwiseLaw):
    """Features 0..k-1 are the first set, k..2k-1 the second, and so on; k = n_features / n_sets."""

    n_sets: int = 2
    """Number of sets."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.integer("n_sets", self.n_sets, 1)

    def n_units(self, n_features: int) -> int:
        """n_sets: every set is a unit. ConfigError unless n_features is a multiple of n_sets."""
        if n_features % self.n_sets:
            raise ConfigError(
                f"n_features must be a multiple of n_sets={self.n_sets} so that the sets are of one size; "
                f"got {n_features}"
            )
        return self.n_sets

    def n_uniforms(self, n_features: int) -> int:
        """One per set, one per feature, and one that chooses the first active set."""
        return self.n_units(n_features) + n_features + 1

    def _fires(self, u: Array, limits: Thresholds, conditional: bool) -> tuple[Array, Array, int]:
        fires, value = firing(u[: self.n_sets], limits, u[-1] if conditional else None)
        return fires, value, (u.shape[0] - self.n_sets - 1) // self.n_sets


@dataclass(frozen=True)
class Correlated(_Sets):
    """Sets of features that are active together: with the set's density p all of them are, else none.

    Their values v are independent, U[0, 1] (U[-1, 1] when signed). Within a set E x_i x_j = p E[v]^2, across sets
    p^2 E[v]^2; E x_i^2 = p / 3. density: a number, or one per set. Raises ConfigError for n_sets < 1 or values out of
    range. Source: Elhage et al. 2022, "Correlated features".

    >>> Correlated(density=0.5, n_sets=2).second_moment(4)[0].tolist()  # the partner of feature 0 is feature 1
    [0.16666666666666666, 0.125, 0.0625, 0.0625]
    """

    exact: ClassVar[bool] = True

    def transform(self, u: Uniforms, limits: Thresholds, n_features: int, *, conditional: bool) -> Examples:
        """Features x (n_features, *batch); all features of an active set are active."""
        fires, _, size = self._fires(u, limits, conditional)
        return jnp.where(jnp.repeat(fires, size, 0), self.values(u[self.n_sets : -1]), 0.0)

    def independent_sets(self, n_features: int) -> Sets:
        """n_sets sets, in which all features are active together."""
        return Sets(self.n_units(n_features), n_features // self.n_sets, True, self.signed)

    def mean(self, n_features: int) -> HostVector:
        """E x_i = p_set E v."""
        p, first, _ = self._first_moments(n_features)
        return np.repeat(p, n_features // self.n_sets) * first

    def second_moment(self, n_features: int) -> Float64[np.ndarray, "n_features n_features"]:
        """E x x^T: p E[v]^2 inside a set, p_s p_t E[v]^2 across sets s and t."""
        p, first, second = self._first_moments(n_features)
        size = n_features // self.n_sets
        joint = np.outer(p, p)
        np.fill_diagonal(joint, p)
        moment = np.kron(joint, np.ones((size, size))) * first**2
        np.fill_diagonal(moment, np.repeat(p, size) * second)
        return moment


@dataclass(frozen=True)
class Anticorrelated(_Sets):
    """Sets of features that exclude each other: with the set's density p exactly one of them is active, else none.

    The active one is chosen uniformly; its value v is U[0, 1] (U[-1, 1] when signed). With sets of k features
    E x_i = p E[v] / k, E x_i^2 = p / (3 k), and E x_i x_j = 0 inside a set. density: a number, or one per set. Raises
    ConfigError for n_sets < 1 or values out of range. Source: Elhage et al. 2022, "Anticorrelated features".

    >>> Anticorrelated(density=0.5, n_sets=2).second_moment(4)[0].tolist()
    [0.08333333333333333, 0.0, 0.015625, 0.015625]
    """

    exact: ClassVar[bool] = True

    def transform(self, u: Uniforms, limits: Thresholds, n_features: int, *, conditional: bool) -> Examples:
        """Features x (n_features, *batch); u / p of the set's uniform chooses the member."""
        fires, value, size = self._fires(u, limits, conditional)
        chosen = jnp.repeat(jnp.minimum(jnp.floor(value * size), size - 1), size, 0)
        member = jnp.tile(jnp.arange(size, dtype=chosen.dtype), self.n_sets)
        is_chosen = chosen == member.reshape(-1, *(1 for _ in range(u.ndim - 1)))
        on = jnp.repeat(fires, size, 0) & is_chosen
        return jnp.where(on, self.values(u[self.n_sets : -1]), 0.0)

    def independent_sets(self, n_features: int) -> Sets:
        """n_sets sets, in which one feature is active at a time."""
        return Sets(self.n_units(n_features), n_features // self.n_sets, False, self.signed)

    def mean(self, n_features: int) -> HostVector:
        """E x_i = p_set E v / k."""
        p, first, _ = self._first_moments(n_features)
        size = n_features // self.n_sets
        return np.repeat(p, size) * first / size

    def second_moment(self, n_features: int) -> Float64[np.ndarray, "n_features n_features"]:
        """Zero between members of a set, independent across sets."""
        p, _, second = self._first_moments(n_features)
        size = n_features // self.n_sets
        mean = self.mean(n_features)
        moment = np.outer(mean, mean)
        moment[np.kron(np.eye(self.n_sets), np.ones((size, size))) > 0] = 0.0
        np.fill_diagonal(moment, np.repeat(p, size) * second / size)
        return moment
