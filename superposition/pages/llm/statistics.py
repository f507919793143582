"""Two passes over activations: what every latent does, in memory that does not depend on the number of tokens."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.pages.llm.activations import Activations
from superposition.pages.llm.correlation import Neighbours, Pairs, Sparse
from superposition.pages.llm.examples import SIDE, Best, contents, drawn, peaks
from superposition.pages.llm.rules import Counts
from superposition.pages.llm.spill import Fired, Spill
from superposition.sae import SAE, Params

CELLS = 2**23  # numbers in the widest array of a block
TOP, BINS, INTERVALS, DRAWN = 20, 50, 10, 3
Encode = Callable[[np.ndarray], np.ndarray]


class Statistics(NamedTuple):
    """Of n latents over all usable tokens; a latent fires where it is above 0.

    fired, total, largest (n,): how often, sum, maximum. active: mean number of all latents that fire on a token. top
    (n, TOP): places sequence * ctx + position of the strongest, in different contexts, -1 for none. inputs, latents,
    others: most correlated coordinates, latents, latents of another SAE.
    """

    tokens: int
    active: float
    fired: np.ndarray
    total: np.ndarray
    largest: np.ndarray
    top: np.ndarray
    inputs: Neighbours
    latents: Neighbours
    others: Neighbours | None
    counts: Counts


class Intervals(NamedTuple):
    """Histogram (n, BINS) of the activations above 0 over bins of equal width of (0, maximum], closed on the right.

    mass (n, INTERVALS): share of the activations in each interval of BINS / INTERVALS bins; places (n, INTERVALS,
    DRAWN): random ones, uniform over those in the interval, -1 for none.
    """

    histogram: np.ndarray
    mass: np.ndarray
    places: np.ndarray


def rows_of(activations: Activations, d_sae: int) -> int:
    """Rows of text in a block."""
    (n, ctx), width = activations.tokens.tokens.shape, activations.lm.width(activations.hook)
    return min(n, max(1, CELLS // (ctx * max(d_sae, width))))


def measure(
    activations: Activations,
    sae: SAE,
    params: Params,
    ids: np.ndarray,
    spill: Spill,
    other: tuple[SAE, Params] | None = None,
) -> Statistics:
    """The first pass: run the SAE once, keep in `spill` what fired of the latents `ids` (n,)."""
    tokens, ctx = activations.tokens, activations.tokens.tokens.shape[1]
    rows = rows_of(activations, max(sae.d_sae, other[0].d_sae if other else 0))
    encode = _encoder(sae, params, rows * ctx)
    encode_other = None if other is None else _encoder(*other, rows * ctx)
    n, slot_of = len(ids), np.full(sae.d_sae, -1)
    slot_of[ids] = np.arange(n)
    whole = n == sae.d_sae and bool((ids == np.arange(n)).all())
    fired, total, largest, active = np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.float32), 0
    top, counts = Best(n, TOP), Counts(tokens, n, activations.lm.spec.d_vocab)
    inputs = Pairs(n, activations.lm.width(activations.hook), centred=True)
    latents = Pairs(n, sae.d_sae)
    others = None if other is None else Pairs(n, other[0].d_sae)
    for block in activations.blocks(rows):
        seen = Sparse.of(encode(block.x))
        active += len(seen.value)
        matrix = seen.matrix()
        own = matrix if whole else matrix[:, ids]
        inputs.add(own, block.x)
        latents.add(own, matrix)
        if encode_other is not None and others is not None:
            others.add(own, Sparse.of(encode_other(block.x)).matrix())
        kept = slice(None) if whole else slot_of[seen.column] >= 0
        at, slot, value = seen.row[kept], slot_of[seen.column[kept]], seen.value[kept]
        row, position = block.row[at], block.position[at]
        fired += np.bincount(slot, minlength=n)
        total += np.bincount(slot, value, minlength=n)
        np.maximum.at(largest, slot, value)
        counts.add(block.first, block.row, block.position, at, slot)
        spill.append(Fired(block.first, block.rows, slot, row * ctx + position, value))
        strong = ~top.beaten(slot, -value.astype(np.float64))
        slot, row, position, value = slot[strong], row[strong], position[strong], value[strong]
        peak = peaks(slot * block.rows + row, position, value, 2 * SIDE)
        slot, row, position, value = slot[peak], row[peak] + block.first, position[peak], value[peak]
        top.add(slot, -value.astype(np.float64), row * ctx + position, contents(tokens.tokens, row, position))
    return Statistics(
        len(activations),
        active / len(activations),
        fired,
        total,
        largest,
        top.at,
        inputs.similar(),
        latents.similar(exclude=ids),
        None if others is None else others.similar(),
        counts,
    )


def intervals(spill: Spill, ids: np.ndarray, largest: np.ndarray, ctx: int, seed: int) -> Intervals:
    """The second pass, once the maxima (n,) are known."""
    n = len(ids)
    histogram, sample = np.zeros(n * BINS, np.int64), Best(n * INTERVALS, DRAWN)
    for block in spill.blocks():
        where = bins(block.value, largest[block.slot])
        histogram += np.bincount(block.slot * BINS + where, minlength=n * BINS)
        at = block.place + block.first * ctx
        group = block.slot * INTERVALS + where // (BINS // INTERVALS)
        sample.add(group, drawn(seed, ids[block.slot], at), at)
    counts = histogram.reshape(n, BINS)
    mass = counts.reshape(n, INTERVALS, -1).sum(2) / np.maximum(counts.sum(1, keepdims=True), 1)
    return Intervals(counts, mass, sample.at.reshape(n, INTERVALS, DRAWN))


def bins(value: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """The bin of (0, largest] that a value lies in: bin i is (i, i + 1] largest / BINS."""
    # The product of float32 numbers is exact in float64 and the quotient rounded once: an edge is an edge.
    edge = np.ceil(value.astype(np.float64) * BINS / largest.astype(np.float64))
    return np.clip(edge.astype(np.int64) - 1, 0, BINS - 1)


def _encoder(sae: SAE, params: Params, size: int) -> Encode:
    held = {name: jnp.asarray(value) for name, value in params.items()}

    def encode(x: np.ndarray) -> np.ndarray:
        filled = np.zeros((size, x.shape[1]), np.float32)  # one shape, one compilation
        filled[: len(x)] = x
        return np.asarray(_encode(sae, held, filled))[: len(x)]

    return encode


@partial(jax.jit, static_argnums=0)
def _encode(sae: SAE, params: Params, x: Array) -> Array:
    return sae.encode(params, x)
