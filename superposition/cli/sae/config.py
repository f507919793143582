"""The settings of `superposition sae train | eval | convert | show`. Importing this does not import JAX.

A setting that is not given keeps the default of its recipe; one that its architecture does not have is refused.
"""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from superposition._internal.recipe_fields import class_fields, recipe_fields
from superposition.cli.flags import Flags, given, of_part, recipe_flags, with_flags
from superposition.cli.settings import (
    Holds,
    Numbers,
    OneOf,
    ReadsSAEs,
    SAEPath,
    SweepPath,
    Trained,
    changed,
    distinct,
    free,
    group,
)
from superposition.errors import ConfigError

if TYPE_CHECKING:
    from superposition.training import SAERun

Array = Annotated[Path, Holds(("cache", "array"))]
TRAINED = OneOf("sae", "ARCHITECTURES", without="BASELINES")


@group("Data")
class ToyData:
    """A toy model whose hidden activations are the data."""

    toy: SweepPath | None = None
    """Zarr store of a sweep: its model's hidden activations."""
    cell: tuple[str, ...] = ()
    """With toy: which model of a sweep of several, as density=0.05 seed=3. Without a seed: the lowest loss of all."""
    density: float | None = None
    """With toy: density of the features. Default: the cell's."""


@group("Data")
class DataConfig(ToyData):
    """Where activations come from: exactly one of toy, planted, activations."""

    target: Annotated[str, OneOf("activations.toy", "TARGETS")] = "hidden"
    """With toy: hidden, or output for a transcoder to the model's output."""
    planted: Annotated[str | None, OneOf("features", "PLANTED")] = None
    """World with a known dictionary, for example synth-sae-bench; an unknown name lists all."""
    n_features: int | None = None
    """With planted: scale the world to this many features."""
    d_in: int | None = None
    """With planted: scale the world to this width."""
    activations: Array | None = None
    """File of activations (examples, d_in): .npy, .npz, .safetensors or Zarr; or a cache that `llm activations` wrote."""
    array: str | None = None
    """Name of the array inside the file of activations."""
    targets: Array | None = None
    """With activations: file of targets (examples, d_out), for a transcoder."""
    targets_array: str | None = None
    """Name of the array inside the file of targets."""
    data_seed: int = 0
    """Seed of the stream of examples."""

    def check(self) -> None:
        """ConfigError unless exactly one source is given, with settings of its own alone."""
        sources = [name for name in SOURCES if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ConfigError(
                f"give exactly one of --toy, --planted, --activations; got {' and '.join(sources) or 'none'}"
            )
        for owner, names in SOURCES.items():
            if owner not in sources and (wrong := changed(self, names, DataConfig())):
                raise ConfigError(f"{wrong[0]} goes with --{owner}; got --{sources[0]}: leave it out")


SOURCES = {  # of activations, with the settings that go with one alone
    "toy": ("cell", "density", "target"),
    "planted": ("n_features", "d_in"),
    "activations": ("array", "targets", "targets_array"),
}
OF_THE_RUN = {"l0_target": "Architectures with a penalty: move it until this many latents fire."}
FIRST = ("k", "width", "penalty", "l0_target")  # in help, before the others


@group("Training")
class _Training:
    seed: tuple[int, ...] = (0,)
    """Seeds, each an SAE: 0 1 2, or 0..9 for ten of them."""
    examples: int = 65_536
    """Examples for the metrics at the end."""
    checkpoint_seconds: float = 30.0
    """Time between checkpoints."""
    memory_gb: float = 4.0
    """Memory the training may use; larger grids are cut into blocks."""


@with_flags(
    recipe_flags(
        "Architecture",
        "sae",
        {name: it for name, it in recipe_fields("sae", "ARCHITECTURES").items() if name in TRAINED.names()},
        OF_THE_RUN,
        first=FIRST,
    ),
    recipe_flags("Training", "run", {"": class_fields("superposition.training.sae", "SAERun")}, plain=True),
    recipe_flags("Training", "adam", {"": class_fields("superposition.training.optimizer", "Adam")}),
)
@group("Architecture")
class TrainSettings(Trained, _Training, Flags):
    """What training is, whatever the activations."""

    architecture: Annotated[str, TRAINED] = "topk"
    """One of:"""
    d_sae: int | None = None
    """Number of latents. Default: 4 d_in, or the number of true features where that is known."""
    skip: bool = False
    """Transcoder with a linear skip connection."""

    def check(self) -> None:
        """ConfigError for a place that is taken, and for a batch of one."""
        from superposition._internal import validate

        assert self.out is not None
        partial = self.out.with_name(f"{self.out.name}.partial")
        free(partial, self.resume, "--resume to continue it, or another --out")
        if os.path.lexists(self.out) and not (self.out / "results.json").is_file():
            raise ConfigError(f"{self.out} is not the directory of a run; choose another --out")
        validate.integer("batch_size", self.batch_size, 2)

    def plan(
        self, d_in: int, d_out: int | None, n_features: int | None = None
    ) -> "tuple[SAERun, dict[str, Sequence[Any]]]":
        """The run and the axes these settings mean on data of these widths; raises ConfigError."""
        from superposition.sae import ARCHITECTURES
        from superposition.training import SAERun
        from superposition.training.optimizer import Adam

        kind = ARCHITECTURES[self.architecture]
        settings, optimizer, run = given(self, "sae"), given(self, "adam"), given(self, "run")
        quadratic = self.sparsity_loss == "quadratic"
        if not quadratic and "l0_target" in settings:  # then it is the controller's
            run["l0_target"] = settings.pop("l0_target")
        accepted = {field.name for field in fields(kind)}
        if unknown := [name for name in settings if name not in accepted]:
            has = ", ".join(n.name for n in of_part(self, "sae") if n.name in accepted)
            raise ConfigError(f"{unknown[0]} is not a setting of {self.architecture}, which has {has}")
        axes: dict[str, Sequence[Any]] = {}
        for part in (settings, optimizer, run):
            for name, values in part.items():
                if isinstance(values, tuple) and name != "prefixes":
                    distinct(name, values)
                    if name == "k" and isinstance(kind.k, int) and all(map(float.is_integer, values)):  # type: ignore[attr-defined]
                        values = tuple(map(int, values))
                    if len(values) > 1 or name == "width":
                        axes[name] = values
                    part[name] = values[0]
        d_sae = self.d_sae or (max(self.width) if self.width else n_features or 4 * d_in)
        settings.pop("width", None)
        if quadratic and len(self.l0_target) > 1:
            raise ConfigError(f"sparsity_loss quadratic takes one l0_target; got {list(self.l0_target)}")
        axes["seed"] = self.seed
        if d_out is None and self.skip:
            raise ConfigError(
                "skip is for transcoders; give --targets (of a file), --target output (of a toy) or --target-hook"
                " (of a language model)"
            )
        sae = kind(d_in=d_in, d_sae=d_sae, d_out=d_out, skip=self.skip, **settings)
        return SAERun(sae, optimizer=Adam(**optimizer), **run), axes


@group("Data")
class TrainConfig(TrainSettings, DataConfig):
    """Train sparse autoencoders, a whole grid side by side.

    Several values of a number make an axis of the grid; seed always is one.

    $ superposition sae train --toy runs/toys.zarr --cell density=0.1 --k 1 --steps 2000 --out runs/sae
    $ superposition sae train --planted orthogonal --k 4 --seed 0 1 --steps 500 --out runs/planted
    """


@group("Data")
class EvalConfig(Numbers, ReadsSAEs, DataConfig):
    """Measure SAEs on activations: reconstruction, sparsity, and recovery where the truth is known.

    $ superposition sae eval runs/planted --planted orthogonal --json runs/planted.json
    """

    saes: tyro.conf.Positional[tuple[SAEPath, ...]] = ()
    """SAE directories, or the directory of a run for all of it."""
    examples: int = 65_536
    """Examples to measure on (of a file, at most what it has)."""


@group("Output")
class ConvertConfig(ReadsSAEs):
    """Write an SAE in another format, with the same numbers.

    $ superposition sae convert runs/sae/seed=0 runs/theirs --to sparsify
    """

    source: tyro.conf.Positional[Annotated[Path, Holds(("sae",))]]
    """SAE directory, or file of weights."""
    destination: tyro.conf.Positional[Path]
    """Directory to write; must not exist."""
    to: Annotated[str, OneOf("storage.formats", "FORMATS")] = "saelens"
    """One of:"""
    from_format: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Format of the source. Default: the one whose files are there."""
    dtype: str = "float32"
    """float32, or float16 or bfloat16 where the format has them (not lossless)."""
    fold_b_dec: bool = False
    """Subtract nothing from the input, b_enc takes it: what JumpReLU is in Gemma Scope and dictionary-learning."""
    drop_metadata: bool = False
    """Leave out the metadata, for formats that have no place for them."""

    def check(self) -> None:
        """ConfigError for a place that is taken."""
        free(self.destination, False, "another destination")


@group("Output")
class ShowSAEConfig(ReadsSAEs):
    """Show an SAE, or all of a run: a table in the terminal, figures to files.

    $ superposition sae show runs/sae
    """

    path: tyro.conf.Positional[SAEPath]
    """SAE directory, or directory of a run."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the SAE, named after it."""
