"""Settings of `lecture_figure`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count, Density, Positive
from experiments.toy_models.shared import side_by_side


@dataclass(frozen=True)
class Config(side_by_side.Columns):
    """n=20 features in m=5 dimensions."""

    n_features: Count = 20
    n_hidden: Count = 5
    importance_base: Positive = 0.7
    densities: tuple[Density, ...] = side_by_side.DENSITIES
    seeds: Count = 10
    steps: Count = 10_000
    batch_size: Count = 512
    linear_steps: Count = 3_000

    @classmethod
    def lecture(cls) -> "Config":
        """The same claims with fewer seeds and shorter training."""
        return cls(seeds=6, steps=6_000)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=1, linear_seeds=1, steps=100, linear_steps=100, batch_size=64)
