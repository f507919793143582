"""Settings of `feature_pages`, and the constants that its parts share."""

from dataclasses import dataclass, field
from pathlib import Path

from experiments.lab.settings import Count, Density, Positive


@dataclass(frozen=True)
class Toy:
    """The toy model and its SAE."""

    n_features: Count = 32
    n_hidden: Count = 8
    density: Density = 0.035
    importance_base: Positive = 0.9
    steps: Count = 3_000
    latents: Count = 48
    sae_steps: Count = 2_000


@dataclass(frozen=True)
class Config:
    """Text, and where the pages go."""

    text: tuple[Path, ...] = ()
    rows: Count = 60
    """Rows of text of each kind."""
    latents: Count | None = None
    """How many latents have pages. Default: all."""
    other_steps: Count = 300
    """Training of a second SAE, half as wide, in which each latent's likeness is looked for."""
    toy: Toy = field(default_factory=Toy)
    out: Path = Path("runs/pages")

    @classmethod
    def lecture(cls) -> "Config":
        """All pages, with less training of the second SAE, of which no claim speaks."""
        return cls(other_steps=100)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        toy = Toy(steps=50, sae_steps=20)
        return cls(rows=4, latents=12, other_steps=2, toy=toy, out=Path("runs/quick-pages"))
