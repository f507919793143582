"""Settings of `local_bases`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count, Density, Index, Positive
from superposition._internal import validate

N, M, SETS = 20, 10, 2


@dataclass(frozen=True)
class Config:
    """Data and training."""

    densities: tuple[Density, ...] = (0.1, 0.05, 0.02)
    shown: Index = 1
    seeds: Count = 3
    steps: Count = 2_000
    batch_size: Count = 128
    learning_rate: Positive = 1e-2

    def __post_init__(self) -> None:
        validate.integer("shown, an index into densities,", self.shown, 0, len(self.densities))

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=2, steps=60, batch_size=32)
