"""Settings of `loss_decomposition`, and the constants that its parts share."""

from dataclasses import dataclass

import numpy as np

from experiments.lab.relations import includes
from experiments.lab.settings import Count, Density, Positive
from superposition._internal import validate

SHOWN = (1.0, 0.2, 0.1)  # densities of the introduction's three panels
TINY = np.geomspace(1e-4, 1e-3, 5)


@dataclass(frozen=True)
class Config:
    """The two models and their training."""

    densities: tuple[Density, ...] = (1.0, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01)
    larger_densities: tuple[Density, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    larger: tuple[Count, Count] = (20, 5)  # n and m
    seeds: Count = 4
    steps: Count = 1_500
    batch_size: Count = 128
    learning_rate: Positive = 1e-2

    def __post_init__(self) -> None:
        includes("densities", self.densities, *SHOWN)
        validate.integer("the first of larger, n,", self.larger[0], 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(densities=SHOWN, larger_densities=SHOWN, larger=(5, 2), seeds=1, steps=10, batch_size=16)
