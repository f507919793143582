"""Settings of `sharkey`, and the constants that its parts share."""

from dataclasses import dataclass, replace

import jax
import numpy as np

from experiments.lab.settings import Count, Exponent, Index, Positive
from superposition.activations import Stream, planted_stream
from superposition.features import PLANTED, Geometric

FULL = PLANTED["sharkey"]
BAR = 0.97


@dataclass(frozen=True)
class Config:
    """World, grid and training; penalties are 10^(step / 4) for activations of mean norm sqrt(d_in)."""

    scale: Count = 4
    ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0, 4.0)
    penalty_steps: tuple[Exponent, ...] = (-3, -2, -1, 0, 1, 2, 3, 4, 5)
    steps: Count = 4_000
    batch_size: Count = 256
    learning_rate: Positive = 3e-3
    full_penalty_steps: tuple[Exponent, ...] = (0, 1, 2)
    full_steps: Count = 2_500
    full_batch_size: Count = 1024
    full_learning_rate: Positive = 2e-3
    seed: Index = 0

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            scale=16, ratios=(2.0, 4.0), penalty_steps=(0, 2), steps=20, batch_size=64, full_penalty_steps=()
        )

    @property
    def penalties(self) -> np.ndarray:
        """L1 penalties, ascending."""
        return 10.0 ** (np.array(self.penalty_steps) / 4)

    @property
    def widths(self) -> list[int]:
        """Dictionary sizes, ascending."""
        return [int(FULL.d_in // self.scale * ratio) for ratio in self.ratios]

    def stream(self) -> Stream:
        """The world: the post's firing rates on fewer features."""
        rates = FULL.features.density
        assert isinstance(rates, Geometric)
        density = Geometric(rates.decay**self.scale, rates.mean_active / self.scale)
        dictionary = replace(
            FULL.dictionary, n_features=FULL.n_features // self.scale, d_in=FULL.d_in // self.scale
        )
        world = replace(FULL, features=replace(FULL.features, density=density), dictionary=dictionary)
        return planted_stream(jax.random.key(self.seed), world)
