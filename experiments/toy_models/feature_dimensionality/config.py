"""Settings of `feature_dimensionality`, and the constants that its parts share."""

from dataclasses import dataclass, field

from experiments.lab.relations import several
from experiments.lab.settings import Count, Positive
from experiments.toy_models.shared.uniform import UniformSweep

CLUSTER = (0.43, 0.46)
# Features of |cos| above it belong to one component: pentagons and antiprisms overlap with other shapes by up to 0.2,
# and at 0.1 one such overlap makes a single component without a name of all of them.
EDGE, NARROW_EDGE = 0.2, 0.1


@dataclass(frozen=True)
class Config:
    """What is trained, polished and drawn."""

    uniform: UniformSweep = field(default_factory=UniformSweep)
    polished: Count = 2
    polish_steps: Count = 120
    insets: tuple[Positive, ...] = (1.0, 2.3, 3.0, 4.2, 4.9, 5.7, 9.0)

    def __post_init__(self) -> None:
        several("uniform.densities", self.uniform.densities)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            UniformSweep(40, 6, (1.0, 0.5, 0.2, 0.05), 2, 60, 32, slow_steps=60, slow_batch_size=32),
            1,
            2,
            (1.0, 5.0),
        )
