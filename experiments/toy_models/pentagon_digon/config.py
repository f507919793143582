"""Settings of `pentagon_digon`, and the constants that its parts share."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.lab.settings import Count, Number, Positive
from superposition import geometry, theory
from superposition._internal import validate

PENTAGON, DIGONS = 0, 1
PAPER = 1 / 2.5
# The branches cross within these: at 0.185 of a baseline of 0.02, at 0.426 of one of 0.1.
RANGES = {"baseline": (0.02, 0.1), "lowest": (0.01, 0.15), "highest": (1.5, 4.0)}


@dataclass(frozen=True)
class Config:
    """Densities, and the training of the refits."""

    baseline: Number = 0.05
    lowest: Number = 0.1
    highest: Number = 3.0
    points: Count = 20
    refit_densities: Count = 21
    seeds: Count = 10
    steps: Count = 2_000
    batch_size: Count = 256
    learning_rate: Positive = 1e-2

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            validate.in_range(name, getattr(self, name), low, high)
        validate.integer("points", self.points, 10)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(points=10, refit_densities=5, seeds=2, steps=100, batch_size=64)


class BranchPath(NamedTuple):
    """Both branches along densities of the varied feature (step,); rows are PENTAGON and DIGONS."""

    relative: np.ndarray
    found: theory.Branches

    def reversed(self) -> "BranchPath":
        """Return the same path walked the other way."""
        return BranchPath(self.relative[::-1], theory.Branches(*(a[:, ::-1] for a in self.found)))

    def then(self, other: "BranchPath") -> "BranchPath":
        """Return this path followed by another."""
        joined = (np.concatenate(pair, 1) for pair in zip(self.found, other.found, strict=True))
        return BranchPath(np.concatenate([self.relative, other.relative]), theory.Branches(*joined))

    def exists(self) -> np.ndarray:
        """(branch, step): converged, a minimum, and of its own kind."""
        norm = geometry.norms(self.found.W)[..., 0]
        own = np.stack([norm[PENTAGON] > 0.5, norm[DIGONS] < 0.5])
        return own & (self.found.gradient < 1e-8) & (self.found.curvature > 0)
