"""A sweep as flat settings: the command line's, and a script's. Importing this does not import JAX."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superposition.errors import ConfigError

if TYPE_CHECKING:
    import xarray as xr

    from superposition.features import FeatureLaw
    from superposition.training.toy import ToyRun


@dataclass(frozen=True)
class SweepConfig:
    """Train toy models at every combination of the given values.

    Several values of a setting make an axis of the results; density and seed always are axes.
    """

    model: str = "relu-output"
    """Toy model: linear, relu-output, relu-hidden or absolute-value."""
    n_features: tuple[int, ...] = (20,)
    """Number of features n."""
    n_hidden: tuple[int, ...] = (5,)
    """Number of hidden dimensions m."""
    features: str = "sparse-uniform"
    """Law of the features, as sparse-uniform, correlated, copula or hierarchical; a wrong name lists them all."""
    n_sets: int = 2
    """Number of sets, for correlated and anticorrelated features."""
    law: tuple[str, ...] = ()
    """Settings of the law as NAME=VALUE, for example roots=4 branching=3, magnitudes=normal magnitudes.std_mean=0.1, or
    density=zipf density.exponent=1 (instead of densities)."""
    signed: bool = False
    """Draw non-zero features from U[-1, 1] in place of U[0, 1]."""
    densities: tuple[float, ...] = ()
    """Densities 1 - S = P(x_i != 0), each in (0, 1]. Default 1."""
    sparsities: tuple[float, ...] = ()
    """Sparsities S, each in [0, 1), in place of densities."""
    importance: tuple[float, ...] = ()
    """Importance of every feature, n_features numbers >= 0. Default 1."""
    importance_base: tuple[float, ...] = (1.0,)
    """Base r: feature i has its importance multiplied by r^i."""
    seeds: int = 1
    """How many seeds, counted up from first_seed."""
    first_seed: int = 0
    """The first seed, in [0, 2^32)."""
    steps: int = 10_000
    """Optimizer steps."""
    batch_size: int = 1024
    """Examples a step."""
    learning_rate: tuple[float, ...] = (1e-3,)
    """AdamW's learning rate."""
    weight_decay: tuple[float, ...] = (0.01,)
    """AdamW's weight decay."""
    schedule: str = "constant"
    """Learning-rate schedule: constant, linear or cosine (to 0)."""
    objective: str = "sampled"
    """sampled: random batches; exact: the exact expected loss, without sampling."""
    sampling: str = "conditional"
    """conditional: only examples in which something fires, the rest exactly; plain: as the notebook."""
    init: str = ""
    """Start of the weights: xavier or anthropic (the released notebook's) for linear and relu-output, open or xavier for
    absolute-value. Default: the first of them."""
    out: Path | None = None
    """Zarr store to write, for example runs/lecture.zarr. Required on the command line."""
    resume: bool = False
    """Continue the sweep in `out`."""
    allow_mixed: bool = False
    """Continue it in another environment too (JAX, device, XLA flags, processor), which changes bits."""
    memory_gb: float = 2.0
    """Memory the training may use; larger sweeps are cut into more blocks."""

    def __post_init__(self) -> None:
        from superposition._internal import validate  # here, for `--help` does not wait for NumPy

        validate.settle(self)
        validate.instance("out", self.out, (str, os.PathLike, type(None)))
        if isinstance(self.out, str):
            object.__setattr__(self, "out", Path(self.out))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple) and not isinstance(value, tuple):
                object.__setattr__(self, field.name, (value,))  # a script may say n_hidden=5 for (5,)
                value = (value,)
            for entry in value if isinstance(field.default, tuple) else ():
                if field.name == "law":
                    validate.instance("law", entry, str)
                elif not isinstance(entry, float):  # these have a range, of which `plan` knows
                    validate.number(field.name, entry)

    def plan(self) -> "tuple[ToyRun, dict[str, Any]]":
        """The recipe and the axes these settings mean; raises ConfigError.

        >>> run, axes = SweepConfig(n_features=5, n_hidden=2, densities=(0.1, 1.0), seeds=3).plan()
        >>> run.steps, axes
        (10000, {'density': (0.1, 1.0), 'seed': range(0, 3)})
        """
        from superposition._internal import validate
        from superposition.features import FEATURES
        from superposition.toy import TOY_MODELS
        from superposition.training.grid import new_model
        from superposition.training.optimizer import AdamW
        from superposition.training.toy import ToyRun

        validate.choice("model", self.model, tuple(TOY_MODELS))
        validate.choice("features", self.features, tuple(FEATURES))
        if self.densities and self.sparsities:
            raise ConfigError(
                f"give densities or sparsities, not both; got {list(self.densities)} and {list(self.sparsities)}"
            )
        validate.integer("seeds", self.seeds, 1)
        validate.integer("first_seed", self.first_seed, 0, validate.MAX_SEED)
        validate.integer("first_seed + seeds - 1", self.first_seed + self.seeds - 1, 0, validate.MAX_SEED)
        kind = "sparsity" if self.sparsities else "density"
        rates = any(text.startswith("density") for text in self.law)
        if rates and (self.densities or self.sparsities):
            raise ConfigError("give densities, sparsities, or --law density=..., one of them; got two")
        axes: dict[str, Any] = {} if rates else {kind: self.sparsities or self.densities or (1.0,)}
        several = ("n_features", "n_hidden", "importance_base", "learning_rate", "weight_decay")
        for name in several:
            values = getattr(self, name)
            if not values:
                raise ConfigError(f"{name} needs at least one value")
            if len(values) > 1:
                axes[name] = values
        features = self._law()
        axes["seed"] = range(self.first_seed, self.first_seed + self.seeds)
        run = ToyRun(
            model=new_model(
                self.model,
                {"n_features": self.n_features[0], "n_hidden": self.n_hidden[0]}
                | ({"init": self.init} if self.init else {}),
            ),
            features=features,
            importance=self.importance or 1.0,
            importance_base=self.importance_base[0],
            optimizer=AdamW(self.learning_rate[0], self.weight_decay[0], schedule=self.schedule),
            steps=self.steps,
            batch_size=self.batch_size,
            objective=self.objective,
            sampling=self.sampling,
        )
        return run, axes

    def _law(self) -> "FeatureLaw":
        """The law of the features; ConfigError for a setting that it has not."""
        from superposition.features import FEATURES
        from superposition.features.stored import with_settings

        kind = FEATURES[self.features]
        usual = type(self).n_sets
        has_sets = any(field.name == "n_sets" for field in fields(kind))
        if self.n_sets != usual and not has_sets:
            raise ConfigError(f"{self.features} has no n_sets; got n_sets={self.n_sets}: leave it out")
        settings: dict[str, Any] = {"n_sets": self.n_sets} if has_sets else {}
        return with_settings(kind(signed=self.signed, **settings), self.law)

    def run(self, **options: Any) -> "xr.Dataset":
        """Train, and return the labelled results; options as for superposition.training."""
        from superposition.training.toy_sweep import sweep_grid

        run, axes = self.plan()
        mine = {"resume": self.resume, "allow_mixed": self.allow_mixed, "memory_gb": self.memory_gb}
        return sweep_grid(run, axes, out=self.out, **mine | options)
