"""Named axes of a sweep: which of them one program can carry, and which need a program each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.toy import TOY_MODELS, ToyModel
from superposition.training.toy import ToyRun, optimizer_fields
from superposition.training.toy_state import Cells

CARRIED = ("density", "sparsity", "importance", "importance_base", "seed")


@dataclass(frozen=True)
class Axis:
    """One named axis; `carried` values live in arrays, the others are static and grouped by."""

    name: str
    values: tuple[Any, ...]
    carried: bool

    @property
    def is_vector(self) -> bool:
        """Whether each value is itself one number per feature."""
        return np.ndim(self.values[0]) == 1

    def coordinate(self) -> np.ndarray:
        """What labels the axis in the dataset: its values, or their index if they are vectors."""
        if self.is_vector:
            return np.arange(len(self.values))
        return np.array(self.values, dtype=object if isinstance(self.values[0], str) else None)


def parse(run: ToyRun, axes: Mapping[str, Sequence[Any]]) -> list[Axis]:
    """Axes checked against the run, every value tried; ConfigError for an unknown name or a bad value."""
    validate.instance("run", run, ToyRun)
    validate.instance("axes", axes, Mapping)
    if not axes:
        raise ConfigError("axes must name at least one axis, as {'seed': range(10)}; got none")
    if "density" in axes and "sparsity" in axes:
        raise ConfigError("give an axis of density or of sparsity, not both (density = 1 - sparsity)")
    parsed = [_parse(run, name, values) for name, values in axes.items()]
    models = math.prod(len(axis.values) for axis in parsed)
    sizes = {
        name: max([getattr(run.model, name), *_integers(parsed, name)]) for name in ("n_features", "n_hidden")
    }
    weights = sum(math.prod(sizes[d] for d in dims) for dims in run.model.shapes.values())
    validate.memory(
        f"the results of {models} models", 4 * models * (weights + 8), "shorter axes or smaller models"
    )
    for group in static_groups(run, parsed):
        for axis in parsed:
            if axis.carried:
                _try_values(group.run, axis)
    return parsed


def _parse(run: ToyRun, name: Any, values: Any) -> Axis:
    carried = name in (*CARRIED, *optimizer_fields(run)) if isinstance(name, str) else False
    if not carried and name not in _static_names(run):
        accepted = ", ".join((*CARRIED, *optimizer_fields(run), *_static_names(run)))
        raise ConfigError(f"no axis named {validate.shown(name)}; accepted: {accepted}")
    if isinstance(values, np.ndarray) and values.ndim > 1:
        values = list(values)  # a vector is one value
    values = validate.plain(values)
    if not isinstance(values, tuple) or not values:
        raise ConfigError(f"axis {name} must be a non-empty list of values; got {validate.shown(values)}")
    if len({len(value) if isinstance(value, tuple) else -1 for value in values}) > 1:
        raise ConfigError(
            f"axis {name} must be all numbers, or all lists of one length; got {validate.shown(values)}"
        )
    return Axis(name, values, carried)


def _integers(axes: list[Axis], name: str) -> list[int]:
    return [value for axis in axes if axis.name == name for value in axis.values if type(value) is int]


def _try_values(run: ToyRun, axis: Axis) -> None:
    for value in axis.values:
        if axis.name == "seed":
            validate.integer("seed", value, 0, validate.MAX_SEED)
        elif value is None:
            raise ConfigError(f"axis {axis.name} must hold values; got None among them")
        elif axis.name in ("density", "sparsity"):
            replace(run, features=replace(run.features, **{"density": None, axis.name: value}))
        elif axis.name in ("importance", "importance_base"):
            replace(run, **{axis.name: value})
        else:
            replace(run, optimizer=replace(run.optimizer, **{axis.name: value}))  # type: ignore[type-var]


def _static_names(run: ToyRun) -> tuple[str, ...]:
    own = ("model", "steps", "batch_size", "objective", "sampling", *_term_fields(run))
    schedule = ("schedule",) if hasattr(run.optimizer, "schedule") else ()
    model = tuple(f.name for f in fields(run.model))
    law = tuple(f.name for f in fields(run.features) if f.name not in ("density", "sparsity"))
    return (*own, *schedule, *model, *law)


def _term_fields(run: ToyRun) -> tuple[str, ...]:
    """The fields of the run's own term of the loss, where it is a recipe."""
    return tuple(f.name for f in fields(run.loss)) if is_dataclass(run.loss) else ()


