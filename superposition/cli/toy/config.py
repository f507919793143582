"""The settings of `superposition demo`, `sweep` and `show`. Importing this does not import JAX."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import tyro

from superposition._internal.recipe_fields import class_fields, recipe_fields
from superposition._internal.registry import listed
from superposition.cli.flags import Flags, given, one_of, recipe_flags, with_flags
from superposition.cli.settings import Trained, choose, distinct, expect, free
from superposition.errors import ConfigError

if TYPE_CHECKING:
    from superposition.features import FeatureLaw
    from superposition.training.toy import ToyRun

LAW = {"density": "Densities 1 - S = P(x_i != 0), each in (0, 1]. Default 1."}
ADAMW = {
    "learning_rate": "AdamW's learning rate.",
    "weight_decay": "AdamW's weight decay.",
    "b1": "AdamW's first decay rate.",
    "b2": "AdamW's second decay rate.",
    "eps": "AdamW's epsilon.",
    "schedule": "Learning-rate schedule: constant, linear or cosine (to 0).",
}
RUN = {
    "importance": "Importance of every feature, n_features numbers >= 0.",
    "importance_base": "Base r: feature i has its importance multiplied by r^i.",
    "steps": "Optimizer steps.",
    "batch_size": "Examples a step.",
    "objective": "sampled: random batches; exact: the exact expected loss, without sampling.",
    "sampling": "conditional: only examples in which something fires, the rest exactly; plain: as the notebook.",
}
NAMES = {  # what a flag accepts by name: room and registry
    "model": ("toy", "TOY_MODELS"),
    "features": ("features", "FEATURES"),
    "objective": ("training.toy", "OBJECTIVES"),
    "sampling": ("training.toy", "SAMPLINGS"),
    "schedule": ("training.optimizer", "SCHEDULES"),
}


@with_flags(
    recipe_flags("Data", "law", recipe_fields("features", "FEATURES"), LAW, int_axes=True),
    recipe_flags("Architecture", "model", recipe_fields("toy", "TOY_MODELS"), int_axes=True),
    recipe_flags("Training", "run", {"": class_fields("superposition.training.toy", "ToyRun")}, RUN),
    recipe_flags("Training", "adamw", {"": class_fields("superposition.training.optimizer", "AdamW")}, ADAMW),
)
@dataclass(frozen=True)
class _Sweep(Flags):
    GROUP: ClassVar[str] = "Data"

    features: str = field(
        default="sparse-uniform",
        metadata={"help": f"Law of the features: {one_of(listed('features', 'FEATURES'))}"},
    )
    law: tuple[str, ...] = ()
    """Other settings of the law as NAME=VALUE, for example magnitudes=normal magnitudes.std_mean=0.1, or density=zipf
    density.exponent=1 (instead of --density)."""


@dataclass(frozen=True)
class _Model:
    GROUP: ClassVar[str] = "Architecture"

    model: str = field(
        default="relu-output", metadata={"help": f"Toy model: {one_of(listed('toy', 'TOY_MODELS'))}"}
    )


@dataclass(frozen=True)
class _Training:
    GROUP: ClassVar[str] = "Training"

    seed: tuple[int, ...] = (0,)
    """Seeds, each a model: 0 1 2, or 0..9 for ten of them."""
    memory_gb: float = 2.0
    """Memory the training may use; larger sweeps are cut into more blocks."""


@dataclass(frozen=True)
class SweepConfig(Trained, _Training, _Model, _Sweep):
    """Train toy models at every combination of the given values.

    Several values of a setting make an axis of the results; density and seed always are axes.
    """

    def check(self) -> None:
        """ConfigError for names that are not known, and for a rate that is said twice."""
        for name, (room, registry) in NAMES.items():
            if (value := getattr(self, name)) is not None:
                choose(name, value, listed(room, registry))
        ways = {"--density": self.density, "--sparsity": self.sparsity, "--law density=...": self._own_rates}
        if len(twice := [way for way, value in ways.items() if value]) > 1:
            raise ConfigError(
                f"give one of {', '.join(ways)}, not both; got {' and '.join(twice)} (density = 1 - sparsity)"
            )
        distinct("seed", self.seed)

    @property
    def _own_rates(self) -> bool:
        return any(text.startswith("density") for text in self.law)

    def plan(self) -> "tuple[ToyRun, dict[str, Any]]":
        """The recipe and the axes these settings mean; raises ConfigError."""
        from superposition.training.optimizer import AdamW
        from superposition.training.toy import ToyRun
        from superposition.training.toy_axes import new_model

        self.check()
        axes: dict[str, Any] = {}
        law = given(self, "law")
        rates: dict[str, Any] = {name: law.pop(name) for name in ("density", "sparsity") if name in law}
        if not self._own_rates:
            axes |= rates or {"density": (1.0,)}
        model, run, adamw = (given(self, part) for part in ("model", "run", "adamw"))
        importance = run.pop("importance", 1.0)  # one vector, and no axis
        for values in (model, law, run, adamw):
            for name, value in values.items():
                if isinstance(value, tuple):
                    if len(value) > 1:
                        axes[name] = value
                    values[name] = value[0]
        axes["seed"] = self.seed
        recipe = ToyRun(
            model=new_model(self.model, model),
            features=self._law(law),
            importance=importance,
            optimizer=AdamW(**adamw),
            **run,
        )
        return recipe, axes

    def _law(self, settings: dict[str, Any]) -> "FeatureLaw":
        """The law of the features; ConfigError for a setting that it has not."""
        from superposition.features import FEATURES
        from superposition.features.stored import with_settings

        kind = FEATURES[self.features]
        own = {it.name for it in fields(kind)}
        for name, value in settings.items():
            if name not in own:
                raise ConfigError(f"{self.features} has no {name}; got {name}={value}: leave it out")
        return with_settings(kind(**settings), self.law)


@dataclass(frozen=True)
class ShowConfig:
    """Show the results of a sweep: a table in the terminal, figures to files."""

    GROUP: ClassVar[str] = "Output"

    results: tyro.conf.Positional[Path]
    """Zarr store that a sweep wrote."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the store, named after it."""

    def check(self) -> None:
        """ConfigError where there is no sweep."""
        expect(self.results, "sweep")


@dataclass(frozen=True)
class DemoConfig:
    """Train the lecture's figure in small, write it and open it: a first picture within 15 seconds.

    Linear and ReLU models with 20 features in 5 dimensions are trained at three densities, the best of three seeds is drawn, and
    what was found is said in three lines. The first run compiles, and takes up to 40 seconds.
    """

    GROUP: ClassVar[str] = "Output"

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
