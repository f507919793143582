"""Settings of `absolute_value`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.relations import includes, reaches
from experiments.lab.settings import Count, Density, Number, Positive
from superposition._internal import validate

MONOSEMANTIC = 0.9  # of a neuron's sum of squared input weights, held by the largest


@dataclass(frozen=True)
class Config:
    """Data, models and training."""

    n_features: Count = 100
    n_hidden: Count = 40
    importance_base: Positive = 0.8
    densities: tuple[Density, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    learning_rates: tuple[Positive, ...] = (1e-2, 2e-2)
    seeds: Count = 2
    dense: Number = 0.3
    dense_learning_rates: tuple[Positive, ...] = (2e-2, 4e-2)
    dense_seeds: Count = 6
    random_start_seeds: Count = 1
    steps: Count = 8_000
    batch_size: Count = 256
    warm_up_density: Density = 0.3
    warm_up_seeds: Count = 16
    warm_up_steps: Count = 4_000
    examples: Count = 65_536

    def __post_init__(self) -> None:
        includes("densities", self.densities, 1.0)
        reaches("densities", self.densities, 0, 0.001)
        validate.integer("examples", self.examples, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            n_features=12,
            n_hidden=6,
            learning_rates=(1e-2,),
            seeds=1,
            dense_learning_rates=(1e-2,),
            dense_seeds=1,
            steps=20,
            batch_size=32,
            warm_up_seeds=2,
            warm_up_steps=20,
            examples=64,
        )
