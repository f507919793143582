"""Resampling of dead latents (Bricken et al. 2023), with a pool of any size in the memory of one batch."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from superposition.activations import HELD_OUT_STEP, Source
from superposition.typing import PRNGKey


def maybe(sae: Any, source: Source, size: int, inputs: Any, state: Any, i: Array, key: PRNGKey) -> Any:
    """The state after step i, with dead latents of an SAE that `resamples` started again where it is time."""

    def renew(state: Any) -> Any:
        held = {**state.params, "W_enc": state.params["W_enc"].T}
        x, y = draw(sae, source, size, inputs, held, i, key)
        params, own, dead = sae.resample(held, state.sae, x, y)
        params = {**params, "W_enc": params["W_enc"].T}
        new = state._replace(params=params, sae=own, opt_state=forget(state.opt_state, dead, sae.per_latent))
        return jax.tree.map(lambda a, b: jnp.where(state.alive, a, b), new, state)

    return jax.lax.cond(sae.resamples_at(i), renew, lambda s: s, state)


def draw(
    sae: Any, source: Source, size: int, inputs: Any, params: Any, i: Array, key: PRNGKey
) -> tuple[Array, Array]:
    """For every latent an example of the pool, (d_sae, d_in) and (d_sae, d_out), with P ~ loss^2.

    Batch by batch: each latent draws one of the batch, and keeps it with the batch's share of the total so
    far, which is the same as drawing from the whole pool at once.
    """
    batches = -(-sae.resample_inputs // size)

    def look(carry: tuple[Array, Array, Array], j: Array) -> tuple[tuple[Array, Array, Array], None]:
        x_kept, y_kept, total = carry
        batch = source.batch(inputs.source, HELD_OUT_STEP + (i + 1) + j, size)
        x = batch.x * inputs.scales[0]
        y = x if source.d_out is None else batch.y * inputs.scales[1]
        edges = jnp.cumsum(sae.losses(params, x, y) ** 2)
        weight = edges[-1]
        u, v = jax.random.uniform(jax.random.fold_in(key, j), (2, sae.d_sae))
        index = jnp.minimum(jnp.searchsorted(edges, u * weight), size - 1)
        take = (v * (total + weight) < weight)[:, None]
        return (jnp.where(take, x[index], x_kept), jnp.where(take, y[index], y_kept), total + weight), None

    start = (jnp.zeros((sae.d_sae, sae.d_in)), jnp.zeros((sae.d_sae, sae.target_width)), jnp.float32(0))
    (x, y, _), _ = jax.lax.scan(look, start, jnp.arange(batches, dtype=jnp.int32))
    return x, y


def forget(opt_state: Any, dead: Array, per_latent: Sequence[str]) -> Any:
    """Adam's moments with those of dead latents at 0, of the parameters `per_latent`; W_enc's are (d_sae, d_in)."""

    def clear(moments: dict[str, Array]) -> dict[str, Array]:
        def cleared(moment: Array) -> Array:
            return jnp.where(dead.reshape(-1, *[1] * (moment.ndim - 1)), 0.0, moment)

        return {**moments, **{name: cleared(moments[name]) for name in per_latent}}

    def is_adam(node: Any) -> bool:
        return isinstance(node, optax.ScaleByAdamState)

    def visit(node: Any) -> Any:
        return node._replace(mu=clear(node.mu), nu=clear(node.nu)) if is_adam(node) else node

    return jax.tree.map(visit, opt_state, is_leaf=is_adam)
