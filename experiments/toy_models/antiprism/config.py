"""Settings of `antiprism`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.relations import below
from experiments.lab.settings import Count, Density, Positive
from superposition._internal import validate

STAGES = ("near zero", "parted", "open", "turned")
HALF, ANTIPRISM, ANTIPODAL = 0.5, 50.0, -0.95


@dataclass(frozen=True)
class Config:
    """Data, model, training."""

    density: Density = 0.1
    seeds: Count = 20
    steps: Count = 12_000
    batch_size: Count = 128
    learning_rate: Positive = 2e-3
    frames: Count = 90
    first_step: Count = 10
    start_instances: Count = 10_000

    def __post_init__(self) -> None:
        validate.integer("frames", self.frames, 2)
        below("first_step", self.first_step, "steps", self.steps)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=2, steps=60, batch_size=32, frames=8, start_instances=10)
