"""Settings of `small_lm_sae`, and the constants that its parts share."""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab.settings import Architecture, Count, Positive

NUMBERS = (
    "l0",
    "explained_variance",
    "ce_recovered",
    "ce_recovered_mean",
    "kl",
    "dead_fraction",
    "dense_fraction",
    "tokens",
)


@dataclass(frozen=True)
class Config:
    """Text, SAEs and their training."""

    text: tuple[Path, ...] = ()
    rows: Count = 150
    test_rows: Count = 12
    architectures: tuple[Architecture, ...] = (
        "relu",
        "gated",
        "topk",
        "batch-topk",
        "jumprelu",
        "matryoshka",
    )
    l0: tuple[Positive, ...] = (8, 16, 32)
    seeds: Count = 1
    d_sae: Count = 1024
    steps: Count = 300
    batch_size: Count = 512
    learning_rate: Positive = 4e-3
    wide: Count = 4096
    wide_l0: Count = 32
    wide_steps: Count = 400
    wide_batch_size: Count = 2048

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, architectures=("relu", "topk"), l0=(4, 8), d_sae=64, steps=4,
                   batch_size=100, wide=128, wide_l0=8, wide_steps=4, wide_batch_size=100)  # fmt: skip
