"""Settings of `no_single_neuron`, and the constants that its parts share."""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab.settings import Count, Positive
from superposition._internal import validate
from superposition.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Text, SAEs and their training."""

    text: tuple[Path, ...] = ()
    rows: Count = 200
    test_rows: Count = 60
    widths: tuple[Count, ...] = (64, 256, 1024)
    ks: tuple[Count, ...] = (4, 8, 16)
    """Active latents at each width."""
    seeds: Count = 3
    steps: Count = 600
    batch_size: Count = 1000
    learning_rate: Positive = 3e-3

    def __post_init__(self) -> None:
        if len(self.ks) != len(self.widths):
            raise ConfigError(
                f"ks must be as many as widths, one for each; got {len(self.ks)} for {len(self.widths)} widths"
            )
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def lecture(cls) -> "Config":
        """The same question in a minute: less text to train on, fewer seeds, and SAEs trained for less long."""
        return cls(rows=60, seeds=2, steps=250)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, widths=(16, 64), ks=(2, 4), seeds=2, steps=4, batch_size=100)
