"""The settings of `superposition demo`, `explore`, `sweep` and `show`. Importing this does not import JAX."""

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from superposition._internal.recipe_fields import class_fields, recipe_fields
from superposition.cli.flags import Flags, given, recipe_flags, with_flags
from superposition.cli.settings import OneOf, SweepPath, Trained, free, group
from superposition.errors import ConfigError

if TYPE_CHECKING:
    from superposition.features import FeatureLaw
    from superposition.training.toy import ToyRun

LAW = {"density": "Densities 1 - S = P(x_i != 0), each in (0, 1]. Default 1."}
SUFFIXES = (".html", ".htm", ".png")  # of what `explore` writes
CHOICES = {"objective": OneOf("training.toy", "OBJECTIVES"), "sampling": OneOf("training.toy", "SAMPLINGS")}
SCHEDULE = {"schedule": OneOf("training.optimizer", "SCHEDULES")}
TOY_RUN = {"": class_fields("superposition.training.toy", "ToyRun")}
ADAMW = {"": class_fields("superposition.training.optimizer", "AdamW")}


@with_flags(
    recipe_flags("Data", "law", recipe_fields("features", "FEATURES"), LAW, int_axes=True),
    recipe_flags("Architecture", "model", recipe_fields("toy", "TOY_MODELS"), int_axes=True),
    recipe_flags("Training", "run", TOY_RUN, choices=CHOICES),
    recipe_flags("Training", "adamw", ADAMW, choices=SCHEDULE),
)
@group("Data")
class _Sweep(Flags):
    features: Annotated[str, OneOf("features", "FEATURES")] = "sparse-uniform"
    """Law of the features:"""
    law: tuple[str, ...] = ()
    """Other settings of the law as NAME=VALUE, for example magnitudes=normal magnitudes.std_mean=0.1, or density=zipf
    density.exponent=1 (instead of --density)."""


@group("Architecture")
class _Model:
    model: Annotated[str, OneOf("toy", "TOY_MODELS")] = "relu-output"
    """Toy model:"""


@group("Training")
class _Training:
    seed: tuple[int, ...] = (0,)
    """Seeds, each a model: 0 1 2, or 0..9 for ten of them."""
    memory_gb: float = 2.0
    """Memory the training may use; larger sweeps are cut into more blocks."""


@group("Data")
class SweepConfig(Trained, _Training, _Model, _Sweep):
    """Train toy models at every combination of the given values.

    Several values of a setting make an axis of the results; density and seed always are axes.

    $ superposition sweep --density 1 0.1 0.01 --importance-base 0.7 --seed 0..2 --steps 2000 --out runs/toys.zarr
    $ superposition sweep --features copula --n-features 8 --law density=zipf --steps 500 --out runs/zipf.zarr
    """

    def check(self) -> None:
        """ConfigError for a density that is given twice."""
        ways = {
            "--density": self.density,
            "--sparsity": self.sparsity,
            "--law density=...": self._rates_of_law,
        }
        if len(twice := [way for way, value in ways.items() if value]) > 1:
            raise ConfigError(
                f"give one of {', '.join(ways)}, not both; got {' and '.join(twice)} (density = 1 - sparsity)"
            )

    @property
    def _rates_of_law(self) -> bool:
        return any(text.startswith("density") for text in self.law)

    def plan(self) -> "tuple[ToyRun, dict[str, Any]]":
        """The recipe and the axes these settings mean; raises ConfigError."""
        from superposition.training.optimizer import AdamW
        from superposition.training.toy import ToyRun
        from superposition.training.toy_axes import new_model

        self.check()
        axes: dict[str, Any] = {}
        law, model, run, adamw = (given(self, part) for part in ("law", "model", "run", "adamw"))
        rates: dict[str, Any] = {name: law.pop(name) for name in ("density", "sparsity") if name in law}
        if not self._rates_of_law:
            axes |= rates or {"density": (1.0,)}
        importance = run.pop("importance", 1.0)  # one vector, and no axis
        for values in (model, law, run, adamw):
            for name, value in values.items():
                if isinstance(value, tuple):
                    if len(value) > 1:
                        axes[name] = value
                    values[name] = value[0]
        axes["seed"] = self.seed
        made, optimizer = new_model(self.model, model), AdamW(**adamw)
        return ToyRun(made, self._law(law), importance=importance, optimizer=optimizer, **run), axes

    def _law(self, settings: dict[str, Any]) -> "FeatureLaw":
        """The law of the features; ConfigError for a setting that it does not have."""
        from superposition.features import FEATURES
        from superposition.features.stored import with_settings

        kind = FEATURES[self.features]
        accepted = {it.name for it in fields(kind)}
        for name in (name for name in settings if name not in accepted):
            raise ConfigError(f"{self.features} has no {name}; got {name}={settings[name]}: leave it out")
        return with_settings(kind(**settings), self.law)


@group("Output")
class ShowConfig:
    """Show the results of a sweep: a table in the terminal, figures to files.

    $ superposition show runs/toys.zarr
    """

    results: tyro.conf.Positional[SweepPath]
    """Zarr store that a sweep wrote."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the store, named after it."""


@group("Output")
class DemoConfig:
    """Train the lecture's figure in small, write it and open it: a first picture within 15 seconds.

    Linear and ReLU models with 20 features in 5 dimensions are trained at three densities, the best of three seeds is drawn, and
    what was found is said in three lines. The first run compiles, and takes up to 40 seconds.

    $ superposition demo
    $ superposition demo --out lecture.png --no-open
    """

    out: Path | None = None
    """PNG file to write, at which there is nothing yet. Default: runs/demo.png, which is replaced."""
    open: bool = True
    """Open the picture, where there is a display."""

    def check(self) -> None:
        """ConfigError where the picture would replace another unasked, or is no PNG."""
        if self.out is not None and self.out.suffix.lower() != ".png":
            raise ConfigError(
                f"{self.out} does not end in .png; give --out a name that does, such as lecture.png"
            )
        free(self.out, False, "another --out")


@group("Pages")
class ExploreConfig:
    """Write and open the live page: toy models that train in the browser while sliders move, one file without a network.

    $ superposition explore --n-features 8 --n-hidden 3 --density 0.03 --importance-base 1
    $ superposition explore --view phase --out runs/live.html --no-open
    """

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
