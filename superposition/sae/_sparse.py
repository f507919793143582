"""Arithmetic on active latents alone: work 2 B d k instead of 2 B d F, forward and backward.

Active latents come as slots: values, rows (which example) and columns (which latent), each (slots, lanes). A
scan over slots moves one row of a matrix per lane at a time, which on CPUs is 5 to 75 times faster than one
big gather or scatter. Every function has its own gradient; none keeps anything of size (batch, slots, d).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

DENSE_BELOW = 24  # d_sae / k under which dense matrix products win (benchmarks/sae.py)


class Slots(NamedTuple):
    """Active latents, (slots, lanes). rows is None where lane b of every slot is example b (TopK)."""

    values: Array
    rows: Array | None
    columns: Array


def prefers_dense(batch: int, d_sae: int, active: int) -> bool:
    """Whether dense products win: few latents per active one, or a backend whose matrix units are that fast."""
    ratio = DENSE_BELOW if jax.default_backend() == "cpu" else 20 * DENSE_BELOW
    return d_sae < ratio * max(active, 1) or batch * d_sae < 2**16


def _values_of(matrix: Array, rows: Array | None) -> Array:
    return matrix if rows is None else matrix[rows]


@jax.custom_vjp
def decode(slots: Slots, W_dec: Array, like: Array) -> Array:
    """Sum over active latents of value * W_dec[column], (batch, d_out); `like` (batch, ...) gives the batch."""
    start = jnp.zeros((like.shape[0], W_dec.shape[1]), W_dec.dtype)

    def add(total: Array, slot: Slots) -> tuple[Array, None]:
        part = slot.values[:, None] * W_dec[slot.columns]
        return (total + part if slot.rows is None else total.at[slot.rows].add(part)), None

    return jax.lax.scan(add, start, slots)[0]


def _decode_forward(slots: Slots, W_dec: Array, like: Array) -> tuple[Array, tuple[Slots, Array]]:
    return decode(slots, W_dec, like), (slots, W_dec)


def _decode_backward(residuals: tuple[Slots, Array], g: Array) -> tuple[Slots, Array, None]:
    slots, W_dec = residuals

    def add(total: Array, slot: Slots) -> tuple[Array, Array]:
        mine = _values_of(g, slot.rows)
        own = jnp.sum(mine * W_dec[slot.columns], -1)
        return total.at[slot.columns].add(slot.values[:, None] * mine), own

    dW, values = jax.lax.scan(add, jnp.zeros_like(W_dec), slots)
    return Slots(values, None, None), dW, None  # type: ignore[arg-type]


decode.defvjp(_decode_forward, _decode_backward)


@jax.custom_vjp
def encode(slots: Slots, x: Array, W_enc: Array, bias: Array) -> Array:
    """The slots' values, known to be pre-activations x W_enc + bias, with their gradient to W_enc and bias."""
    return slots.values


def _encode_forward(
    slots: Slots, x: Array, W_enc: Array, bias: Array
) -> tuple[Array, tuple[Slots, Array, Array]]:
    return slots.values, (slots, x, bias)


def _encode_backward(
    residuals: tuple[Slots, Array, Array], g: Array
) -> tuple[Slots | None, None, Array, Array]:
    slots, x, bias = residuals

    def add(total: Array, slot: tuple[Slots, Array]) -> tuple[Array, None]:
        active, mine = slot
        return total.at[active.columns].add(mine[:, None] * _values_of(x, active.rows)), None

    dW, _ = jax.lax.scan(add, jnp.zeros((bias.shape[0], x.shape[1]), x.dtype), (slots, g))
    return None, None, dW.T, jnp.zeros_like(bias).at[slots.columns].add(g)


encode.defvjp(_encode_forward, _encode_backward)


def fired(slots: Slots, d_sae: int) -> Array:
    """(d_sae,) bool: latents with a positive value in some slot."""
    columns = jnp.where(slots.values > 0, slots.columns, d_sae)
    return jnp.zeros(d_sae, bool).at[columns.reshape(-1)].set(True, mode="drop")
