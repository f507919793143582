"""Activations of a planted world: features times a known dictionary."""

from dataclasses import dataclass

import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.activations._base import Batch, Source, Stream
from superposition.features import Planted, key_words
from superposition.typing import PRNGKey, PyTree


@dataclass(frozen=True)
class PlantedActivations(Source):
    """x = features @ dictionary + bias of a world; y = x.

    >>> from superposition.activations import PlantedActivations
    >>> from superposition.features import PLANTED
    >>> PlantedActivations(PLANTED["orthogonal"]).d_in
    64
    """

    world: Planted = Planted()

    @property
    def d_in(self) -> int:
        """Width of the dictionary."""
        return self.world.d_in

    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """A fresh draw, hashed from (key words, step)."""
        x, features = self.world.draw(inputs["world"], inputs["words"], step, size)
        return Batch(x, x, features)


def planted_stream(key: PRNGKey, world: Planted) -> Stream:
    """The stream of a planted world, with its dictionary (n_features, d_in).

    key: decides the batches; the world itself is decided by its recipe. Raises ConfigError for what is no world.

    >>> import jax
    >>> from superposition.features import PLANTED
    >>> planted_stream(jax.random.key(0), PLANTED["orthogonal"]).batch(step=0, size=3).x.shape
    (3, 64)
    """
    validate.instance("world", world, Planted)
    built = world.build()
    inputs = {"world": built, "words": key_words(key)}
    return Stream(PlantedActivations(world), inputs, np.asarray(built.dictionary))
