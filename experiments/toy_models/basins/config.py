"""Settings of `basins`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count, Density, Positive
from superposition._internal import validate


@dataclass(frozen=True)
class Config:
    """Models, densities, seeds, training."""

    lowest_density: Density = 0.01
    densities: Count = 10
    seeds: Count = 2_000
    others: tuple[tuple[Count, Count], ...] = ((3, 2), (6, 2), (6, 3))
    other_densities: tuple[Density, ...] = (0.3, 0.1, 0.03, 0.01)
    other_seeds: Count = 500
    steps: Count = 1_000
    batch_size: Count = 32
    learning_rate: Positive = 2e-2
    most: Count = 100

    def __post_init__(self) -> None:
        for name in ("densities", "seeds", "most"):  # axes
            validate.integer(name, getattr(self, name), 2)
        # Claims look at 0.05 and below.
        validate.in_range("lowest_density", self.lowest_density, 0, 0.05, open_low=True)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            densities=3, seeds=20, others=((3, 2),), other_densities=(0.1,), other_seeds=4, steps=60, most=10
        )
