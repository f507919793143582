"""Settings of `absorption_and_hedging`, and the constants that its parts share."""

from dataclasses import dataclass

from experiments.lab.relations import several
from experiments.lab.settings import Architecture, Count, NotNegative, Positive
from superposition._internal import validate
from superposition.errors import ConfigError

PARENTS, CHILDREN = 8, 4


@dataclass(frozen=True)
class Config:
    """SAEs and training."""

    flat: tuple[Architecture, ...] = (
        "relu",
        "gated",
        "topk",
        "batch-topk",
        "jumprelu",
    )  # no latent before another
    l0: Count = 2
    widths: tuple[Count, ...] = (4, 8, 16, 24, 32)
    hedging_penalty: NotNegative = 0.5
    seeds: Count = 4
    steps: Count = 2_000
    batch_size: Count = 256
    learning_rate: Positive = 3e-3
    examples: Count = 32_768

    def __post_init__(self) -> None:
        if "batch-topk" not in self.flat:
            raise ConfigError(
                f"flat must include batch-topk, which Matryoshka is held against; got {', '.join(self.flat)}"
            )
        if "matryoshka" in self.flat:
            raise ConfigError(
                "flat must be architectures other than matryoshka, which is always trained; leave it out"
            )
        several("widths", self.widths)
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(("batch-topk",), widths=(8, 32), seeds=2, steps=20, batch_size=32, examples=512)
