"""The settings of data and of training an SAE. Importing this does not import JAX.

A setting that is not given keeps the default of its recipe; one that its architecture does not have is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from superposition._internal.recipe_fields import class_fields, recipe_fields
from superposition._internal.registry import listed
from superposition.cli.flags import Flags, Floats, given, of_part, one_of, recipe_flags, trained, with_flags
from superposition.cli.settings import Trained, choose, distinct, expect, free
from superposition.errors import ConfigError

if TYPE_CHECKING:
    from superposition.sae import SAE
    from superposition.training import SAERun


@dataclass(frozen=True)
class ToyData:
    """A toy model whose hidden activations are the data."""

    GROUP: ClassVar[str] = "Data"

    toy: Path | None = None
    """Zarr store of a sweep: its model's hidden activations."""
    cell: tuple[str, ...] = ()
    """With toy: which model of a sweep of several, as density=0.05 seed=3. Without a seed: the lowest loss of all."""
    density: float | None = None
    """With toy: density of the features. Default: the cell's."""


@dataclass(frozen=True)
class DataConfig(ToyData):
    """Where activations come from: exactly one of toy, planted, activations."""

    GROUP: ClassVar[str] = "Data"

    target: str = "hidden"
    """With toy: hidden, or output for a transcoder to the model's output."""
    planted: str | None = None
    """World with a known dictionary, for example synth-sae-bench; an unknown name lists all."""
    n_features: int | None = None
    """With planted: scale the world to this many features."""
    d_in: int | None = None
    """With planted: scale the world to this width."""
    activations: Path | None = None
    """File of activations (examples, d_in): .npy, .npz, .safetensors or Zarr; or a cache that `llm activations` wrote."""
    array: str | None = None
    """Name of the array inside the file of activations."""
    targets: Path | None = None
    """With activations: file of targets (examples, d_out), for a transcoder."""
    targets_array: str | None = None
    """Name of the array inside the file of targets."""
    data_seed: int = 0
    """Seed of the stream of examples."""

    def check(self) -> None:
        """ConfigError unless exactly one source is given, with settings of its own, and there is one."""
        sources = [name for name in _OWNED if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ConfigError(
                f"give exactly one of --toy, --planted, --activations; got {' and '.join(sources) or 'none'}"
            )
        for owner, names in _OWNED.items():
            wrong = [n for n in names if getattr(self, n) != getattr(DataConfig(), n)]
            if wrong and owner not in sources:
                flag = wrong[0].replace("_", "-")
                raise ConfigError(f"--{flag} goes with --{owner}; got --{sources[0]}: leave it out")
        if self.toy is not None:
            choose("target", self.target, listed("activations.toy", "TARGETS"))
            expect(self.toy, "sweep")
        if self.planted is not None:
            choose("planted", self.planted, listed("features", "PLANTED"))
        for path in (self.activations, self.targets):
            if path is not None:
                expect(path, "cache", "array")


_OWNED = {
    "toy": ("cell", "density", "target"),
    "planted": ("n_features", "d_in"),
    "activations": ("array", "targets", "targets_array"),
}
ADAM = {
    "learning_rate": "Adam's learning rate.",
    "warmup": "Fraction of the steps over which the rate rises.",
    "decay": "Fraction of the steps over which the rate falls to 0.",
    "clip": "Global norm that gradients are cut to.",
    "b1": "Adam's first decay rate.",
    "b2": "Adam's second decay rate.",
    "eps": "Adam's epsilon.",
}
RUN = {
    "steps": "Optimizer steps.",
    "batch_size": "Examples a step.",
    "penalty_warmup": "Fraction of the steps over which a penalty rises.",
    "normalize": "Train on activations scaled to norm sqrt(d_in); folded into the weights at the end.",
}
OF_THE_RUN = {"l0_target": "Architectures with a penalty: move it until this many latents fire."}
FIRST = ("k", "width", "penalty", "l0_target")  # in help, before the others


@dataclass(frozen=True)
class _Training:
    GROUP: ClassVar[str] = "Training"

    seed: tuple[int, ...] = (0,)
    """Seeds, each an SAE: 0 1 2, or 0..9 for ten of them."""
    examples: int = 65_536
    """Examples for the metrics at the end."""
    checkpoint_seconds: float = 30.0
    """Time between checkpoints."""
    memory_gb: float = 4.0
    """Memory the training may use; larger grids are cut into blocks."""


def _architectures() -> dict[str, Any]:
    own = recipe_fields("sae", "ARCHITECTURES")
    return {name: own[name] for name in trained()}


@with_flags(
    recipe_flags("Architecture", "sae", _architectures(), OF_THE_RUN, first=FIRST),
    recipe_flags(
        "Training", "run", {"": class_fields("superposition.training.sae", "SAERun")}, RUN, plain=True
    ),
    recipe_flags("Training", "adam", {"": class_fields("superposition.training.optimizer", "Adam")}, ADAM),
)
@dataclass(frozen=True)
class TrainSettings(Trained, _Training, Flags):
    """What training is, whatever the activations."""

    GROUP: ClassVar[str] = "Architecture"

    architecture: str = field(default="topk", metadata={"help": one_of(trained())})
    d_sae: int | None = None
    """Number of latents. Default: 4 d_in, or the number of true features where that is known."""
    skip: bool = False
    """Transcoder with a linear skip connection."""

    def check(self) -> None:
        """ConfigError for a place that is taken, an architecture that is not known, and a batch of one."""
        from superposition._internal import validate

        assert self.out is not None
        free(
            self.out.with_name(f"{self.out.name}.partial"),
            self.resume,
            "--resume to continue it, or another --out",
        )
        choose("architecture", self.architecture, trained())
        validate.integer("batch_size", self.batch_size, 2)
        distinct("seed", self.seed)

    def plan(
        self, d_in: int, d_out: int | None, n_features: int | None = None
    ) -> "tuple[SAERun, dict[str, Sequence[Any]]]":
        """The run and the axes these settings mean on data of these widths; raises ConfigError."""
        from superposition.sae import ARCHITECTURES
        from superposition.training import SAERun
        from superposition.training.optimizer import Adam

        kind = ARCHITECTURES[choose("architecture", self.architecture, trained())]
        settings = given(self, "sae")
        quadratic = self.sparsity_loss == "quadratic"
        if not quadratic:  # then it is the controller's
            settings.pop("l0_target", None)
        own = {field.name for field in fields(kind)}
        for name in settings:
            if name not in own:
                has = ", ".join(n.name for n in of_part(self, "sae") if n.name in own)
                raise ConfigError(f"{name} is not a setting of {self.architecture}, which has {has}")
        optimizer = given(self, "adam")
        axes: dict[str, Sequence[Any]] = {}
        for name, values in {**settings, **optimizer}.items():
            if isinstance(values, tuple) and name != "prefixes":
                distinct(name, values)
                if name == "k" and isinstance(kind.k, int) and all(map(float.is_integer, values)):  # type: ignore[attr-defined]
                    values = tuple(map(int, values))
                if len(values) > 1 or name == "width":
                    axes[name] = values
                (settings if name in settings else optimizer)[name] = values[0]
        d_sae = self.d_sae or (max(self.width) if self.width else n_features or 4 * d_in)
        _fits(kind, self.k, self.width, d_sae)
        settings.pop("width", None)
        if quadratic and len(self.l0_target) > 1:
            raise ConfigError(f"sparsity_loss quadratic takes one l0_target; got {list(self.l0_target)}")
        if not quadratic and len(self.l0_target) > 1:
            distinct("l0_target", self.l0_target)
            axes["l0_target"] = self.l0_target
        distinct("seed", self.seed)
        axes["seed"] = self.seed
        if d_out is None and self.skip:
            raise ConfigError(
                "skip is for transcoders; give --targets (of a file), --target output (of a toy) or --target-hook"
                " (of a language model)"
            )
        run = SAERun(
            sae=kind(d_in=d_in, d_sae=d_sae, d_out=d_out, skip=self.skip, **settings),
            optimizer=Adam(**optimizer),
            l0_target=self.l0_target[0] if self.l0_target and not quadratic else None,
            **given(self, "run"),
        )
        return run, axes


@dataclass(frozen=True)
class TrainConfig(TrainSettings, DataConfig):
    """Train sparse autoencoders, a whole grid side by side.

    Several values of a number make an axis of the grid; seed always is one.
    """


def _fits(kind: "type[SAE]", k: Floats, width: tuple[int, ...], d_sae: int) -> None:
    """No k beyond the narrowest width; widths within d_sae."""
    for w in width:
        if not 1 <= w <= d_sae:
            raise ConfigError(f"width must lie in [1, d_sae={d_sae}]; got {w}")
    largest = max(k, default=getattr(kind, "k", 0))
    if largest > min(width, default=d_sae):
        raise ConfigError(
            f"k must be at most d_sae={min(width, default=d_sae)}, the number of latents; got {largest:g}"
        )
