"""Laws of coins, trees and magnitudes: which features fire, then how much each is worth.

Every feature has a coin. The coins are independent, or correlated by a Gaussian copula. In a tree a feature fires where
its coin falls heads and its parent fires, and no exclusive sibling was chosen instead. A feature that fires has a
magnitude. A planted world draws one of its few active features at a time; a toy model's batch is drawn densely. Both
have the same values.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float64

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features import _gated_draw
from superposition.features._base import FeatureLaw
from superposition.features._gated_draw import GatedConstants, Rules
from superposition.features.copula import Copula, check, copula, given_common, joint
from superposition.features.hierarchy import Forest
from superposition.features.magnitudes import Magnitudes, UniformMagnitudes
from superposition.typing import HostVector, Step, Words

COINS, COMMON, SIBLINGS, MAGNITUDES, SIGNS = range(5)  # one stream of uniforms for each
ROWS = 256  # features whose coins fall together
PAIRS = 64  # pairs +-e1 integrated at once
T = TypeVar("T")


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
        step: Step,
        n_features: int,
        batch_size: int,
        *,
        conditional: bool = False,
    ) -> Float[Array, "{n_features} {batch_size}"]:
        """Features x (n_features, batch_size) of one step, drawn densely."""
        del n_features, conditional
        return _gated_draw.dense(constants, self.rules, words, step, batch_size)

    def coefficients(self, constants: GatedConstants, words: Words, step: Array, batch_size: int) -> Array:
        """Features x (batch_size, n_features) of one step, drawn one active feature at a time; compiled."""
        return _gated_draw.coefficients(constants, self.rules, words, step, batch_size)

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
        return _gated_draw.activations(constants, dictionary, bias, self.rules, words, step, batch_size)

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

    def mean(self, n_features: int) -> HostVector:
        """E x_i = P_i E[m_i | m_i > 0], times E m_a / mean_a of every ancestor a that scales it; 0 when signed."""
        self._require_closed_form()
        if self.signed:
            return np.zeros(n_features)
        first, _, own = self._moments(n_features)
        return self.firing_probabilities(n_features) * first * own

    def second_moment(self, n_features: int) -> Float64[np.ndarray, "n_features n_features"]:
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
