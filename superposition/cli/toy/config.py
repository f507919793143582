"""The settings of `superposition show`. Importing this does not import JAX."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class ShowConfig:
    """Show the results of a sweep: a table in the terminal, figures to files."""

    results: tyro.conf.Positional[Path]
    """Zarr store that a sweep wrote."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the store, named after it."""
