"""Settings of `sae_zoo`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.architectures import NAMES
from experiments.lab.settings import Architecture, Count, Positive
from superposition._internal import validate

PAPER = {  # at L0 = 25: F1, MCC, explained variance, uniqueness
    "batch-topk": (0.732, 0.757, 0.792, 0.984),
    "matryoshka": (0.879, 0.793, 0.779, 0.999),
    "jumprelu": (0.732, 0.753, 0.795, 0.989),
    "relu": (0.556, 0.604, 0.765, 0.898),
    "matching-pursuit": (0.446, 0.693, 0.835, 0.828),
}


@dataclass(frozen=True)
class Config:
    """The world's size, the SAEs', and training."""

    architectures: tuple[Architecture, ...] = tuple(NAMES)
    n_features: Count = 1024
    d_in: Count = 256
    d_sae: Count = 256
    l0: Count = 6
    seeds: Count = 3
    steps: Count = 2_500
    batch_size: Count = 256
    learning_rate: Positive = 3e-3
    examples: Count = 65_536

    def __post_init__(self) -> None:
        validate.integer("d_sae", self.d_sae, 32)  # the narrowest of Matryoshka's is a 32nd of it
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            ("matryoshka", "relu", "matching-pursuit"),
            n_features=128,
            d_in=32,
            d_sae=32,
            l0=2,
            seeds=2,
            steps=20,
            batch_size=32,
            examples=256,
        )
