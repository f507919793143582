"""From the dataset of a sweep of SAEs, in memory or from its store, to SAEs with their own recipes: the one place."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import xarray as xr

from superposition.sae import ARCHITECTURES, SAE
from superposition.sae.transforms import finished
from superposition.storage.provenance import rebuilt
from superposition.training.clock import log_every
from superposition.training.controller import Controller
from superposition.training.fitting import MEASURED, fell_short
from superposition.training.optimizer import RECIPES, Adam, without_optimizer
from superposition.training.sae import SAERun
from superposition.training.store.reading import DONE, ENVIRONMENTS, PENDING, stored_recipe
from superposition.training.sweeps import Sweep
from superposition.training.trained import Trained

DIMS = {
    "W_enc": ("d_in", "d_sae"), "W_dec": ("d_sae", "d_out"), "b_dec": ("d_out",), "W_skip": ("d_out", "d_in"),
}  # fmt: skip


def dims_of(sae: SAE, name: str, ndim: int) -> tuple[str, ...]:
    """The names of a parameter's dimensions; one for every latent is (d_sae,)."""
    dims = DIMS.get(name, ("d_sae",) * ndim)
    return tuple("d_in" if dim == "d_out" and sae.d_out is None else dim for dim in dims)


def form(sae: SAE, scales: tuple[float, float]) -> tuple[SAE, dict[str, tuple[int, ...]]]:
    """The form of an SAE that is used after training, and the shapes of its parameters; nothing is computed."""
    ends: list[SAE] = []
    x = jax.ShapeDtypeStruct((2, sae.d_in), np.float32)
    y = jax.ShapeDtypeStruct((2, sae.target_width), np.float32)

    def end(x: jax.Array, y: jax.Array) -> dict[str, Any]:
        used, params = finished(sae, sae.init_params(jax.random.key(0), x, y), scales)
        ends.append(used)
        return params

    shapes = jax.eval_shape(end, x, y)
    return ends[0], {name: shape.shape for name, shape in shapes.items()}


def sae_sweep(results: xr.Dataset) -> Sweep:
    """The sweep of a dataset of SAEs. Raises CorruptError for attributes that are no recipe."""
    run, axes = stored(results)
    loss = results["loss"].transpose(*axes).values
    status = results["status"].transpose(*axes).values

    def point(index: tuple[int, ...]) -> Trained:
        return sae_at(results, run, axes, index)

    return Sweep(axes, point, np.where(status == DONE, loss, np.nan), lambda: results)


def stored(results: xr.Dataset) -> tuple[SAERun, dict[str, tuple[Any, ...]]]:
    """The run, without its data, and the axes that a store's attributes hold."""
    return stored_recipe(results.attrs, rebuilt_run)


def rebuilt_run(stored: Any) -> SAERun:
    """The run that `recipe` made JSON of. Raises KeyError, TypeError and ConfigError for what is none."""
    if not isinstance(stored, dict):
        raise TypeError(f"no run: {type(stored).__name__}")
    kinds = (*ARCHITECTURES.values(), *RECIPES, Controller, SAERun)
    values, optimizer = without_optimizer(stored, Adam)
    run = rebuilt(values, {kind.__name__: kind for kind in kinds})
    if not isinstance(run, SAERun):
        raise TypeError(f"no run: {type(run).__name__}")
    return run if optimizer is None else replace(run, optimizer=optimizer)


def sae_at(
    results: xr.Dataset, run: SAERun, axes: Mapping[str, Sequence[Any]], index: tuple[int, ...]
) -> Trained:
    """The SAE at one grid point: its own recipe, and its parameters and history without padding."""
    settings = {name: values[i] for (name, values), i in zip(axes.items(), index, strict=True)}
    recipe = run.at(settings)
    row = results.isel(dict(zip(axes, index, strict=True)))
    if pending := int(row["status"].values) == PENDING:
        scales = 1.0, 1.0
    else:
        scales = float(row["scale_in"].values), float(row["scale_out"].values)
    sae, shapes = form(recipe.sae, scales)
    params = {name: np.asarray(row[name].values)[tuple(map(slice, shape))] for name, shape in shapes.items()}
    terms = list(results.attrs["history"])
    history = np.stack([row[f"history_{term}"].values for term in terms])
    logged = np.isfinite(history).all(0)
    one = Trained(
        sae,
        params,
        recipe,
        settings,
        loss=float(row["loss"].values),
        steps=np.flatnonzero(logged) * log_every(recipe.steps),
        history={term: values[logged] for term, values in zip(terms, history, strict=True)},
        fault="not trained" if pending else str(row["fault"].values) or None,
        environments=tuple(json.loads(results.attrs.get(ENVIRONMENTS, "[]"))),
    )
    if pending:
        return one
    numbers = {name: float(row[name].values) for name in MEASURED}
    return replace(one, warnings=fell_short(one, numbers))
