"""The arrays of a planted world and its batches: coins, then the forest, then magnitudes where something fires."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.features._draw import substream, uniform, uniform_at
from superposition.features._sparse import nth_feature, pack
from superposition.features.copula import Copula, given_common
from superposition.features.hierarchy import Forest
from superposition.typing import Words

COINS, COMMON, SIBLINGS, MAGNITUDES = range(4)  # one stream of uniforms for each
SMALLEST = np.float32(1e-30)
ROWS = 256  # features whose coins fall together
T = TypeVar("T")


class World(NamedTuple):
    """The arrays of one planted world.

    dictionary (n_features, d_in), unit rows; bias (d_in,); rates (n_features,), the firing probabilities asked for;
    copula, of the coins; magnitude_mean, magnitude_std and positive = P(N(mean, std) > 0), each (n_features,);
    parent (n_features,) int32, -1 for none.
    """

    dictionary: Array
    bias: Array
    rates: Array
    copula: Copula
    magnitude_mean: Array
    magnitude_std: Array
    positive: Array
    parent: Array


class Rules(NamedTuple):
    """What is fixed when a batch is compiled: the forest, whether parents scale children, the magnitude law."""

    forest: Forest
    scale_children: bool
    uniform_magnitudes: bool


def fires(world: World, rules: Rules, words: Words, step: Array, batch: int) -> Array:
    """Which features fire, bool (n_features, batch), features first.

    A rectified magnitude of 0 is not firing, so it is part of the coin: heads with P(coin | e1) P(N(mean, std) > 0).
    """
    rank = world.copula.factor.shape[1]
    common = jax.scipy.special.ndtri(
        jnp.maximum(uniform(substream(words, COMMON), step, (rank, batch)), SMALLEST)
    )
    coins = _coins(world, common, substream(words, COINS), step)
    inner = rules.forest.n_inner if rules.forest.exclusive else 0
    return rules.forest.gate(coins, uniform(substream(words, SIBLINGS), step, (inner, batch)))


def _coins(world: World, common: Array, words: Words, step: Array) -> Array:
    """Heads, bool (n_features, batch), some rows at a time: as one expression XLA computes it for every consumer."""
    n, batch = len(world.rates), common.shape[1]
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

    law = Copula(blocks(world.copula.factor), blocks(world.copula.noise, 1.0), blocks(world.copula.quantile))
    return jax.lax.map(some, (starts, law, blocks(world.positive))).reshape(-1, batch)[:n]


def magnitudes(
    world: World, rules: Rules, words: Words, step: Array, feature: Array, position: Array
) -> Array:
    """What a firing feature is worth before its parent scales it; feature and position (k,) -> (k,), positive.

    N(mean, std) given that it is positive, as mean - std Phi^-1(u P(positive)), or U(0, 1).
    """
    u = jnp.maximum(uniform_at(substream(words, MAGNITUDES), step, position), SMALLEST)
    if rules.uniform_magnitudes:
        return u
    normal = jax.scipy.special.ndtri(u * world.positive[feature])
    return jnp.maximum(world.magnitude_mean[feature] - world.magnitude_std[feature] * normal, SMALLEST)


def values(world: World, rules: Rules, words: Words, step: Array, feature: Array) -> Array:
    """The coefficient of one firing feature of each example, feature (batch,) -> (batch,), positive.

    Every ancestor of a feature that fires does so too, and its magnitude is a function of its position, so it is
    drawn again rather than looked up: value = m_i prod over ancestors a of m_a / magnitude_mean_a.
    """
    example = jax.lax.iota(jnp.int32, len(feature))
    value = magnitudes(world, rules, words, step, feature, feature * len(feature) + example)
    for _ in range(rules.forest.depth if rules.scale_children else 0):
        parent = world.parent[feature]
        feature = jnp.maximum(parent, 0)  # feature 0 is a root: past the top the factor stays 1
        above = magnitudes(world, rules, words, step, feature, feature * len(feature) + example)
        value = value * jnp.where(parent >= 0, above / world.magnitude_mean[feature], 1.0)
    return jnp.maximum(value, SMALLEST)


@partial(jax.jit, static_argnames=("rules", "batch"))
def coefficients(world: World, rules: Rules, words: Words, step: Array, batch: int) -> Array:
    """What each feature is worth in each example of one step, (batch, n_features), 0 where it does not fire."""
    return _over_active(
        world, rules, words, step, batch, _put, jnp.zeros((batch, len(world.rates)), jnp.float32)
    )


@partial(jax.jit, static_argnames=("rules", "batch"))
def draw(world: World, rules: Rules, words: Words, step: Array, batch: int) -> tuple[Array, Array]:
    """Activations (batch, d_in) = coefficients @ dictionary + bias, and coefficients (batch, n_features).

    One row of the dictionary is added per active feature: with 35 of 16384 active this takes a small part of
    the time of the matrix product on a CPU.
    """

    def put(carry: tuple[Array, Array], feature: Array, value: Array, exists: Array) -> tuple[Array, Array]:
        acts, result = carry
        return acts + value[:, None] * world.dictionary[feature], _put(result, feature, value, exists)

    acts = jnp.broadcast_to(world.bias, (batch, world.dictionary.shape[1]))
    return _over_active(
        world, rules, words, step, batch, put, (acts, jnp.zeros((batch, len(world.rates)), jnp.float32))
    )


def _put(result: Array, feature: Array, value: Array, exists: Array) -> Array:
    row = jnp.where(exists, jax.lax.iota(jnp.int32, len(result)), len(result))  # out of range: dropped
    return result.at[row, feature].set(value, mode="drop", unique_indices=True)


def _over_active(
    world: World, rules: Rules, words: Words, step: Array, batch: int, put: Callable[..., T], start: T
) -> T:
    active = pack(fires(world, rules, words, step, batch))

    def one(nth: Array, carry: T) -> T:
        exists = nth < active.total
        feature = jnp.where(exists, nth_feature(active, nth), 0)
        value = jnp.where(exists, values(world, rules, words, step, feature), 0.0)
        return put(carry, feature, value, exists)

    return jax.lax.fori_loop(0, jnp.max(active.total), one, start)
