"""The settings of data and of training an SAE, as flat dataclasses. Importing this does not import JAX.

A setting that is not given keeps the default of its recipe; one that its architecture does not have is refused.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from superposition.cli.sae.flags import Floats, Hyperparameters, one_of, trained
from superposition.errors import ConfigError

if TYPE_CHECKING:
    from superposition.sae import SAE
    from superposition.training import SAERun


@dataclass(frozen=True)
class DataConfig:
    """Where activations come from: exactly one of toy, planted, activations."""

    toy: Path | None = None
    """Zarr store of a sweep: its model's hidden activations."""
    cell: tuple[str, ...] = ()
    """With toy: which model of a sweep of several, as density=0.05 seed=3. Without a seed: the lowest loss of all."""
    density: float | None = None
    """With toy: density of the features. Default: the cell's."""
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
        """ConfigError unless exactly one source is given, with settings of its own."""
        given = [name for name in _OWNED if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"give exactly one of --toy, --planted, --activations; got {' and '.join(given) or 'none'}"
            )
        for owner, names in _OWNED.items():
            wrong = [n for n in names if getattr(self, n) != getattr(DataConfig(), n)]
            if wrong and owner not in given:
                flag = wrong[0].replace("_", "-")
                raise ConfigError(f"--{flag} goes with --{owner}; got --{given[0]}: leave it out")


_OWNED = {
    "toy": ("cell", "density", "target"),
    "planted": ("n_features", "d_in"),
    "activations": ("array", "targets", "targets_array"),
}


@dataclass(frozen=True)
class OptimizerSettings:
    """Adam's settings; several values make an axis."""

    learning_rate: Floats = ()
    """Adam's learning rate. Default 3e-4."""
    warmup: Floats = ()
    """Fraction of the steps over which the rate rises. Default 0."""
    decay: Floats = ()
    """Fraction of the steps over which the rate falls to 0. Default 0.2."""
    clip: Floats = ()
    """Global norm that gradients are cut to. Default 1."""
    b1: Floats = ()
    """Adam's first decay rate. Default 0.9."""
    b2: Floats = ()
    """Adam's second decay rate. Default 0.999."""
    eps: Floats = ()
    """Adam's epsilon. Default 1e-8."""


@dataclass(frozen=True)
class TrainSettings(OptimizerSettings, Hyperparameters):
    """What training is, whatever the activations."""

    architecture: Annotated[str, tyro.conf.arg(help=one_of(trained()))] = "topk"
    d_sae: int | None = None
    """Number of latents. Default: the true features, where they are known, else 4 d_in."""
    skip: bool = False
    """Transcoder with a linear skip connection."""
    seed: tuple[int, ...] = (0,)
    """Seeds, each an SAE."""
    steps: int = 10_000
    """Optimizer steps."""
    batch_size: int = 1024
    """Examples a step."""
    penalty_warmup: float | None = None
    """Fraction of the steps over which a penalty rises. Default 0.05."""
    normalize: bool = True
    """Train on activations scaled to norm sqrt(d_in); folded into the weights at the end."""
    examples: int = 65_536
    """Examples for the metrics at the end."""
    out: Path | None = None
    """Directory to write, for example runs/topk. Required."""
    resume: bool = False
    """Continue the run in `out`."""
    allow_mixed: bool = False
    """Continue it in another environment too (JAX, device, XLA flags, processor), which changes bits."""
    checkpoint_seconds: float = 30.0
    """Time between checkpoints."""
    memory_gb: float = 4.0
    """Memory the training may use; larger grids are cut into blocks."""

    def plan(
        self, d_in: int, d_out: int | None, n_features: int | None = None
    ) -> "tuple[SAERun, dict[str, Sequence[Any]]]":
        """The run and the axes these settings mean on data of these widths; raises ConfigError."""
        from superposition.sae import ARCHITECTURES
        from superposition.training import SAERun
        from superposition.training.optimizer import Adam

        kind = ARCHITECTURES[choose("architecture", self.architecture, trained())]
        given = _given(self, Hyperparameters)
        quadratic = self.sparsity == "quadratic"
        if not quadratic:  # then it is the controller's
            given.pop("l0_target", None)
        own = {field.name for field in fields(kind)}
        for name in given:
            if name not in own:
                has = ", ".join(n.name for n in fields(Hyperparameters) if n.name in own)
                raise ConfigError(f"{name} is not a setting of {self.architecture}, which has {has}")
        optimizer = _given(self, OptimizerSettings)
        axes: dict[str, Sequence[Any]] = {}
        for name, values in {**given, **optimizer}.items():
            if isinstance(values, tuple) and name != "prefixes":
                _distinct(name, values)
                if name == "k" and isinstance(kind.k, int) and all(map(float.is_integer, values)):  # type: ignore[attr-defined]
                    values = tuple(map(int, values))
                if len(values) > 1 or name == "width":
                    axes[name] = values
                (given if name in given else optimizer)[name] = values[0]
        d_sae = self.d_sae or (max(self.width) if self.width else n_features or 4 * d_in)
        if self.d_sae is not None and self.d_sae < 1:
            raise ConfigError(f"d_sae must be an integer >= 1; got {self.d_sae}")
        _fits(kind, self.k, self.width, d_sae)
        given.pop("width", None)
        if quadratic and len(self.l0_target) > 1:
            raise ConfigError(f"sparsity quadratic takes one l0_target; got {list(self.l0_target)}")
        if not quadratic and len(self.l0_target) > 1:
            _distinct("l0_target", self.l0_target)
            axes["l0_target"] = self.l0_target
        _distinct("seed", self.seed)
        axes["seed"] = self.seed
        if d_out is None and self.skip:
            raise ConfigError(
                "skip is for transcoders; give --targets (of a file), --target output (of a toy) or --target-hook"
                " (of a language model)"
            )
        rest: dict[str, Any] = {} if self.penalty_warmup is None else {"penalty_warmup": self.penalty_warmup}
        run = SAERun(
            sae=kind(d_in=d_in, d_sae=d_sae, d_out=d_out, skip=self.skip, **given),
            optimizer=Adam(**optimizer),
            steps=self.steps,
            batch_size=self.batch_size,
            l0_target=self.l0_target[0] if self.l0_target and not quadratic else None,
            normalize=self.normalize,
            **rest,
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


def choose(name: str, value: str, accepted: Iterable[str]) -> str:
    """One of the accepted names, or ConfigError with the nearest of them."""
    names = list(accepted)
    if value in names:
        return value
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{name} must be one of {', '.join(names)}; got {value!r}{hint}")


def _given(config: Any, part: type) -> dict[str, Any]:
    """The fields of `part` that were given."""
    values = {field.name: getattr(config, field.name) for field in fields(part)}
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _distinct(name: str, values: Sequence[Any]) -> None:
    if not values:
        raise ConfigError(f"{name} needs at least one value")
    for value in values:
        if list(values).count(value) > 1:
            raise ConfigError(f"{name} lists {value:g} twice; every value is one SAE")
