"""Settings of `energy_levels`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.relations import below
from experiments.lab.settings import Count, Density, Positive
from superposition._internal import validate
from superposition.errors import ConfigError

FIRST_FRAME = 100  # of the k-gons' runs


@dataclass(frozen=True)
class Config:
    """Data, models and training of both parts."""

    n_features: Count = 20
    n_hidden: Count = 5
    density: Density = 0.4
    seeds: Count = 12
    steps: Count = 20_000
    batch_size: Count = 64
    learning_rate: Positive = 3e-3
    frames: Count = 200
    polygon_features: Count = 6
    polygon_density: Density = 0.01
    polygon_seeds: Count = 24
    polygon_steps: Count = 16_000
    polygon_learning_rate: Positive = 0.35
    polygon_frames: Count = 120
    start_instances: Count = 10_000

    def __post_init__(self) -> None:
        if 2 * self.n_hidden > self.n_features:
            raise ConfigError(
                f"n_hidden must be at most half of n_features, {self.n_features // 2}, for digons in every dimension; got "
                f"{self.n_hidden}"
            )
        validate.integer("frames", self.frames, 100)  # a jump is looked for within a hundredth of them
        validate.integer("polygon_features", self.polygon_features, 3)
        validate.integer("polygon_frames", self.polygon_frames, 2)
        below("frames", self.frames, "steps", self.steps)
        validate.integer("polygon_steps", self.polygon_steps, FIRST_FRAME + 1)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            n_features=6,
            n_hidden=2,
            seeds=2,
            steps=400,
            polygon_seeds=2,
            polygon_steps=300,
            polygon_frames=30,
        )
