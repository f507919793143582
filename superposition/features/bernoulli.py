"""Features that are on or off (Vaintrob, Mendel & Hänni 2024, "boolean features")."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition.features.sparse_uniform import SparseUniform


@dataclass(frozen=True)
class Bernoulli(SparseUniform):
    """Independent boolean features: x_i = 1 with probability p_i, else 0 (when signed, +1 or -1, each with p_i / 2).

    E x_i = p_i (0 signed), E x_i^2 = p_i, and E x_i x_j = E x_i E x_j.

    density or sparsity: a number, one per feature, or for density `Rates`. Raises ConfigError out of range.
    Source: Vaintrob, Mendel & Hänni 2024, "Toward a mathematical framework for computation in superposition".

    >>> law = Bernoulli(density=0.25)
    >>> law.mean(2).tolist(), law.second_moment(2).tolist()
    ([0.25, 0.25], [[0.25, 0.0625], [0.0625, 0.25]])
    """

    def values(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """1, or the sign of 2 u - 1 when signed."""
        one = jnp.ones_like(u)
        return jnp.where(u < 0.5, -one, one) if self.signed else one

    def moments_of_values(self) -> tuple[float, float]:
        """E v = 1 (0 signed) and E v^2 = 1."""
        return 0.0 if self.signed else 1.0, 1.0
