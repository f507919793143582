"""Settings of `ablation`, and the constants that its parts share."""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab.settings import Count, Index

TO = ("zero", "mean", "resample")


@dataclass(frozen=True)
class Config:
    """Text, positions and latents."""

    text: tuple[Path, ...] = ()
    rows: Count = 60
    """Rows of each kind that tell a latent's kind, its mean and values to draw from."""
    test_rows: Count = 10
    """Rows of each kind to measure losses on."""
    prompts: Count = 60
    """Positions at which latents are ablated one by one."""
    ctx: Count = 64
    """Tokens before such a position."""
    top: Count = 8
    """Latents ablated at each."""
    seed: Index = 0

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, prompts=3, ctx=8, top=2)
