"""Settings of `four_questions`, and the constants that its parts share."""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab.relations import includes, several
from experiments.lab.settings import Architecture, Count, Number, Positive
from superposition._internal import validate

GROUPS = {"other scripts": ("arabic", "hebrew", "cherokee", "chinese"), "English": ("english",),
          "code": ("python", "c", "javascript"),
          "data": ("dna", "base64 of text", "base64 of floats", "base64 of noise", "hex")}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Text, SAEs and their training, and how much is looked at."""

    text: tuple[Path, ...] = ()
    rows: Count = 200
    test_rows: Count = 40
    widths: tuple[Count, ...] = (64, 256, 1024)
    """Of the tree; architectures are compared at the last but one, models at the last two."""
    k: Count = 16
    architectures: tuple[Architecture, ...] = ("batch-topk", "relu")
    seeds: Count = 3
    steps: Count = 800
    batch_size: Count = 500
    learning_rate: Positive = 6e-3
    draws: Count = 2
    latents: Count = 8
    """Steered and taken out, of each seed."""
    meanings: Count = 170
    """Steered to hold the text they fire on against the text they promote, of each seed; of three, all 512 neurons but two."""
    strengths: tuple[Number, ...] = (-4, -2, -1, 0, 1, 2, 4)
    """In units of a latent's largest activation."""

    def __post_init__(self) -> None:
        several("widths", self.widths)
        includes("strengths", self.strengths, 0, 1)
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, widths=(16, 32), k=4, architectures=(), seeds=2, steps=4,
                   batch_size=100, latents=2, meanings=2, strengths=(-1, 0, 1))  # fmt: skip
