"""Settings of `phase_by_activation`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count
from superposition._internal import validate

NAMES = {
    "relu": "ReLU",
    "gelu": "GELU",
    "softplus": "Softplus",
    "square": "Square",
    "tanh": "tanh",
    "linear": "Identity",
}


@dataclass(frozen=True)
class Config:
    """Activations in the order drawn, cells of density (twice as many of importance), and the search."""

    activations: tuple[str, ...] = tuple(NAMES)
    cells: Count = 22
    restarts: Count = 32
    coarsening: Count = 3
    rounds: Count = 3
    checks: Count = 12

    def __post_init__(self) -> None:
        for name in self.activations:
            validate.choice("activations", name, tuple(NAMES))
        validate.integer("cells", self.cells, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(activations=("square", "linear"), cells=6, restarts=4, rounds=1, checks=1)
