"""The batch's selection: which of B d_sae pre-activations are among the B k largest."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.sae._sparse import Slots, in_lanes

GROUP = 8  # pre-activations that share one maximum
SLACK = 4096  # room for exact ties
INFINITY = np.int32(0x7F800000)
LEAST = np.finfo(np.float32).tiny
INSERTIONS = 2048  # of latents times slots, up to which inserting wins


def kth_largest(pre: Array, k: Array | int, slots: int) -> Array:
    """The k-th largest entry of every row, k <= slots, at least the least positive float; (batch, 1).

    Narrow rows go through an insertion, a column at a time for all rows at once; XLA's top-k handles rows
    one by one, several times slower there.
    """
    if pre.shape[-1] * slots > INSERTIONS:
        best = jax.lax.top_k(pre, slots)[0]
    else:
        columns = jnp.moveaxis(pre, -1, 0)

        def insert(c: Array, best: tuple[Array, ...]) -> tuple[Array, ...]:
            value, kept = columns[c], []
            for held in best:
                kept.append(jnp.maximum(held, value))
                value = jnp.minimum(held, value)
            return tuple(kept)

        empty = (jnp.full(pre.shape[:-1], -jnp.inf),) * slots
        best = jnp.stack(jax.lax.fori_loop(0, pre.shape[-1], insert, empty), -1)
    chosen = jnp.where(jnp.arange(slots) < k, best, jnp.inf).min(-1, keepdims=True)
    return jnp.maximum(chosen, LEAST)


def least_kept(pre: Array, k: Array | float) -> Array:
    """The (batch * k)-th largest positive entry of pre (batch, d_sae); the least positive one if fewer are.

    +inf where none is positive. Bisection on the bits of positive floats, which sort as integers do: exact,
    31 counting passes, and no sort of batch * d_sae numbers.
    """
    return _value(_nth(_bits(pre), jnp.floor(jnp.asarray(k, jnp.float32) * pre.shape[0])))


def largest(pre: Array, k: float) -> tuple[Array, Array, Array, Array]:
    """(rows, columns, kept, least): where the batch * k largest positive entries are, as flat lists.

    The B k largest maxima of groups of 8 entries bound the answer from below, and every entry of the answer
    lies in such a group: a pass for the maxima, and all that follows sees B k groups. `kept` comes first;
    behind it is padding. More than SLACK exact ties at that bound lose some of them.
    """
    wanted = min(math.floor(k * pre.shape[0]), pre.size)
    maxima = _group_maxima(pre)
    bound = _value(_nth(_bits(maxima), jnp.float32(wanted)))
    row, lane, members = _groups(pre, maxima, bound, wanted + SLACK)
    least = _value(_nth(_bits(members), jnp.float32(wanted)))
    return *_members(pre, row, lane, members, least, wanted + SLACK), least


def positive(pre: Array, capacity: int) -> tuple[Array, Array, Array]:
    """(rows, columns, kept): where pre (batch, d_sae) is positive, if that is at most `capacity` entries."""
    least = _value(jnp.int32(1))
    row, lane, members = _groups(pre, _group_maxima(pre), least, capacity)
    return _members(pre, row, lane, members, least, capacity)


def slots(pre: Array, rows: Array, columns: Array, kept: Array) -> Slots:
    """Flat lists as slots with a lane for every example."""
    values = jnp.where(kept, pre[rows, columns], 0.0)
    used = -(-kept.sum() // pre.shape[0])
    values, rows, columns = (in_lanes(a, pre.shape[0]) for a in (values, rows, columns))
    return Slots(values, rows, columns, used.astype(jnp.int32))


def _group_maxima(pre: Array) -> Array:
    group = math.gcd(pre.shape[1], GROUP)
    return pre.reshape(pre.shape[0], group, -1).max(1)


def _groups(pre: Array, maxima: Array, bound: Array, capacity: int) -> tuple[Array, Array, Array]:
    """Row, lane and members (groups, group) of the groups whose maximum is at least `bound`."""
    capacity = min(capacity, maxima.size)
    index = jnp.nonzero((maxima >= bound).reshape(-1), size=capacity, fill_value=maxima.size)[0]
    row, lane = jnp.divmod(jnp.minimum(index, maxima.size - 1), maxima.shape[1])
    members = pre.reshape(pre.shape[0], -1, maxima.shape[1])[row, :, lane]
    return row, lane, jnp.where((index < maxima.size)[:, None], members, 0.0)


def _members(
    pre: Array, row: Array, lane: Array, members: Array, least: Array, capacity: int
) -> tuple[Array, Array, Array]:
    """Rows and columns of the members that are at least `least`, and which of the lists they fill."""
    capacity = min(capacity, members.size)
    place = jnp.nonzero((members >= least).reshape(-1), size=capacity, fill_value=members.size)[0]
    entry, member = jnp.divmod(jnp.minimum(place, members.size - 1), members.shape[1])
    columns = lane[entry] + member * (pre.shape[1] // members.shape[1])
    return row[entry], columns, place < members.size


def _bits(values: Array) -> Array:
    return jax.lax.bitcast_convert_type(jnp.maximum(values, 0.0), jnp.int32).reshape(-1)


def _value(bits: Array) -> Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _nth(bits: Array, n: Array) -> Array:
    """Bits of the n-th largest positive entry, or of the least one if fewer are; +inf if none is."""
    wanted = jnp.minimum(n, count_from(bits, jnp.int32(1)))

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds  # at least `wanted` entries are >= low, fewer are >= high
        middle = low + (high - low) // 2
        enough = count_from(bits, middle) >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, _ = jax.lax.fori_loop(0, 31, halve, (jnp.int32(1), jnp.int32(INFINITY)))
    return jnp.where(wanted > 0, low, jnp.int32(INFINITY))


def count_positive(pre: Array) -> Array:
    """How many entries are positive."""
    return count_from(_bits(pre), jnp.int32(1))


def count_from(bits: Array, least: Array) -> Array:
    """How many entries are >= least, as float32 (exact to 2^24, then to 1 part in 2^24).

    Summed first in bytes over a middle axis, which XLA vectorises: 8 times faster than one long sum.
    """
    group = math.gcd(bits.size, 64)
    parts = (bits >= least).astype(jnp.int8).reshape(group, -1, math.gcd(bits.size // group, 512))
    return parts.sum(0, dtype=jnp.int8).astype(jnp.float32).sum(0).sum()
