"""Settings of `asymmetric_motif`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.relations import reaches
from experiments.lab.settings import Count, Density, NotNegative, Positive
from superposition._internal import validate
from superposition.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Data, model, training, the sample that measures a cut weight, and the detector's thresholds."""

    n_features: Count = 10
    n_hidden: Count = 10
    importance_base: Positive = 0.8
    densities: tuple[Density, ...] = (1.0, 0.35, 0.2, 0.1, 0.05)
    arena_density: Density = 0.35
    seeds: Count = 200
    steps: Count = 1_500
    batch_size: Count = 128
    learning_rate: Positive = 1e-2
    examples: Count = 8_192
    ratio: NotNegative = 2.0
    effect: NotNegative = 0.25
    inhibition: NotNegative = 0.5

    def __post_init__(self) -> None:
        if self.arena_density not in self.densities:
            listed = ", ".join(f"{p:g}" for p in self.densities)
            raise ConfigError(f"arena_density must be one of densities, {listed}; got {self.arena_density:g}")
        reaches("densities", self.densities, 0, 0.2)
        validate.integer("n_features", self.n_features, 2)  # a motif is of two features and two neurons
        validate.integer("n_hidden", self.n_hidden, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            densities=(0.35, 0.1),
            seeds=3,
            steps=20,
            batch_size=32,
            examples=64,
            ratio=1.0,
            effect=0.0,
            inhibition=0.0,
        )
