"""From the dataset of a toy sweep, in memory or from its store, to models with their own recipes: the one place."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import xarray as xr

from superposition.errors import ConfigError
from superposition.features import FEATURES
from superposition.features.stored import PARTS
from superposition.storage.provenance import Environment, rebuilt
from superposition.toy import TOY_MODELS
from superposition.training.optimizer import RECIPES, AdamW, lost, without_optimizer
from superposition.training.store.reading import DIVERGED, ENVIRONMENTS, PENDING, is_of_saes, stored_recipe
from superposition.training.sweeps import STEP, Sweep
from superposition.training.toy import ToyRun
from superposition.training.trained import Trained

START = "start"  # the axis of models that were trained on


def toy_sweep(
    results: xr.Dataset, run: ToyRun | None = None, axes: Mapping[str, Sequence[Any]] | None = None
) -> Sweep:
    """The sweep of a dataset of toy models; run and axes are read from its attributes where they are not given.

    Raises CorruptError for attributes that are no recipe.
    """
    if run is None or axes is None:
        run, axes = stored(results)
    named = {name: tuple(values) for name, values in axes.items()}
    loss = results["loss"].transpose(*named).values
    if "status" in results:
        status = results["status"].transpose(*named).values
        loss = np.where((status == PENDING) | (status == DIVERGED), np.nan, loss)

    def point(index: tuple[int, ...]) -> Trained:
        return toy_at(results, run, named, index)

    return Sweep(named, point, loss, lambda: results)


def stored(results: xr.Dataset) -> tuple[ToyRun, dict[str, tuple[Any, ...]]]:
    """The run and the axes that a store's attributes hold, the inverse of what `sweep` writes there.

    Raises CorruptError for attributes that are no recipe, ConfigError for a sweep of SAEs.
    """
    if is_of_saes(results):
        raise ConfigError("this is a sweep of SAEs; give one of toy models, or use superposition.load")
    return stored_recipe(results.attrs, rebuilt_run)


def title_of(results: xr.Dataset) -> str:
    """The model, its sizes and the steps of a sweep of toy models, in a few words."""
    run, _ = stored(results)
    return f"{type(run.model).__name__} n={run.model.n_features} m={run.model.n_hidden}, {run.steps} steps"


def rebuilt_run(stored: Mapping[str, Any]) -> ToyRun:
    """The run that `recipe` made JSON of. Raises KeyError, TypeError and ConfigError for what is none."""
    kinds: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in (*RECIPES, ToyRun)}
    registries: tuple[Mapping[str, Any], ...] = (TOY_MODELS, FEATURES, *PARTS.values())
    for registry in registries:
        kinds |= {kind.__name__: kind for kind in registry.values()}
    values, optimizer = without_optimizer(stored, AdamW)
    term = values.pop("loss", None)
    run: ToyRun = rebuilt(values, kinds)
    if optimizer is not None:
        run = replace(run, optimizer=optimizer)
    return run if term is None else replace(run, loss=lost("loss", "a function", str(term)))


def toy_at(
    results: xr.Dataset, run: ToyRun, axes: Mapping[str, Sequence[Any]], index: tuple[int, ...]
) -> Trained:
    """The model at one grid point: its own recipe, and its parameters without padding."""
    settings = {name: values[i] for (name, values), i in zip(axes.items(), index, strict=True)}
    recipe = run.at({name: value for name, value in settings.items() if name not in (STEP, START)})
    row = results.isel(dict(zip(axes, index, strict=True)))
    model = recipe.model
    sizes = {"n_hidden": model.n_hidden, "n_features": model.n_features}
    kind: Any = jax.eval_shape(model.init_params, jax.random.key(0))
    params = type(kind)(
        **{
            name: np.asarray(row[name].values)[tuple(slice(sizes[dim]) for dim in dims)]
            for name, dims in model.shapes.items()
        }
    )
    fault = None
    if "status" in row:
        status = int(row["status"].values)
        fault = {
            DIVERGED: f"the loss is not finite after step {int(row['steps'].values)}",
            PENDING: "not trained",
        }.get(status)
    loss, where = float(row["loss"].values), trained_in(results)
    return Trained(model, params, recipe, settings, loss=loss, fault=fault, environments=where)


def trained_in(results: xr.Dataset) -> tuple[Environment, ...]:
    """The environments of a sweep: those that its store lists where they were several, else the one of its provenance."""
    if ENVIRONMENTS in results.attrs:
        return tuple(json.loads(results.attrs[ENVIRONMENTS]))
    stored = json.loads(results.attrs.get("provenance", "{}"))
    known = {name: stored[name] for name in ("jax", "device") if name in stored}
    return (known,) if known else ()
