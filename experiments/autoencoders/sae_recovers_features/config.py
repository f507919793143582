"""Settings of `sae_recovers_features`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Architecture, Count, Density, Positive
from superposition import metrics

TRAINED = ("relu", "bricken", "gated", "topk", "batch-topk", "jumprelu", "matryoshka", "matching-pursuit")
BASELINES = ("ica", "pca", "identity", "random")
REPRESENTED, FOUND = 0.5, metrics.recovery.FOUND


@dataclass(frozen=True)
class Config:
    """Toy model, SAEs and training."""

    n_features: Count = 32
    n_hidden: Count = 8
    density: Density = 0.035
    importance_base: Positive = 0.9
    toy_steps: Count = 3_000
    architectures: tuple[Architecture, ...] = TRAINED
    latents: Count = 48
    l0: Count = 1
    seeds: Count = 3
    steps: Count = 2_000
    batch_size: Count = 512
    learning_rate: Positive = 3e-3

    @classmethod
    def lecture(cls) -> "Config":
        """The same claims with two seeds. Training is as long: in less, JumpReLU's penalty finds its L0 too late."""
        return cls(seeds=2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        few = ("relu", "topk")
        return cls(toy_steps=20, architectures=few, seeds=1, steps=20, batch_size=64)
