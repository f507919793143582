"""Settings of `phase_without_bias`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.settings import Count
from superposition._internal import validate


@dataclass(frozen=True)
class Config:
    """Cells a side, columns on which the jump is measured, checks, and starts of the descents that map basins."""

    cells: Count = 100
    columns: Count = 41
    angles: Count = 720
    checks: Count = 50
    starts: Count = 100
    descent_steps: Count = 500
    restarts: Count = 24

    def __post_init__(self) -> None:
        validate.integer("cells", self.cells, 2)
        validate.integer("columns", self.columns, 2)
        validate.integer("angles", self.angles, 8)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(cells=8, columns=5, angles=90, checks=3, starts=10, descent_steps=50, restarts=4)
