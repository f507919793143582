"""Settings of `privileged_basis`, and the constants that its parts share."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.lab.relations import reaches
from experiments.lab.settings import Count, Density, Positive
from superposition import AdamW, ToyRun
from superposition._internal import validate
from superposition.geometry.neurons import Neurons, neurons
from superposition.toy import ReLUHidden

MODEL = ReLUHidden(10, 5)


class Finalist(NamedTuple):
    """The best model of one structure, and by how much its loss is above the winner's, as a fraction, +- `error`."""

    W: np.ndarray
    b: np.ndarray
    loss: float
    gap: float
    error: float


@dataclass(frozen=True)
class Found:
    """What is known of one density: the best model of each structure, the winner first, and of how many models."""

    density: float
    finalists: dict[str, Finalist]
    every: Counter[str]  # structures of all models, before any was trained on
    gain: float  # by how much training on lowered the least loss, as a fraction

    @property
    def best(self) -> Finalist:
        """The winner."""
        return next(iter(self.finalists.values()))

    @property
    def neurons(self) -> Neurons:
        """The winner's codes and groups."""
        return neurons(self.best.W)

    @property
    def rival(self) -> str:
        """The best other structure; "" if none was among the models trained on."""
        return list(self.finalists)[1] if len(self.finalists) > 1 else ""

    @property
    def share(self) -> float:
        """Models that end in the winner's structure, of all."""
        return self.every[self.neurons.name] / self.every.total()


# Densities at which the claims tell the paper's regimes apart.
REGIMES = ((0.5, 1), (0.2, 0.49), (0.15, 0.15), (0.12, 0.12), (0.05, 0.08), (0, 0.02))


@dataclass(frozen=True)
class Config:
    """Data, model and training."""

    densities: tuple[Density, ...] = (0.75, 0.5, 0.35, 0.2, 0.15, 0.12, 0.08, 0.05, 0.035, 0.02, 0.01)
    importance_base: Positive = 0.75
    seeds: Count = 1000
    steps: Count = 1_500
    batch_size: Count = 64
    learning_rate: Positive = 0.04
    kept: Count = 24
    finalists: Count = 3
    refine_steps: Count = 2_000
    refine_batch_size: Count = 512
    refine_learning_rate: Positive = 0.03
    draws: tuple[Count, Count] = (8, 96)
    examples: Count = 32_768

    def __post_init__(self) -> None:
        for low, high in REGIMES:
            reaches("densities", self.densities, low, high)
        validate.integer("the second of draws", self.draws[1], 2)  # its spread is the standard error
        validate.integer("examples", self.examples, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        small = {"steps": 100, "batch_size": 32, "refine_steps": 16, "refine_batch_size": 32}
        return cls(seeds=6, kept=3, draws=(2, 2), examples=64, **small)  # type: ignore[arg-type]

    def recipe(self, steps: int, batch_size: int, learning_rate: float) -> ToyRun:
        """Training with these settings, at any density."""
        optimizer = AdamW(learning_rate, weight_decay=0.0, schedule="cosine")
        return ToyRun(
            MODEL,
            importance_base=self.importance_base,
            optimizer=optimizer,
            steps=steps,
            batch_size=batch_size,
        )
