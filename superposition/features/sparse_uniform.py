"""The paper's features: each is zero or uniform, independently (Elhage et al. 2022, "Experiment setup")."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.features._base import FeatureLaw, Thresholds, firing
from superposition.features._draw import BELOW_ONE


@dataclass(frozen=True)
class SparseUniform(FeatureLaw):
    """x_i = 0 with probability S_i, else U[0, 1] (U[-1, 1] when signed), independently.

    E x_i = p_i / 2 (0 signed), E x_i^2 = p_i / 3, E x_i x_j = E x_i E x_j.
    """

    def n_units(self, n_features: int) -> int:
        """Every feature is a unit."""
        return n_features

    def n_uniforms(self, n_features: int) -> int:
        """One per feature gives mask and magnitude; one more chooses the first to fire."""
        return n_features + 1

    def transform(self, u: Array, at: Thresholds, n_features: int, *, conditional: bool) -> Array:
        """X (n_features, *batch) from u (n_features + 1, *batch) and thresholds (n_features, *batch)."""
        fires, value = firing(u[:n_features], at, u[n_features] if conditional else None)
        return jnp.where(fires, self.values(value), 0.0)

    def rows(self, u: Array, at: Thresholds, n_features: int, *, conditional: bool) -> list[Array]:
        """One array a feature, so that a narrow model's step becomes one fused loop."""
        if not conditional:
            fired = [(u[i] < at.density[i], u[i] * at.inverse[i]) for i in range(n_features)]
        else:
            # Nothing fires before the first feature, and by the last one something has: two tests fewer each.
            t = u[n_features] * (at.any * BELOW_ONE)
            fired = [(t < at.reached[0], u[0])]
            for i in range(1, n_features):
                free = t < at.before[i]
                other = t < at.reached[i] if i + 1 < n_features else True
                fires, value = u[i] < at.density[i], u[i] * at.inverse[i]
                fired.append((jnp.where(free, fires, other), jnp.where(free, value, u[i])))
        return [jnp.where(fires, self.values(value), 0.0) for fires, value in fired]

    def mean(self, n_features: int) -> np.ndarray:
        """E x_i = p_i E[value]."""
        p, first, _ = self._first_moments(n_features)
        return p * first

    def second_moment(self, n_features: int) -> np.ndarray:
        """Off the diagonal the product of the means, on it p_i / 3."""
        p, first, second = self._first_moments(n_features)
        moment = np.outer(p * first, p * first)
        np.fill_diagonal(moment, p * second)
        return moment