def _with_static(run: ToyRun, changes: Mapping[str, Any]) -> ToyRun:
    """All static values at once, so that no intermediate combination has to make sense."""
    model, law, optimizer, own = run.model, run.features, run.optimizer, {}
    model_changes = {f.name: changes[f.name] for f in fields(model) if f.name in changes}
    if "model" in changes:
        validate.choice("model", changes["model"], tuple(TOY_MODELS))
        settings = {f.name: getattr(model, f.name) for f in fields(model)} | model_changes
        usual = {f.name: f.default for f in fields(model)}
        model = new_model(changes["model"], settings, usual)
    else:
        model = replace(model, **model_changes)
    law = replace(law, **{f.name: changes[f.name] for f in fields(law) if f.name in changes})
    if "schedule" in changes:
        optimizer = replace(optimizer, schedule=changes["schedule"])  # type: ignore[type-var]
    own = {f.name: changes[f.name] for f in fields(run) if f.name in changes and f.name != "model"}
    term = {name: changes[name] for name in _term_fields(run) if name in changes}
    if term:
        own["loss"] = replace(run.loss, **term)  # type: ignore[type-var]
    return replace(run, model=model, features=law, optimizer=optimizer, **own)


def run_at(run: ToyRun, settings: Mapping[str, Any]) -> ToyRun:
    """The run of one grid point: every value in its place but the seed, which is no part of a recipe."""
    carried = {*CARRIED, *optimizer_fields(run)}
    run = _with_static(run, {name: value for name, value in settings.items() if name not in carried})
    law: dict[str, Any] = {"density": None, "sparsity": None}
    law |= {name: settings[name] for name in law if name in settings}
    if any(value is not None for value in law.values()):
        run = replace(run, features=replace(run.features, **law))
    optimizer = {name: settings[name] for name in optimizer_fields(run) if name in settings}
    if optimizer:
        run = replace(run, optimizer=replace(run.optimizer, **optimizer))  # type: ignore[type-var]
    return replace(run, **{n: settings[n] for n in ("importance", "importance_base") if n in settings})


def new_model(
    name: str, settings: Mapping[str, Any], usual: Mapping[str, Any] = MappingProxyType({})
) -> ToyModel:
    """The model of that name; ConfigError for a setting it has not, unless that has its `usual` value."""
    kind = TOY_MODELS[name]
    own = {f.name for f in fields(kind)}
    for setting, value in settings.items():
        if setting not in own and value != usual.get(setting):
            raise ConfigError(f"{name} has no {setting}; got {setting}={value!r}: leave it out")
    return kind(**{k: v for k, v in settings.items() if k in own})


@dataclass(frozen=True)
class Group:
    """One combination of static values: a run, and where on the static axes it stands."""

    run: ToyRun
    index: dict[str, int]


def static_groups(run: ToyRun, axes: list[Axis]) -> list[Group]:
    """Every combination of the static axes' values."""
    static = [axis for axis in axes if not axis.carried]
    groups = []
    for index in product(*(range(len(axis.values)) for axis in static)):
        changes = {axis.name: axis.values[i] for axis, i in zip(static, index, strict=True)}
        groups.append(
            Group(_with_static(run, changes), {a.name: i for a, i in zip(static, index, strict=True)})
        )
    return groups


def cells_at(run: ToyRun, carried: list[Axis], index: np.ndarray) -> Cells:
    """The cells at index (cell, len(carried)) of the carried axes."""
    count = len(index)
    n = run.model.n_features
    columns = {axis.name: [axis.values[i] for i in index[:, k]] for k, axis in enumerate(carried)}
    density = columns.get("density")
    if "sparsity" in columns:
        density = [tuple(1 - np.atleast_1d(s)) for s in columns["sparsity"]]
    units = len(run.density_vector())
    importance = np.broadcast_to(run.importance_vector(), (count, n))
    if "importance" in columns or "importance_base" in columns:
        scale = _rows(columns.get("importance", [run.importance] * count), n)
        base = _rows(columns.get("importance_base", [run.importance_base] * count), n)
        importance = scale * base ** np.arange(n)
    return Cells(
        seed=np.asarray(columns.get("seed", [0] * count), np.uint32),  # type: ignore[arg-type]
        density=(
            np.broadcast_to(run.density_vector(), (count, units))
            if density is None
            else _rows(density, units)
        ).astype(np.float32),  # type: ignore[arg-type]
        importance=importance.astype(np.float32),  # type: ignore[arg-type]
        optimizer={
            name: np.asarray(columns[name], np.float32)  # type: ignore[misc]
            for name in optimizer_fields(run)
            if name in columns
        },
    )


def _rows(values: list[Any], width: int) -> np.ndarray:
    return np.stack([np.broadcast_to(np.asarray(v, np.float64), (width,)) for v in values])
