"""Settings of `feature_splitting`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.relations import several
from experiments.lab.settings import Count, Positive
from superposition._internal import validate
from superposition.features import Dictionary, Hierarchical, Levels, NormalMagnitudes, Planted

LAW = Hierarchical(
    density=Levels(high=0.25, ratio=0.3),
    magnitudes=NormalMagnitudes(first=1.0, last=1.0, std_mean=0.1),
    roots=8,
    branching=3,
    depth=2,
    compensate="exact",
)
WORLD = Planted(LAW, Dictionary(n_features=104, d_in=128, kind="orthogonal"))
SAME = 0.9  # cosine from which two latents are the same


@dataclass(frozen=True)
class Config:
    """Widths and training."""

    widths: tuple[Count, ...] = (8, 16, 32, 64, 128)
    l0: Positive = 2.0
    seeds: Count = 4
    steps: Count = 2_500
    batch_size: Count = 256
    learning_rate: Positive = 3e-3
    examples: Count = 32_768
    draws: Count = 10

    def __post_init__(self) -> None:
        several("widths", self.widths)
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(widths=(8, 32), seeds=2, steps=20, batch_size=32, examples=512, draws=2)
