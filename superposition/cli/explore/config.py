"""The settings of `superposition explore`. Importing this does not import JAX."""

import os
from pathlib import Path

from superposition.cli.settings import free, group
from superposition.errors import ConfigError

SUFFIXES = (".html", ".htm", ".png")


@group("Pages")
class ExploreConfig:
    """Write and open the live page: toy models that train in the browser while sliders move, one file without a network."""

    view: str = "toy"
    """What it begins with: toy, phase (phase diagram) or sae (sparse autoencoder)."""
    n_features: int = 5
    """Features, at most 20."""
    n_hidden: int = 2
    """Hidden dimensions, at most 8."""
    density: float = 0.1
    """Chance that a feature is active."""
    importance_base: float = 0.9
    """Feature i has importance base^i; at least 0.5."""
    model: str = "relu-output"
    """relu-output or linear."""
    out: Path = Path("superposition.html")
    """File to write; a live page there is replaced. A name in .png gives a picture of the toy model instead, drawn by Python."""
    open: bool = True
    """Open it in the browser."""

    def check(self) -> None:
        """ConfigError for a file of another kind."""
        if self.out.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"--out must end in .html or .png; got {str(self.out)!r}")
        if self.out.suffix.lower() == ".png" and os.path.lexists(self.out):
            free(self.out, False, "another --out")
