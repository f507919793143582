"""The settings of `superposition sae train | eval | convert | show`. Importing this does not import JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from superposition.cli.sae.config import DataConfig


@dataclass(frozen=True)
class EvalConfig(DataConfig):
    """Measure SAEs on activations: reconstruction, sparsity, and recovery where the truth is known."""

    saes: tyro.conf.Positional[tuple[Path, ...]] = ()
    """SAE directories, or the directory of a run for all of it."""
    examples: int = 65_536
    """Examples to measure on (of a file, at most what it has)."""
    json: Path | None = None
    """File for the numbers."""
    overwrite: bool = False
    """Replace that file."""
    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""


@dataclass(frozen=True)
class ConvertConfig:
    """Write an SAE in another format, with the same numbers."""

    source: tyro.conf.Positional[Path]
    """SAE directory, or file of weights."""
    destination: tyro.conf.Positional[Path]
    """Directory to write; must not exist."""
    to: str = "saelens"
    """saelens, gemma-scope, gemma-scope-2, dictionary-learning or sparsify."""
    from_format: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Format of the source. Default: the one whose files are there."""
    dtype: str = "float32"
    """float32, or float16 or bfloat16 where the format has them (not lossless)."""
    fold_b_dec: bool = False
    """Subtract nothing from the input, b_enc takes it: what JumpReLU is in Gemma Scope and dictionary-learning."""
    drop_metadata: bool = False
    """Leave out the metadata, for formats that have no place for them."""
    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""


@dataclass(frozen=True)
class ShowSAEConfig:
    """Show an SAE, or all of a run: a table in the terminal, figures to files."""

    path: tyro.conf.Positional[Path]
    """SAE directory, or directory of a run."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the SAE, named after it."""
    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""
