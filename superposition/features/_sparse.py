"""The few features that fire, one at a time, taken from a dense mask: everything after the coins costs O(active).

A mask is packed into 32-bit words (32 features of one example each), example after example. Counts before every word
locate an example's i-th active feature with a binary search, and its bit with five popcounts. A loop over i runs as
long as any example has an i-th feature, so shapes are static and nothing is truncated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

BITS = 32
ROWS = 256  # features packed together


class Active(NamedTuple):
    """A packed mask: words (batch * words_per_example,), and the active entries up to and with each, `ends`."""

    words: Array
    ends: Array
    start: Array  # entries of the examples before each, (batch,)
    total: Array  # entries of each example, (batch,)


def pack(mask: Array) -> Active:
    """A bool mask (n_features, batch) as words; word k of an example holds its features 32 k .. 32 k + 31."""
    n, batch = mask.shape
    rows = ROWS if n > ROWS else BITS
    bit = jnp.left_shift(np.uint32(1), jax.lax.iota(jnp.uint32, BITS))[None, :, None]

    def some(block: Array) -> Array:
        lit = jnp.where(block.reshape(-1, BITS, batch), bit, np.uint32(0))
        return jnp.sum(lit, 1, dtype=jnp.uint32)

    # A loop, since as one expression XLA computes the mask again for every use of the words.
    blocks = jnp.pad(mask, ((0, -n % rows), (0, 0))).reshape(-1, rows, batch)
    words = jax.lax.map(some, blocks).reshape(-1, batch).T
    count = jnp.sum(_ones(words), 1)
    ends = jnp.cumsum(_ones(words).reshape(-1))
    return Active(words.reshape(-1), ends, jnp.cumsum(count) - count, count)


def nth_feature(active: Active, nth: Array) -> Array:
    """The feature of every example's nth active entry (from 0), (batch,); of no meaning where nth >= count."""
    rank = active.start + jnp.minimum(nth, jnp.maximum(active.total - 1, 0))
    place = jnp.minimum(jnp.searchsorted(active.ends, rank, side="right"), len(active.ends) - 1)
    word = active.words[place]
    nth = rank - (active.ends[place] - _ones(word))
    bit = jnp.zeros_like(rank)
    for half in (16, 8, 4, 2, 1):  # the lower half holds the nth set bit, or it is skipped
        lower = _ones(word & np.uint32((1 << half) - 1))
        skip = nth >= lower
        nth = jnp.where(skip, nth - lower, nth)
        word = jnp.where(skip, word >> half, word)
        bit = bit + jnp.where(skip, half, 0)
    words_per_example = len(active.words) // len(active.total)
    return (place % words_per_example) * BITS + bit


def _ones(words: Array) -> Array:
    return jax.lax.population_count(words).astype(jnp.int32)
