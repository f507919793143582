"""Settings of `nonlinear_compression`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count
from superposition._internal import validate

LEVELS = (2, 3, 4, 6, 10)


@dataclass(frozen=True)
class Config:
    """Points of the curves, the greatest Z searched, and samples that check the integrals."""

    points: Count = 81
    most_levels: Count = 40
    samples: Count = 1_000_000

    def __post_init__(self) -> None:
        validate.integer("points", self.points, 2)
        validate.integer("samples", self.samples, 100)  # their spread is the standard error

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(points=9, most_levels=8, samples=10_000)
