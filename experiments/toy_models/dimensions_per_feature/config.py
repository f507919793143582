"""Settings of `dimensions_per_feature`, and the constants that its parts share."""

from dataclasses import dataclass, field

from experiments.lab.relations import several
from experiments.toy_models.shared.uniform import UniformSweep

NEAR, DECADES = 0.03, 0.3  # a plateau: |D* - value| < 0.03 over this many decades of 1 / (1 - S)


@dataclass(frozen=True)
class Config:
    """What is trained."""

    uniform: UniformSweep = field(default_factory=UniformSweep)

    def __post_init__(self) -> None:
        several("uniform.densities", self.uniform.densities)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(UniformSweep(40, 6, (1.0, 0.5, 0.2, 0.05), 2, 60, 32, slow_steps=60, slow_batch_size=32))
