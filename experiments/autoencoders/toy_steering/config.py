"""Settings of `toy_steering`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count, Density, Number, Positive
from superposition import metrics

REPRESENTED, FOUND = 0.5, metrics.recovery.FOUND


@dataclass(frozen=True)
class Config:
    """Toy models, SAEs, training, and the act."""

    n_features: Count = 32
    n_hidden: Count = 8
    densities: tuple[Density, ...] = (0.01, 0.035, 0.07, 0.15)
    importance_base: Positive = 0.9
    toy_steps: Count = 3_000
    latents: Count = 48
    ks: tuple[Count, ...] = (1, 2, 5)
    seeds: Count = 3
    steps: Count = 2_000
    batch_size: Count = 512
    learning_rate: Positive = 3e-3
    delta: Number = 0.5
    examples: Count = 2_048

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            densities=(0.035, 0.07), toy_steps=100, ks=(1, 2), seeds=1, steps=50, batch_size=64, examples=256
        )

    def k_at(self, density: float) -> int:
        """The k nearest to the number of features active in an example."""
        return min(self.ks, key=lambda k: abs(k - density * self.n_features))
