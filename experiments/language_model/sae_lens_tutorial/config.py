"""Settings of `sae_lens_tutorial`, and the constants that its parts share."""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab.settings import Count, Number


@dataclass(frozen=True)
class Config:
    """Prompts, and text to find examples in."""

    prompts: tuple[str, str] = (
        "Once upon a time, there was a little girl named",
        "Once upon a time, there was a little boy named",
    )
    strengths: tuple[Number, ...] = (-4, -2, -1, 0, 1, 2, 4)
    new: Count = 30
    """Tokens generated."""
    rows: Count = 40
    """Rows of text of each kind."""
    out: Path | None = None
    """Folder for the latent's page. Default: it is written and thrown away."""

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, new=4, strengths=(-1, 0, 1))
