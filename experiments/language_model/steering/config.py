"""Settings of `steering`, and the constants that its parts share."""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab.relations import includes
from experiments.lab.settings import Count, Index, Number


@dataclass(frozen=True)
class Config:
    """Text, doses and responses."""

    text: tuple[Path, ...] = ()
    rows: Count = 60
    """Rows of each kind to choose latents on."""
    test_rows: Count = 4
    """Rows of each kind and seed to steer on."""
    seeds: Count = 3
    strengths: tuple[Number, ...] = (-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4)
    prompt: Count = 16
    """Tokens of a prompt."""
    new: Count = 40
    """Tokens generated."""
    random_seed: Index = 0

    def __post_init__(self) -> None:
        includes("strengths", self.strengths, 0, 1)

    @classmethod
    def lecture(cls) -> "Config":
        """The same claims in half a minute: two samples of text and five doses."""
        return cls(seeds=2, strengths=(-2, -1, 0, 1, 2))

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=2, seeds=2, strengths=(-1, 0, 1), prompt=4, new=4)
