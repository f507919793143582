"""Worlds with a known dictionary: activations = coefficients @ dictionary + bias, for SAEs to recover.

`Planted` is the recipe, `World` its arrays, and a batch is a pure function of (world, words, step).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features import rates
from superposition.features.copula import Copula, copula, given_common
from superposition.features.dictionary import orthogonal, orthogonalized, random_unit
from superposition.features.hierarchy import Forest
from superposition.features.world import Rules, World, coefficients, draw
from superposition.typing import Words

LARGEST = 1e15  # of a magnitude or scale: squares and sums of them stay within float32
Choice = Literal["random", "orthogonalized", "orthogonal"]


@dataclass(frozen=True)
class Planted:
    """A world of sparse features with a known dictionary, in the manner of SynthSAEBench (arXiv 2602.14687).

    acts = coefficients @ dictionary + bias. Feature i tosses a coin; in a tree it fires only if its parent does and
    no exclusive sibling was chosen instead; then its magnitude is max(0, N(mean_i, std_i)) or U[0, 1].

    dictionary: "random" unit rows, "orthogonalized" (dictionary_steps of Adam), or "orthogonal" (n_features <= d_in).
    rates: "zipf" (exponent, low, high), "linear" (low, high), "geometric" (decay, mean_active), "constant"
    (mean_active), or "level": high * level_ratio^level in a tree, low outside.
    roots, branching, depth, exclusive: the forest (`Forest`).
    compensate: coins as the rates are ("no"), SynthSAEBench's correction (`Forest.published`), or "exact"
    (`Forest.compensated`).
    scale_children: a child's magnitude is multiplied by its parent's final magnitude over magnitude_mean of the parent.
    correlation_rank, correlation_scale: `copula`; rank 0 is independence.
    magnitudes: "rectified-normal" with mean linear in i from magnitude_first to magnitude_last and std_i drawn once
    as |N(std_mean, std_std)|, or "uniform".
    seed decides the world; the stream of batches is decided by its words and step alone.

    Raises ConfigError for a setting, or a combination of them, that no world has.
    """

    n_features: int = 512
    d_in: int = 256
    dictionary: Choice = "random"
    dictionary_steps: int = 100
    dictionary_learning_rate: float = 3e-4
    rates: Literal["zipf", "linear", "geometric", "constant", "level"] = "zipf"
    exponent: float = 0.5
    low: float = 5e-4
    high: float = 0.4
    decay: float = 0.99
    mean_active: float = 5.0
    level_ratio: float = 0.2
    roots: int = 0
    branching: int = 4
    depth: int = 3
    exclusive: bool = True
    compensate: Literal["no", "published", "exact"] = "no"
    scale_children: bool = False
    correlation_rank: int = 0
    correlation_scale: float = 0.1
    magnitudes: Literal["rectified-normal", "uniform"] = "rectified-normal"
    magnitude_first: float = 5.0
    magnitude_last: float = 4.0
    std_mean: float = 0.5
    std_std: float = 0.5
    bias_norm: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        validate.settle(self)
        for name in ("n_features", "d_in"):
            validate.integer(name, getattr(self, name), 1)
        validate.integer("dictionary_steps", self.dictionary_steps, 0, 2**31)
        validate.integer("correlation_rank", self.correlation_rank, 0)
        validate.integer("seed", self.seed, 0, validate.MAX_SEED)
        entries = self.d_in + self.correlation_rank + 8
        validate.memory(
            f"a world of n_features={self.n_features} and d_in={self.d_in}",
            8 * self.n_features * entries,
            "smaller ones",
        )
        for name, accepted in _CHOICES.items():
            validate.choice(name, getattr(self, name), accepted)
        for name in (
            "exponent",
            "low",
            "high",
            "decay",
            "mean_active",
        ):  # their ranges are those of the rates
            validate.number(name, getattr(self, name))
        for name in ("dictionary_learning_rate", "level_ratio", "magnitude_first", "magnitude_last"):
            validate.in_range(name, getattr(self, name), 0.0, LARGEST, open_low=True)
        for name in ("correlation_scale", "std_mean", "std_std", "bias_norm"):
            validate.in_range(name, getattr(self, name), 0.0, LARGEST)
        if self.dictionary == "orthogonal" and self.n_features > self.d_in:
            raise ConfigError(
                'dictionary="orthogonal" needs n_features <= d_in; got '
                f'n_features={self.n_features} and d_in={self.d_in}. Raise d_in, or take "orthogonalized"'
            )
        self.forest.parents(self.n_features)
        self.coins()

    @property
    def forest(self) -> Forest:
        """The trees among the features."""
        return Forest(self.roots, self.branching, self.depth, self.exclusive)

    def scaled(self, n_features: int | None = None, d_in: int | None = None, **changes: Any) -> "Planted":
        """The same world at another size, with as large a part of the features in trees.

        roots is scaled with n_features and rounded down, to at least 1. low, high and mean_active stay, so the
        number of active features follows from the law of the rates. Other fields can be changed by name.
        """
        n = self.n_features if n_features is None else validate.integer("n_features", n_features, 1)
        if self.roots and "roots" not in changes:
            changes["roots"] = max(1, self.roots * n // self.n_features)
        return dataclasses.replace(self, n_features=n, d_in=self.d_in if d_in is None else d_in, **changes)

    def target_rates(self) -> np.ndarray:
        """The firing probabilities asked for, float64 (n_features,)."""
        n = self.n_features
        if self.rates == "zipf":
            return rates.zipf(n, self.exponent, self.low, self.high)
        if self.rates == "linear":
            return rates.linear(n, self.low, self.high)
        if self.rates == "geometric":
            return rates.geometric(n, self.decay, self.mean_active)
        if self.rates == "constant":
            return rates.constant(n, self.mean_active)
        return self.forest.level_rates(n, self.high, self.level_ratio, self.low)

    def coins(self) -> np.ndarray:
        """P(a feature's own coin falls heads) after compensation, float64 (n_features,)."""
        target = self.target_rates()
        if self.compensate == "no" or not self.roots:
            return target
        return (self.forest.compensated if self.compensate == "exact" else self.forest.published)(target)

    def build(self) -> World:
        """The world's arrays, a function of the recipe alone."""
        n = self.n_features
        keys = jax.random.split(jax.random.key(self.seed), 4)
        if self.dictionary == "orthogonalized":
            steps, rate = self.dictionary_steps, self.dictionary_learning_rate
            rows = orthogonalized(keys[0], n, self.d_in, steps, rate)
        else:
            rows = (orthogonal if self.dictionary == "orthogonal" else random_unit)(keys[0], n, self.d_in)
        if self.magnitudes == "uniform":
            mean, std = jnp.full(n, 0.5), jnp.full(n, 12**-0.5)
            positive = jnp.ones(n)
        else:
            mean = jnp.linspace(self.magnitude_first, self.magnitude_last, n)
            std = jnp.abs(self.std_mean + self.std_std * jax.random.normal(keys[1], (n,)))
            positive = jax.scipy.special.ndtr(mean / std)
        return World(
            dictionary=rows,
            bias=self.bias_norm * random_unit(keys[2], 1, self.d_in)[0],
            rates=jnp.asarray(self.target_rates(), jnp.float32),
            copula=copula(keys[3], self.coins(), self.correlation_rank, self.correlation_scale),
            magnitude_mean=mean,
            magnitude_std=std,
            positive=positive,
            parent=jnp.asarray(self.forest.parents(n)),
        )

    def coefficients(self, world: World, words: Words, step: Array | int, batch_size: int) -> Array:
        """The true coefficients of one step, (batch_size, n_features), 0 where a feature does not fire.

        A pure function of (world, words, step) for words = key_words(key); `self` and batch_size are static under
        jit, the rest is traced. Raises ConfigError when batch_size < 1 or the batch has 2^31 entries or more.
        """
        return coefficients(world, self._rules(batch_size), words, jnp.asarray(step, jnp.uint32), batch_size)

    def draw(self, world: World, words: Words, step: Array | int, batch_size: int) -> tuple[Array, Array]:
        """Activations (batch_size, d_in) and the coefficients behind them, as `coefficients` gives them.

        acts = coefficients @ dictionary + bias. Raises ConfigError as `coefficients` does.
        """
        return draw(world, self._rules(batch_size), words, jnp.asarray(step, jnp.uint32), batch_size)

    def firing_probabilities(self, world: World, pairs: int = 1024) -> np.ndarray:
        """P(coefficient_i > 0), float64 (n_features,).

        Exact without correlation, and always for roots and loose features: P(coin) P(N(mean, std) > 0), through
        `Forest.marginals`. With correlation a child's coin depends on its parent's, and there is no closed form:
        given e1 the value is exact, and it is averaged over `pairs` fixed antithetic draws +-e1 as a ratio to the
        coin's own average, which is known. Raises ConfigError when pairs < 1.
        """
        validate.integer("pairs", pairs, 1)
        positive = np.asarray(world.positive, float)
        coin, nodes = self.coins() * positive, self.forest.n_nodes
        if not self.correlation_rank or not nodes:
            return self.forest.marginals(coin)
        random = np.random.default_rng(0)
        law = Copula(*(a[:nodes] for a in world.copula))
        fired, tossed = np.zeros(nodes), np.zeros(nodes)
        for start in range(0, pairs, _PAIRS):
            half = random.standard_normal((self.correlation_rank, min(_PAIRS, pairs - start)))
            common = jnp.asarray(np.concatenate([half, -half], 1), jnp.float32)
            given = np.asarray(given_common(law, common), float).T * positive[:nodes]
            fired += self.forest.marginals(given).sum(0)
            tossed += given.sum(0)
        return np.concatenate([coin[:nodes] * fired / tossed, coin[nodes:]])

    def _rules(self, batch_size: int) -> Rules:
        validate.integer("batch_size", batch_size, 1)
        if batch_size * self.n_features >= 2**31:
            raise ConfigError(
                f"batch_size * n_features must be below 2^31, the positions of one step's stream; got {batch_size} * "
                f"{self.n_features}. Draw smaller batches at more steps"
            )
        return Rules(self.forest, self.scale_children and self.roots > 0, self.magnitudes == "uniform")


_PAIRS = 64  # pairs +-e1 integrated at once
_CHOICES = {
    "dictionary": ("random", "orthogonalized", "orthogonal"),
    "rates": ("zipf", "linear", "geometric", "constant", "level"),
    "compensate": ("no", "published", "exact"),
    "magnitudes": ("rectified-normal", "uniform"),
}
