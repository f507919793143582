"""AuxK: dead latents reconstruct what the living ones missed (Gao et al. 2024, appendix A.2)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.sae import _select
from superposition.sae._base import OFF, SAE, Params, State

SMALL = 1024  # latents: up to here one masked product is cheaper than choosing how to do it


@dataclass(frozen=True)
class AuxK(SAE):
    """L_aux = aux_coefficient ||e - e_hat||^2 / ||e - mean e||^2, e = y - y_hat with a stop-gradient.

    e_hat = relu(z) W_dec over the k_aux (default d_in // 2) largest pre-activations z of latents that have
    been silent for dead_after samples. Normalised by the variance of e, so its weight does not depend on how
    good the reconstruction is; the gradient reaches encoder and decoder.
    """

    aux_coefficient: float = 1 / 32
    k_aux: int | None = None
    dead_after: int = 10_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.in_range("aux_coefficient", self.aux_coefficient, 0.0, 1e6)
        validate.integer("dead_after", self.dead_after, 1)
        if self.k_aux is not None:
            validate.integer("k_aux", self.k_aux, 1)

    def auxk(self, params: Params, state: State, x: Array, error: Array) -> dict[str, Array]:
        """The term {"aux": ...}, or none if its coefficient is 0."""
        if validate.is_concrete(self.aux_coefficient) and self.aux_coefficient == 0:
            return {}
        dead = self._alive_mask(state["silent"] >= self.dead_after)
        k = min(self.k_aux or max(1, self.d_in // 2), self.d_sae)
        e = jax.lax.stop_gradient(error)
        spread = jnp.sum((e - e.mean(0)) ** 2)

        def loss(e_hat: Array) -> Array:
            return jnp.sum((e - e_hat) ** 2) / jnp.where(spread > 0, spread, 1.0)

        def none(_: Params) -> Array:
            return jnp.float32(0)

        def few(p: Params) -> Array:
            index = jnp.nonzero(dead, size=k, fill_value=self.d_sae)[0]
            inside = index < self.d_sae
            index = jnp.minimum(index, self.d_sae - 1)
            z = self.matmul(x, p["W_enc"][:, index]) + self.bias(p)[index]
            return loss(self.matmul(jnp.where(inside, jax.nn.relu(z), 0.0), p["W_dec"][index]))

        def many(p: Params) -> Array:
            rank = jnp.where(dead, jax.lax.stop_gradient(self.pre_acts(p, x)), OFF)
            least = _select.kth_largest(rank, k, k)
            z = SAE.pre_acts(self, p, x)  # a rescaled pre-activation chooses, the plain one is decoded
            return loss(self.matmul(jnp.where(dead & (rank >= least), jax.nn.relu(z), 0.0), p["W_dec"]))

        count = dead.sum()
        if self.d_sae <= SMALL:
            value = jnp.where(count > 0, many(params), 0.0)
        else:
            value = jax.lax.switch((count > 0).astype(int) + (count > k), (none, few, many), params)
        return {"aux": self.aux_coefficient * jnp.where(jnp.isfinite(value) | (spread > 0), value, 0.0)}

    def _alive_mask(self, dead: Array) -> Array:
        return dead if self.width is None else dead & (jnp.arange(self.d_sae) < self.width)
