"""The axes that a toy run takes: which one program can carry, which need one each, and the run at a grid point."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.toy import TOY_MODELS, ToyModel
from superposition.training.optimizer import swept_fields
from superposition.training.toy_state import Cells

if TYPE_CHECKING:
    from superposition.training.grid import Axis
    from superposition.training.toy import ToyRun

CARRIED = ("density", "sparsity", "importance", "importance_base", "seed")


def carried_names(run: "ToyRun") -> tuple[str, ...]:
    """The axes of which every value is a number in an array of the program."""
    return (*CARRIED, *swept_fields(run.optimizer))


def static_names(run: "ToyRun") -> tuple[str, ...]:
    """The axes of which every value takes a program of its own."""
    own = ("model", "steps", "batch_size", "objective", "sampling", *_term_fields(run))
    schedule = ("schedule",) if hasattr(run.optimizer, "schedule") else ()
    model = tuple(f.name for f in fields(run.model))
    law = tuple(f.name for f in fields(run.features) if f.name not in ("density", "sparsity"))
    return (*own, *schedule, *model, *law)


def check(run: "ToyRun", axes: Mapping[str, tuple[Any, ...]], models: int) -> None:
    """Raise ConfigError for density and sparsity together, and for results that fill the memory."""
    if "density" in axes and "sparsity" in axes:
        raise ConfigError("give an axis of density or of sparsity, not both (density = 1 - sparsity)")
    sizes = {
        name: max([getattr(run.model, name), *(v for v in axes.get(name, ()) if type(v) is int)])
        for name in ("n_features", "n_hidden")
    }
    weights = sum(math.prod(sizes[d] for d in dims) for dims in run.model.shapes.values())
    validate.memory(
        f"the results of {models} models", 4 * models * (weights + 8), "shorter axes or smaller models"
    )


def _term_fields(run: "ToyRun") -> tuple[str, ...]:
    """The fields of the run's own term of the loss, where it is a recipe."""
    return tuple(f.name for f in fields(run.loss)) if is_dataclass(run.loss) else ()


def _with_static(run: "ToyRun", changes: Mapping[str, Any]) -> "ToyRun":
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


def at(run: "ToyRun", settings: Mapping[str, Any]) -> "ToyRun":
    """The run of one grid point: every value in its place but the seed, which is no part of a recipe."""
    carried = carried_names(run)
    run = _with_static(run, {name: value for name, value in settings.items() if name not in carried})
    law: dict[str, Any] = {"density": None, "sparsity": None}
    law |= {name: settings[name] for name in law if name in settings}
    if any(value is not None for value in law.values()):
        run = replace(run, features=replace(run.features, **law))
    optimizer = {name: settings[name] for name in swept_fields(run.optimizer) if name in settings}
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


def cells_at(run: "ToyRun", carried: "list[Axis]", index: np.ndarray) -> Cells:
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
            for name in swept_fields(run.optimizer)
            if name in columns
        },
    )


def _rows(values: list[Any], width: int) -> np.ndarray:
    return np.stack([np.broadcast_to(np.asarray(v, np.float64), (width,)) for v in values])
