"""The paper's features: each is zero or uniform, independently (Elhage et al. 2022, "Experiment setup")."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float64

from superposition._internal.rank import lead
from superposition.features._draw import BELOW_ONE
from superposition.features._elementwise import ElementwiseLaw, Thresholds, firing
from superposition.typing import Examples, HostVector, Uniforms


@dataclass(frozen=True)
class SparseUniform(ElementwiseLaw):
    """Independent features: x_i = 0 with probability S_i, else U[0, 1] (U[-1, 1] when signed).

    E x_i = p_i / 2 (0 signed), E x_i^2 = p_i / 3, E x_i x_j = E x_i E x_j.

    density or sparsity: a number, one per feature, or for density `Rates`. Raises ConfigError out of range.
    Source: Elhage et al. 2022, "Toy Models of Superposition".

    >>> law = SparseUniform(density=0.25)
    >>> law.mean(2)
    array([0.125, 0.125])
    >>> import jax
    >>> law.sample(jax.random.key(0), n_features=2, batch_size=3).shape
    (3, 2)
    """

    exact: ClassVar[bool] = True

    def n_uniforms(self, n_features: int) -> int:
        """One per feature gives mask and magnitude; one more chooses the first active feature."""
        return n_features + 1

    def transform(self, u: Uniforms, limits: Thresholds, n_features: int, *, conditional: bool) -> Examples:
        """Features x (n_features, *batch) from u (n_features + 1, *batch) and thresholds (n_features, *batch)."""
        fires, value = firing(u[:n_features], limits, u[n_features] if conditional else None)
        return jnp.where(fires, self.values(value), 0.0)

    def rows(
        self, u: Uniforms, limits: Thresholds, n_features: int, *, conditional: bool
    ) -> list[Float[Array, "*batch"]]:
        """One array a feature, so that a narrow model's step becomes one fused loop."""
        if not conditional:
            fired = [
                (u[i] < lead(limits.density[i], u[i]), u[i] * lead(limits.inverse[i], u[i]))
                for i in range(n_features)
            ]
        else:
            # Nothing is active before the first feature, and by the last one something is: two tests fewer each.
            t = u[n_features] * (lead(limits.any, u[n_features]) * BELOW_ONE)
            fired = [(t < lead(limits.reached[0], t), u[0])]
            for i in range(1, n_features):
                free = t < lead(limits.before[i], t)
                other = t < lead(limits.reached[i], t) if i + 1 < n_features else True
                fires, value = u[i] < lead(limits.density[i], u[i]), u[i] * lead(limits.inverse[i], u[i])
                fired.append((jnp.where(free, fires, other), jnp.where(free, value, u[i])))
        return [jnp.where(fires, self.values(value), 0.0) for fires, value in fired]

    def independent_sets(self, n_features: int) -> None:
        """None: features are independent, one by one."""
        del n_features

    def mean(self, n_features: int) -> HostVector:
        """E x_i = p_i E v, (n_features,)."""
        p, first, _ = self._first_moments(n_features)
        return p * first

    def second_moment(self, n_features: int) -> Float64[np.ndarray, "n_features n_features"]:
        """E x x^T, (n_features, n_features): off the diagonal the product of the means, on it p_i E v^2."""
        p, first, second = self._first_moments(n_features)
        moment = np.outer(p * first, p * first)
        np.fill_diagonal(moment, p * second)
        return moment
