"""Settings of `correlated_sets`, and the constants that its parts share."""

from dataclasses import dataclass, field

from experiments.lab.relations import reaches
from experiments.lab.settings import Density
from experiments.toy_models.shared.sets import Training

HEXAGON = 0.05  # density up to which the paper's next figure has the hexagon whole


@dataclass(frozen=True)
class Config:
    """Densities of a set, and training."""

    densities: tuple[Density, ...] = (0.2, 0.1, 0.05, 0.02)
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        reaches("densities", self.densities, 0, HEXAGON)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(densities=(0.1, 0.02), training=Training(seeds=3, steps=100, batch_size=64))
