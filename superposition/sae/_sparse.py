"""Arithmetic on active latents alone: work 2 B d k instead of 2 B d F, forward and backward.

Active latents come as slots: values, rows (which example) and columns (which latent), each (slots, lanes). A
loop over slots moves one row of a matrix per lane at a time, which on CPUs is 5 to 75 times faster than one
big gather or scatter, and stops at the last slot in use. Every function has its own gradient; none keeps
anything of size (batch, slots, d). Measured in benchmarks/sae.py.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from superposition.sae._parts import batch_sum

DENSE_BELOW = 24  # d_sae / k under which dense matrix products win
TOGETHER = 8  # slots of a decode that share one pass over the result


class Slots(NamedTuple):
    """Active latents, (slots, lanes). rows is None where lane b of every slot is example b (TopK).

    used: how many slots hold anything, () int32; those behind are never looked at.
    """

    values: Array
    rows: Array | None
    columns: Array
    used: Array

    def at(self, s: Array) -> tuple[Array, Array | None, Array]:
        """Values, rows and columns of slot s."""
        return self.values[s], None if self.rows is None else self.rows[s], self.columns[s]


def prefers_dense(batch: int, d_sae: int, active: float) -> bool:
    """Whether dense products win: few latents per active one, or a backend whose matrix units are that fast."""
    ratio = DENSE_BELOW if jax.default_backend() == "cpu" else 20 * DENSE_BELOW
    return d_sae < ratio * max(active, 1) or batch * d_sae < 2**16


def _taken(matrix: Array, rows: Array | None) -> Array:
    return matrix if rows is None else matrix[rows]


@jax.custom_vjp
def decode(slots: Slots, W_dec: Array, like: Array) -> Array:
    """Sum over active latents of value * W_dec[column], (batch, d_out); `like` (batch, ...) gives the batch."""
    start = jnp.zeros((like.shape[0], W_dec.shape[1]), W_dec.dtype)
    if slots.rows is None and slots.values.shape[0] % TOGETHER == 0:

        def several(b: Array, total: Array) -> Array:
            for s in range(TOGETHER):
                value, _, column = slots.at(TOGETHER * b + s)
                total = total + value[:, None] * W_dec[column]
            return total

        return jax.lax.fori_loop(0, (slots.used + TOGETHER - 1) // TOGETHER, several, start)

    def one(s: Array, total: Array) -> Array:
        value, row, column = slots.at(s)
        part = value[:, None] * W_dec[column]
        return total + part if row is None else total.at[row].add(part)

    return jax.lax.fori_loop(0, slots.used, one, start)


def _decode_forward(slots: Slots, W_dec: Array, like: Array) -> tuple[Array, tuple[Slots, Array]]:
    return decode(slots, W_dec, like), (slots, W_dec)


def _decode_backward(residuals: tuple[Slots, Array], g: Array) -> tuple[Slots, Array, None]:
    slots, W_dec = residuals

    def one(s: Array, found: Array) -> Array:
        _, row, column = slots.at(s)
        return found.at[s].set(jnp.sum(_taken(g, row) * W_dec[column], -1))

    values = jax.lax.fori_loop(0, slots.used, one, jnp.zeros_like(slots.values))
    dW = _scattered(slots, g, W_dec.shape)
    return Slots(values, None, None, None), dW, None  # type: ignore[arg-type]


decode.defvjp(_decode_forward, _decode_backward)


def _scattered(slots: Slots, source: Array, shape: tuple[int, ...]) -> Array:
    """Sum over active latents of value * source[row], into row `column` of a matrix of `shape`."""

    def one(s: Array, total: Array) -> Array:
        value, row, column = slots.at(s)
        return total.at[column].add(value[:, None] * _taken(source, row))

    return jax.lax.fori_loop(0, slots.used, one, jnp.zeros(shape, source.dtype))


@jax.custom_vjp
def encode(slots: Slots, x: Array, W_enc: Array, b_enc: Array, b_dec: Array) -> Array:
    """The slots' values, known to be (x - b_dec) W_enc + b_enc there, with their gradient to the parameters."""
    return slots.values


def _encode_forward(
    slots: Slots, x: Array, W_enc: Array, b_enc: Array, b_dec: Array
) -> tuple[Array, tuple[Slots, Array, Array, Array]]:
    return slots.values, (slots, x, W_enc, b_dec)


def _encode_backward(
    residuals: tuple[Slots, Array, Array, Array], g: Array
) -> tuple[Slots | None, None, Array, Array, Array]:
    slots, x, W_enc, b_dec = residuals
    dW = _scattered(slots._replace(values=g), x - b_dec[None], W_enc.shape[::-1]).T
    db = jnp.zeros(W_enc.shape[1], g.dtype).at[slots.columns].add(g)
    return None, None, dW, db, -(W_enc @ db)


encode.defvjp(_encode_forward, _encode_backward)


@jax.custom_vjp
def known(pre: Array, x: Array, W_enc: Array, b_enc: Array, b_dec: Array) -> Array:
    """`pre`, known to be (x - b_dec) W_enc + b_enc, with its gradient to the parameters: no second product."""
    return pre


def _known_forward(
    pre: Array, x: Array, W_enc: Array, b_enc: Array, b_dec: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    return pre, (x, W_enc, b_dec)


def _known_backward(
    residuals: tuple[Array, Array, Array], g: Array
) -> tuple[None, None, Array, Array, Array]:
    x, W_enc, b_dec = residuals
    db = batch_sum(g)
    return None, None, ((x - b_dec[None]).T @ g), db, -(W_enc @ db)


known.defvjp(_known_forward, _known_backward)


def in_lanes(flat: Array, lanes: int) -> Array:
    """A flat list as (slots, lanes), padded with zeros."""
    return jnp.pad(flat, (0, -flat.size % lanes)).reshape(-1, lanes)


def fired(slots: Slots, d_sae: int) -> Array:
    """(d_sae,) bool: latents whose value is not 0 in some slot."""
    columns = jnp.where(slots.values != 0, slots.columns, d_sae)
    return jnp.zeros(d_sae, bool).at[columns.reshape(-1)].set(True, mode="drop")
