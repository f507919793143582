"""Settings of `wrong_l0`, and the constants that its parts share."""

import math
from dataclasses import dataclass

from experiments.lab.relations import reaches
from experiments.lab.settings import Count, Positive

MEASURES = ("l0", "mcc", "f1", "explained_variance", "c_dec", "hedging")


@dataclass(frozen=True)
class Config:
    """Range of L0, seeds and training."""

    l0: tuple[Positive, ...] = (1.0, 2.0, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0)
    seeds: Count = 5
    steps: Count = 2_000
    jumprelu_steps: Count = 4_000
    batch_size: Count = 256
    learning_rate: Positive = 3e-3
    evaluation_batches: Count = 4

    def __post_init__(self) -> None:
        reaches("l0", self.l0, 0, 3)  # the true L0 is 4: claims look below it and above it
        reaches("l0", self.l0, 6, math.inf)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(l0=(2.0, 6.0), seeds=1, steps=20, jumprelu_steps=20, batch_size=64, evaluation_batches=1)
