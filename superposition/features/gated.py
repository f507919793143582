"""Laws of coins, trees and magnitudes: which features fire, then how much each is worth.

Every feature has a coin. The coins are independent, or correlated by a Gaussian copula. In a tree a feature fires where
its coin falls heads and its parent fires, and no exclusive sibling was chosen instead. A feature that fires has a
magnitude. A planted world draws one of its few active features at a time; a toy model's batch is drawn densely. Both
have the same values.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features._base import FeatureLaw
from superposition.features._draw import substream, uniform, uniform_at
from superposition.features._sparse import nth_feature, pack
from superposition.features.copula import Copula, check, copula, given_common, joint
from superposition.features.hierarchy import Forest
from superposition.features.magnitudes import SMALLEST, MagnitudeArrays, Magnitudes, UniformMagnitudes
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


@dataclass(frozen=True)
class GatedLaw(FeatureLaw):
    """Features that fire by coins and are worth a magnitude; what the laws of this kind share.

    density: P(a feature's own coin falls heads), or what a law compensates it to be. signed: magnitudes have a random
    sign. seed: of the arrays that are drawn once (the copula's factor, the magnitudes' deviations).
    """

    magnitudes: Magnitudes = field(default_factory=UniformMagnitudes)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.instance("magnitudes", self.magnitudes, Magnitudes)
        validate.integer("seed", self.seed, 0, validate.MAX_SEED)
        check(*self.correlation)

    @property
    def correlation(self) -> tuple[int, float]:
        """Rank and scale of the coins' copula; rank 0 is independence."""
        return 0, 0.0

    @property
    def forest(self) -> Forest:
        """The trees among the features."""
        return Forest(roots=0)

    @property
    def rules(self) -> Rules:
        """What a batch is compiled for."""
        return Rules(self.forest, False, self.magnitudes, self.signed)

    def coins(self, density: np.ndarray | Array) -> np.ndarray | Array:
        """P(a feature's own coin falls heads), (n_features,), from the densities, which may be traced."""
        return density

    def check(self, n_features: int) -> None:
        """Raise ConfigError where the trees do not fit, or no coins give the densities."""
        self.forest.parents(n_features)
        self.coins(self.densities(n_features))

    def n_uniforms(self, n_features: int) -> int:
        """A coin and a magnitude per feature (and a sign), one per inner node, and the copula's common part."""
        return (3 if self.signed else 2) * n_features + self.forest.n_inner + self.correlation[0]

    def constants(self, density: np.ndarray | Array) -> GatedConstants:
        """Arrays as a function of the recipe and the densities (n_features,), which may be traced."""
        n = len(density)
        with jax.ensure_compile_time_eval():  # concrete keys, also where the densities are traced
            # The keys between them are those of a planted dictionary and bias.
            _, of_magnitudes, _, of_copula = jax.random.split(jax.random.key(self.seed), 4)
        magnitude = self.magnitudes.arrays(of_magnitudes, n)
        coins = copula(of_copula, self.coins(density), *self.correlation)
        return GatedConstants(coins, magnitude, jnp.asarray(self.forest.parents(n)))

    def draw(
        self,
        constants: GatedConstants,
        words: Words,
        step: Array,
        n_features: int,
        batch_size: int,
        *,
        conditional: bool = False,
    ) -> Array:
        """Features x (n_features, batch_size) of one step, drawn densely."""
        del n_features, conditional
        return dense(constants, self.rules, words, step, batch_size)

    def coefficients(self, constants: GatedConstants, words: Words, step: Array, batch_size: int) -> Array:
        """Features x (batch_size, n_features) of one step, drawn one active feature at a time; compiled."""
        return coefficients(constants, self.rules, words, step, batch_size)

    def activations(
        self,
        constants: GatedConstants,
        dictionary: Array,
        bias: Array,
        words: Words,
        step: Array,
        batch_size: int,
    ) -> tuple[Array, Array]:
        """Activations x @ dictionary + bias (batch_size, d_in), one active feature at a time, and x (batch_size, n_features)."""
        return activations(constants, dictionary, bias, self.rules, words, step, batch_size)

    def firing_probabilities(self, n_features: int, pairs: int = 1024) -> np.ndarray:
        """P(x_i != 0), float64 (n_features,).

        Exact without correlation, and always for roots and features in no tree: P(coin) P(magnitude > 0), through
        `Forest.marginals`. With correlation a child's coin depends on its parent's, and there is no closed form:
        given e1 the value is exact, and it is averaged over `pairs` fixed antithetic draws +-e1 as a ratio to the
        coin's own average, which is known. Raises ConfigError when pairs < 1.
        """
        validate.integer("pairs", pairs, 1)
        density = self.densities(n_features)
        constants = self.constants(density)
        positive = np.asarray(constants.magnitude.positive, float)
        coin, nodes = np.asarray(self.coins(density)) * positive, self.forest.n_nodes
        rank = self.correlation[0]
        if not rank or not nodes:
            return self.forest.marginals(coin)
        random = np.random.default_rng(0)
        law = Copula(*(a[:nodes] for a in constants.copula))
        fired, tossed = np.zeros(nodes), np.zeros(nodes)
        for start in range(0, pairs, PAIRS):
            half = random.standard_normal((rank, min(PAIRS, pairs - start)))
            common = jnp.asarray(np.concatenate([half, -half], 1), jnp.float32)
            given = np.asarray(given_common(law, common), float).T * positive[:nodes]
            fired += self.forest.marginals(given).sum(0)
            tossed += given.sum(0)
        return np.concatenate([coin[:nodes] * fired / tossed, coin[nodes:]])

    def mean(self, n_features: int) -> np.ndarray:
        """E x_i = P_i E[m_i | m_i > 0], times E m_a / mean_a of every ancestor a that scales it; 0 when signed."""
        self._require_closed_form()
        if self.signed:
            return np.zeros(n_features)
        first, _, own = self._moments(n_features)
        return self.firing_probabilities(n_features) * first * own

    def second_moment(self, n_features: int) -> np.ndarray:
        """E x x^T, (n_features, n_features): P(i and j fire) times the moment of their values, given that both do."""
        self._require_closed_form()
        p = self.firing_probabilities(n_features)
        if self.forest.n_nodes:
            both = self.forest.joint(p)
        else:
            constants = self.constants(self.densities(n_features))
            positive = np.asarray(constants.magnitude.positive, float)
            both = joint(constants.copula) * np.outer(positive, positive)
            np.fill_diagonal(both, p)
        return both * self._second_moment_of_values(n_features)

    def _require_closed_form(self) -> None:
        if self.correlation[0] and self.forest.n_nodes:
            raise ConfigError(
                f"the moments of {type(self).__name__} have no closed form with both trees and correlated coins; "
                "take correlation_rank=0, or sample them"
            )

    def _moments(self, n_features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E m and E m^2 given m > 0, and the product of E m_a / mean_a over the ancestors that scale a feature."""
        arrays = self.constants(self.densities(n_features)).magnitude
        first, second = self.magnitudes.moments(arrays)
        ratio = first / np.asarray(arrays.mean, float)
        lines = self.forest.ancestors(n_features) if self.rules.scale_children else [[]] * n_features
        return first, second, np.array([np.prod(ratio[line]) for line in lines])

    def _second_moment_of_values(self, n_features: int) -> np.ndarray:
        """E v_i v_j given that both fire, v_i being the magnitude m_i times m_a / mean_a of its ancestors a."""
        first, second, scale = self._moments(n_features)
        mean = np.asarray(self.constants(self.densities(n_features)).magnitude.mean, float)
        value = first * scale
        result = np.zeros((n_features, n_features)) if self.signed else np.outer(value, value)
        ancestors = self.forest.ancestors(n_features) if self.rules.scale_children else [[]] * n_features
        excess = second / first**2  # what a magnitude that enters twice adds
        for i, line in enumerate(ancestors):
            result[i, i] = second[i] * np.prod([second[a] / mean[a] ** 2 for a in line])
            for j, other in enumerate(ancestors[:i]):
                shared = [a for a in [i, *line] if a in [j, *other]]
                if not self.signed and shared:
                    result[i, j] = result[j, i] = value[i] * value[j] * np.prod(excess[shared])
        return result


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
    example = jax.lax.iota(jnp.int32, batch)
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
