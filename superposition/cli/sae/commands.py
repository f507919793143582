"""The settings of `superposition sae train | eval | convert | show`. Importing this does not import JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from superposition._internal.registry import listed
from superposition.cli.sae.config import DataConfig
from superposition.cli.settings import Numbers, ReadsSAEs, choose, expect, free


@dataclass(frozen=True)
class EvalConfig(Numbers, ReadsSAEs, DataConfig):
    """Measure SAEs on activations: reconstruction, sparsity, and recovery where the truth is known."""

    GROUP: ClassVar[str] = "Data"

    saes: tyro.conf.Positional[tuple[Path, ...]] = ()
    """SAE directories, or the directory of a run for all of it."""
    examples: int = 65_536
    """Examples to measure on (of a file, at most what it has)."""

    def check(self) -> None:
        """ConfigError where there are no SAEs."""
        for path in self.saes:
            expect(path, "sae", "run")


@dataclass(frozen=True)
class ConvertConfig(ReadsSAEs):
    """Write an SAE in another format, with the same numbers."""

    GROUP: ClassVar[str] = "Output"

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

    def check(self) -> None:
        """ConfigError for a format that is not known, no SAE, or a place that is taken."""
        choose("to", self.to, listed("storage.formats", "FORMATS"))
        expect(self.source, "sae")
        free(self.destination, False, "another destination")


@dataclass(frozen=True)
class ShowSAEConfig(ReadsSAEs):
    """Show an SAE, or all of a run: a table in the terminal, figures to files."""

    GROUP: ClassVar[str] = "Output"

    path: tyro.conf.Positional[Path]
    """SAE directory, or directory of a run."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the SAE, named after it."""

    def check(self) -> None:
        """ConfigError where there is no SAE."""
        expect(self.path, "sae", "run")
