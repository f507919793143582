"""Settings of `adversarial`, and the constants that its parts share."""

from dataclasses import dataclass, field

from experiments.lab.relations import several
from experiments.lab.settings import Count, Density, Index, NotNegative, Positive
from experiments.toy_models.shared.uniform import UniformSweep
from superposition._internal import validate


@dataclass(frozen=True)
class Config:
    """Models attacked, attacks, and the models trained under attack."""

    uniform: UniformSweep = field(default_factory=UniformSweep)
    longer: tuple[Index, ...] = (8, 14, 24)  # densities also trained four times longer
    attack: NotNegative = 0.1
    examples: Count = 128
    hidden: Count = 5
    features: Count = 20
    density: Density = 0.05
    training_attacks: tuple[NotNegative, ...] = (0.0, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
    seeds: Count = 3
    steps: Count = 1_500
    batch_size: Count = 128
    learning_rate: Positive = 5e-3

    def __post_init__(self) -> None:
        several("uniform.densities", self.uniform.densities)
        for index in self.longer:
            validate.integer("longer, indices into uniform.densities,", index, 0, len(self.uniform.densities))
        validate.integer("examples", self.examples, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        small = UniformSweep(40, 4, (1.0, 0.1, 0.02), seeds=1, steps=20, batch_size=16)
        return cls(small, longer=(), examples=8, training_attacks=(0.0, 0.8), seeds=1, steps=5, batch_size=8)
