"""Drawing features of coins, trees and magnitudes: the coins of a batch, then what each active feature is worth."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal.rank import lead
from superposition.features._draw import substream, uniform, uniform_at
from superposition.features._sparse import nth_feature, pack
from superposition.features.copula import Copula, given_common
from superposition.features.hierarchy import Forest
from superposition.features.magnitudes import SMALLEST, MagnitudeArrays, Magnitudes
from superposition.typing import Words

COINS, COMMON, SIBLINGS, MAGNITUDES, SIGNS = range(5)  # one stream of uniforms for each
ROWS = 256  # features whose coins fall together
PAIRS = 64  # pairs +-e1 integrated at once
T = TypeVar("T")


class GatedConstants(NamedTuple):
    """Arrays of one law: the copula of the coins, the parameters of the magnitudes, and every feature's parent or -1."""

    copula: Copula
    magnitude: MagnitudeArrays
    parent: Array  # int32 (n_features,)


class Rules(NamedTuple):
    """What is fixed when a batch is compiled: the trees, whether parents scale children, the magnitudes, signs."""

    forest: Forest
    scale_children: bool
    magnitudes: Magnitudes
    signed: bool


def fires(constants: GatedConstants, rules: Rules, words: Words, step: Array, batch: int) -> Array:
    """Which features fire, bool (n_features, batch), features first.

    A magnitude of 0 is not firing, so it is part of the coin: heads with P(coin | e1) P(magnitude > 0).
    """
    rank = constants.copula.factor.shape[1]
    common = jax.scipy.special.ndtri(
        jnp.maximum(uniform(substream(words, COMMON), step, (rank, batch)), SMALLEST)
    )
    coins = _coins(constants, common, substream(words, COINS), step)
    inner = rules.forest.n_inner if rules.forest.exclusive else 0
    return rules.forest.gate(coins, uniform(substream(words, SIBLINGS), step, (inner, batch)))


def _coins(constants: GatedConstants, common: Array, words: Words, step: Array) -> Array:
    """Heads, bool (n_features, batch), some rows at a time: as one expression XLA computes it for every consumer."""
    n, batch = len(constants.parent), common.shape[1]
    rows = min(ROWS, n)
    starts = jnp.arange(0, n, rows)

    def some(block: tuple[Array, Copula, Array]) -> Array:
        first, law, positive = block
        position = (
            jax.lax.iota(jnp.uint32, rows * batch).reshape(rows, batch) + first.astype(jnp.uint32) * batch
        )
        return uniform_at(words, step, position) < given_common(law, common) * positive[:, None]

    def blocks(a: Array, fill: float = 0.0) -> Array:  # padding never fires: positive is 0 there
        widths = ((0, -n % rows), *((0, 0) for _ in a.shape[1:]))
        return jnp.pad(a, widths, constant_values=fill).reshape(len(starts), rows, *a.shape[1:])

    factor, noise, quantile = constants.copula
    law = Copula(blocks(factor), blocks(noise, 1.0), blocks(quantile))
    return jax.lax.map(some, (starts, law, blocks(constants.magnitude.positive))).reshape(-1, batch)[:n]


def magnitudes(
    constants: GatedConstants, rules: Rules, words: Words, step: Array, feature: Array, position: Array
) -> Array:
    """What a firing feature is worth before its parent scales it, > 0; feature and position of one shape."""
    u = jnp.maximum(uniform_at(substream(words, MAGNITUDES), step, position), SMALLEST)
    return rules.magnitudes.from_uniform(u, constants.magnitude, feature)


def values(constants: GatedConstants, rules: Rules, words: Words, step: Array, feature: Array) -> Array:
    """The value of a firing feature in each example of a batch; feature (..., batch), whole numbers, any features.

    Every ancestor of a feature that fires does so too, and its magnitude is a function of its position, so it is
    drawn again rather than looked up: value = m_i prod over ancestors a of m_a / magnitude_mean_a.
    """
    batch = feature.shape[-1]
    example = lead(jax.lax.iota(jnp.int32, batch), feature)
    position = feature * batch + example
    value = magnitudes(constants, rules, words, step, feature, position)
    for _ in range(rules.forest.depth if rules.scale_children else 0):
        parent = constants.parent[feature]
        feature = jnp.maximum(parent, 0)  # feature 0 is a root: past the top the factor stays 1
        above = magnitudes(constants, rules, words, step, feature, feature * batch + example)
        value = value * jnp.where(parent >= 0, above / constants.magnitude.mean[feature], 1.0)
    value = jnp.maximum(value, SMALLEST)
    if rules.signed:
        value = jnp.where(uniform_at(substream(words, SIGNS), step, position) < 0.5, -value, value)
    return value


def dense(constants: GatedConstants, rules: Rules, words: Words, step: Array, batch: int) -> Array:
    """Features x (n_features, batch): the value of every feature, 0 where it does not fire."""
    n = len(constants.parent)
    feature = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[:, None], (n, batch))
    value = values(constants, rules, words, step, feature)
    return jnp.where(fires(constants, rules, words, step, batch), value, 0.0)


@partial(jax.jit, static_argnames=("rules", "batch"))
def coefficients(constants: GatedConstants, rules: Rules, words: Words, step: Array, batch: int) -> Array:
    """What each feature is worth in each example of one step, (batch, n_features), 0 where it does not fire."""
    start = jnp.zeros((batch, len(constants.parent)), jnp.float32)
    return _over_active(constants, rules, words, step, batch, _put, start)


@partial(jax.jit, static_argnames=("rules", "batch"))
def activations(
    constants: GatedConstants,
    dictionary: Array,
    bias: Array,
    rules: Rules,
    words: Words,
    step: Array,
    batch: int,
) -> tuple[Array, Array]:
    """Activations (batch, d_in) = x @ dictionary + bias, and x (batch, n_features).

    One row of the dictionary is added per active feature: with 35 of 16384 active this takes a small part of
    the time of the matrix product on a CPU.
    """

    def put(carry: tuple[Array, Array], feature: Array, value: Array, exists: Array) -> tuple[Array, Array]:
        acts, result = carry
        return acts + value[:, None] * dictionary[feature], _put(result, feature, value, exists)

    acts = jnp.broadcast_to(bias, (batch, dictionary.shape[1]))
    start = (acts, jnp.zeros((batch, len(dictionary)), jnp.float32))
    return _over_active(constants, rules, words, step, batch, put, start)


def _put(result: Array, feature: Array, value: Array, exists: Array) -> Array:
    row = jnp.where(exists, jax.lax.iota(jnp.int32, len(result)), len(result))  # out of range: dropped
    return result.at[row, feature].set(value, mode="drop", unique_indices=True)


def _over_active(
    constants: GatedConstants,
    rules: Rules,
    words: Words,
    step: Array,
    batch: int,
    put: Callable[..., T],
    start: T,
) -> T:
    active = pack(fires(constants, rules, words, step, batch))

    def one(nth: Array, carry: T) -> T:
        exists = nth < active.total
        feature = jnp.where(exists, nth_feature(active, nth), 0)
        value = jnp.where(exists, values(constants, rules, words, step, feature), 0.0)
        return put(carry, feature, value, exists)

    return jax.lax.fori_loop(0, jnp.max(active.total), one, start)
