"""Settings of `hidden_basis`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count, Density, Positive
from superposition._internal import validate

N, M = 10, 5


@dataclass(frozen=True)
class Config:
    """Densities, the first of which is dense, and training."""

    densities: tuple[Density, ...] = (0.5, 0.2, 0.05)
    importance_base: Positive = 0.75
    seeds: Count = 40
    steps: Count = 2_000
    batch_size: Count = 256
    learning_rate: Positive = 2e-2
    turns: Count = 200

    def __post_init__(self) -> None:
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=3, steps=60, batch_size=32, turns=5)
