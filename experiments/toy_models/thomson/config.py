"""Settings of `thomson`, and the constants that its parts share."""

from collections.abc import Iterable
from dataclasses import dataclass

from experiments.lab.settings import Count, Density, Positive
from superposition.errors import ConfigError
from superposition.geometry import shapes

DIGON = shapes.simplex(1)
PAPER = {
    (3, 2): ("triangle", shapes.polygon(3)),
    (5, 2): ("pentagon", shapes.polygon(5)),
    (4, 3): ("tetrahedron", shapes.simplex(3)),
    (5, 3): ("triangular bipyramid", shapes.tegum(shapes.polygon(3), DIGON)),
    (6, 3): ("octahedron", shapes.tegum(DIGON, DIGON, DIGON)),
    (7, 3): ("pentagonal bipyramid", shapes.tegum(shapes.polygon(5), DIGON)),
    (8, 3): ("square antiprism", shapes.OTHERS["square antiprism"]()),
}
"""The shapes the paper names, by (vectors, dimensions)."""


@dataclass(frozen=True)
class Config:
    """Cases (vectors, dimensions), starts, and training on samples."""

    cases: tuple[tuple[Count, Count], ...] = (
        *PAPER,
        (6, 2),
        (7, 2),
        (8, 2),
        (9, 3),
        (12, 3),
        (9, 4),
        (10, 4),
    )
    restarts: Count = 48
    steps: Count = 1_200
    trained_cases: tuple[tuple[Count, Count], ...] = ((5, 2), (8, 3))
    seeds: Count = 16
    density: Density = 1e-3
    training_steps: Count = 3_000
    batch_size: Count = 256
    learning_rate: Positive = 1e-2

    def __post_init__(self) -> None:
        missing = [case for case in PAPER if case not in self.cases]
        if missing:
            raise ConfigError(
                f"cases must include {_pairs(PAPER)}, which the paper names; missing are {_pairs(missing)}"
            )
        unknown = [case for case in self.trained_cases if case not in PAPER]
        if unknown:
            raise ConfigError(
                f"trained_cases must be of those the paper names a shape for, {_pairs(PAPER)}; got {_pairs(unknown)}"
            )

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            cases=tuple(PAPER), restarts=2, steps=30, trained_cases=((5, 2),), seeds=2, training_steps=20
        )


def _pairs(cases: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{k} {d}" for k, d in cases)
