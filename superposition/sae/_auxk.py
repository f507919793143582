"""AuxK: dead latents reconstruct what the alive ones missed (Gao et al. 2024, appendix A.2)."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.sae import _select
from superposition.sae._base import MASKED_PRE_ACT
from superposition.sae._parts import Params, State

if TYPE_CHECKING:
    from superposition.sae._topk import TopKFamily

SMALL = 1024  # latents: up to here one masked product is cheaper than choosing how to do it


def check(sae: "TopKFamily") -> None:
    """Raise ConfigError for an aux_coefficient, dead_after or k_aux out of range."""
    validate.in_range("aux_coefficient", sae.aux_coefficient, 0.0, 1e6)
    validate.integer("dead_after", sae.dead_after, 1)
    if sae.k_aux is not None:
        validate.integer("k_aux", sae.k_aux, 1)


def auxk(sae: "TopKFamily", params: Params, state: State, x: Array, error: Array) -> dict[str, Array]:
    """The term {"auxk": ...} of inputs x (batch, d_in) and error e = y - y_hat (batch, d_out), or {} for coefficient 0.

    L_auxk = aux_coefficient ||e - e_hat||^2 / ||e - mean e||^2, with a stop-gradient on e. e_hat = relu(z) W_dec over
    the k_aux (default d_in // 2) largest pre-activations z of latents that have been silent for dead_after samples.
    Normalised by the variance of e, so its weight does not depend on how good the reconstruction is; the gradient
    reaches encoder and decoder.
    """
    if validate.is_concrete(sae.aux_coefficient) and sae.aux_coefficient == 0:
        return {}
    dead = state["silent"] >= sae.dead_after
    if sae.width is not None:
        dead = dead & (jnp.arange(sae.d_sae) < sae.width)
    k = min(sae.k_aux or max(1, sae.d_in // 2), sae.d_sae)
    e = jax.lax.stop_gradient(error)
    spread = jnp.sum((e - e.mean(0, keepdims=True)) ** 2)

    def loss(e_hat: Array) -> Array:
        return jnp.sum((e - e_hat) ** 2) / jnp.where(spread > 0, spread, 1.0)

    def none(_: Params) -> Array:
        return jnp.float32(0)

    def few(p: Params) -> Array:
        index = jnp.nonzero(dead, size=k, fill_value=sae.d_sae)[0]
        inside = index < sae.d_sae
        index = jnp.minimum(index, sae.d_sae - 1)
        z = sae.matmul(x, p["W_enc"][:, index]) + sae.bias(p)[index][None]
        return loss(sae.matmul(jnp.where(inside, jax.nn.relu(z), 0.0), p["W_dec"][index]))

    def many(p: Params) -> Array:
        rank = jnp.where(dead, jax.lax.stop_gradient(sae.pre_acts(p, x)), MASKED_PRE_ACT)
        least = _select.kth_largest(rank, k, k)
        z = sae.linear_pre_acts(p, x)  # a rescaled pre-activation chooses, the plain one is decoded
        return loss(sae.matmul(jnp.where(dead[None] & (rank >= least), jax.nn.relu(z), 0.0), p["W_dec"]))

    count = dead.sum()
    if sae.d_sae <= SMALL:
        value = jnp.where(count > 0, many(params), 0.0)
    else:
        value = jax.lax.switch((count > 0).astype(int) + (count > k), (none, few, many), params)
    return {"auxk": sae.aux_coefficient * jnp.where(jnp.isfinite(value) | (spread > 0), value, 0.0)}
