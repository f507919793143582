"""Worlds with a known dictionary, for SAEs to recover: a law of features times a dictionary.

`Planted` is the recipe, `World` its arrays, and a batch is a pure function of (world, words, step).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.features._base import FeatureLaw
from superposition.features.dictionary import Dictionary, random_unit
from superposition.features.sparse_uniform import SparseUniform
from superposition.typing import PyTree, Step, Words

LARGEST = 1e15  # of the bias: squares and sums of them stay within float32


class World(NamedTuple):
    """The arrays of one planted world: dictionary (n_features, d_in), unit rows; bias (d_in,); the law's constants.

    >>> from superposition.features import Dictionary, Planted, SparseUniform
    >>> world = Planted(SparseUniform(density=0.1), Dictionary(n_features=8, d_in=4), bias_norm=2.0).build()
    >>> world.dictionary.shape, world.bias.shape
    ((8, 4), (4,))
    """

    dictionary: Array
    bias: Array
    constants: PyTree


@dataclass(frozen=True)
class Planted(Recipe):
    """Activations x @ dictionary + bias of sparse features x with known directions.

    features: any law, which decides x (n_features,). dictionary: the recipe of the directions (n_features, d_in).
    bias_norm: norm of a bias in a random direction. seed decides the directions; the law has a seed of its own for
    the arrays that it draws once, and the stream of batches is decided by its words and step alone.

    Raises ConfigError for a law that n_features do not fit, and for settings out of range.
    Source: SynthSAEBench (arXiv 2602.14687), whose worlds are of this form.

    >>> world = Planted(SparseUniform(density=0.1), Dictionary(n_features=8, d_in=4))
    >>> world.build().dictionary.shape
    (8, 4)
    """

    features: FeatureLaw = field(default_factory=lambda: SparseUniform(density=0.01))
    dictionary: Dictionary = field(default_factory=Dictionary)
    bias_norm: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.instance("features", self.features, FeatureLaw)
        validate.instance("dictionary", self.dictionary, Dictionary)
        validate.in_range("bias_norm", self.bias_norm, 0.0, LARGEST)
        validate.integer("seed", self.seed, 0, validate.MAX_SEED)
        validate.memory(
            f"a world of n_features={self.n_features}",
            8 * self.features.n_uniforms(self.n_features),
            "fewer of them",
        )
        self.features.check(self.n_features)

    @property
    def n_features(self) -> int:
        """Rows of the dictionary."""
        return self.dictionary.n_features

    @property
    def d_in(self) -> int:
        """Width of the dictionary, and of the activations."""
        return self.dictionary.d_in

    def scaled(self, n_features: int | None = None, d_in: int | None = None) -> "Planted":
        """The same world at another size, with as large a part of the features in trees.

        Numbers in the recipe stay, so that the number of active features follows from the law of the densities.
        Raises ConfigError for a size that the law does not fit.
        """
        old = self.n_features
        n = old if n_features is None else validate.integer("n_features", n_features, 1)
        dictionary = replace(self.dictionary, n_features=n, d_in=self.d_in if d_in is None else d_in)
        return replace(self, features=self.features.scaled(old, n), dictionary=dictionary)

    def build(self) -> World:
        """The world's arrays, a function of the recipe alone."""
        keys = jax.random.split(jax.random.key(self.seed), 4)  # 1 and 3 are those of a law
        return World(
            dictionary=self.dictionary.build(keys[0]),
            bias=self.bias_norm * random_unit(keys[2], 1, self.d_in)[0],
            constants=self.features.constants(self.features.densities(self.n_features)),
        )

    def draw(
        self, world: World, words: Words, step: Step | int, batch_size: int
    ) -> tuple[Float[Array, "{batch_size} d_in"], Float[Array, "{batch_size} n_features"]]:
        """Activations x @ dictionary + bias (batch_size, d_in), and the features x (batch_size, n_features).

        A pure function of (world, words, step) for words = key_words(key); `self` and batch_size are static under
        jit, the rest is traced. Raises ConfigError when batch_size < 1 or the batch has 2^31 entries or more.
        """
        validate.integer("batch_size", batch_size, 1)
        if batch_size * self.n_features >= 2**31:
            raise ConfigError(
                f"batch_size * n_features must be below 2^31, the positions of one step's stream; got {batch_size} * "
                f"{self.n_features}. Draw smaller batches at more steps"
            )
        step = jnp.asarray(step, jnp.uint32)
        return self.features.activations(
            world.constants, world.dictionary, world.bias, words, step, batch_size
        )
