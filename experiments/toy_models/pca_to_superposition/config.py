"""Settings of `pca_to_superposition`, and the constants that its parts share."""

from dataclasses import dataclass, field

from experiments.lab.settings import Count, Number
from experiments.toy_models.shared.sets import Training
from superposition._internal import validate

COLLAPSED = 0.98
# Up to `high` the paper has `count` pairs collapsed; it leaves 0.2 to 0.25 open.
PAPER = ((0.0, 0.05, 0), (0.05, 0.15, 1), (0.15, 0.2, 2), (0.25, 0.5, 3))


@dataclass(frozen=True)
class Config:
    """Densities of a pair, and training."""

    lowest: Number = 0.02
    highest: Number = 0.8
    densities: Count = 24
    training: Training = field(default_factory=lambda: Training(seeds=10))

    def __post_init__(self) -> None:
        validate.integer("densities", self.densities, 2)
        # The paper's first range of densities, and its last.
        validate.in_range("lowest", self.lowest, 0, PAPER[0][1], open_low=True)
        validate.in_range("highest", self.highest, PAPER[-1][0], 1)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(densities=6, training=Training(seeds=2, steps=50, batch_size=32))
