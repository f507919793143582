"""Settings of `l1_penalty`, and the constants that its parts share."""

from dataclasses import dataclass

import numpy as np

from experiments.lab.relations import below, reaches
from experiments.lab.settings import Count, Density, Positive

THRESHOLD = 3 / 2 / (4 / 3 * np.sqrt(2 / 3))  # I / lambda of the least important feature that is kept


@dataclass(frozen=True)
class Config:
    """Data, model, training, and how many features the penalties should leave."""

    n_features: Count = 20
    n_hidden: Count = 5
    importance_base: Positive = 0.7
    density: Density = 0.01
    left: tuple[Count, ...] = (10, 8, 5, 3, 1)
    """A penalty each, whose threshold lies between the importances of the last feature kept and the next."""
    seeds: Count = 5
    steps: Count = 6_000
    batch_size: Count = 256
    learning_rate: Positive = 1e-2
    examples: Count = 65_536

    def __post_init__(self) -> None:
        below("left", max(self.left, default=0), "n_features", self.n_features)
        reaches("left", self.left, 1, self.n_hidden)
        reaches("left", self.left, self.n_hidden + 1, 2 * self.n_hidden)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(n_features=6, n_hidden=2, left=(4, 2), seeds=2, steps=20, batch_size=16, examples=64)

    def importance(self) -> np.ndarray:
        """I_i = base^i."""
        return self.importance_base ** np.arange(self.n_features)

    def penalties(self) -> np.ndarray:
        """Lambda: 0, and one for each of `left`."""
        return np.array([0.0, *(self.importance_base ** (k - 0.5) / THRESHOLD for k in self.left)])
