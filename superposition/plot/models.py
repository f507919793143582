"""Reads what a drawing needs off trained models: one `Trained`, several, or a sweep with its best seeds.

Drawings take plain arrays as well; these functions recognise models by what they have, a sweep by `dataset` (or by
being an xarray Dataset itself) and a trained model by `params`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from superposition.errors import ConfigError

WEIGHTS = ("W", "W_in")  # a tied model's weights, or the input weights of a model with a hidden layer


class Models(NamedTuple):
    """Toy models side by side: W (models, m, n), b (models, n), a title each, and I_i = base^i."""

    W: np.ndarray
    b: np.ndarray
    titles: list[str | float]
    importance_base: float


class Grid(NamedTuple):
    """Models over density (y,) and relative importance (x,): norm and interference of the last feature, (y, x)."""

    density: np.ndarray
    relative_importance: np.ndarray
    norm: np.ndarray
    interference: np.ndarray


def dataset_of(source: Any) -> Any:
    """Return the xarray Dataset of a sweep, or None for anything else."""
    data = getattr(source, "dataset", source)
    return data if hasattr(data, "data_vars") else None


def toy_models(source: Any) -> Models | None:
    """Return the toy models of a sweep (the best seed of each setting) or of trained models; None for arrays.

    Raises:
        ConfigError: SAEs, or models of several sizes, which no drawing puts side by side.
    """
    data = dataset_of(source)
    if data is not None:
        return _of_sweep(data)
    several = _several(source)
    if several is None:
        return None
    parameters = [_parameters(one) for one in several]
    W = [np.asarray(_weights(named), float) for named in parameters]
    if len({w.shape for w in W}) > 1:
        raise ConfigError(
            f"the models have weights of shapes {', '.join(str(w.shape) for w in W)}; give models of one size"
        )
    recipes = [getattr(one, "recipe", None) for one in several]
    bases = {float(getattr(recipe, "importance_base", 1.0)) for recipe in recipes}
    return Models(
        np.stack(W),
        np.stack([np.asarray(named["b"], float) for named in parameters]),
        [_density(recipe, type(_model(one)).__name__) for recipe, one in zip(recipes, several, strict=True)],
        bases.pop() if len(bases) == 1 else 1.0,
    )


def grid_of(source: Any) -> Grid | None:
    """Return the last feature of the best seeds of a sweep over density and importance; None for panels.

    The importance axis is `importance_base` of models with two features, or `importance` vectors, of which the last
    entry over the first is drawn.

    Raises:
        ConfigError: a sweep over other axes.
    """
    from superposition import geometry

    data = dataset_of(source)
    if data is None:
        return None
    flat, axes = _best_seeds(data)
    density, importance = _density_axis(axes), next((a for a in axes if a.startswith("importance")), None)
    if density is None or importance is None or len(axes) != 2:
        raise ConfigError(
            f"a phase diagram needs a sweep over density (or sparsity) and importance_base or importance, and one "
            f"n_features; its axes are {', '.join(axes) or 'none'}. Choose among others with sel(...)"
        )
    x = np.asarray(data[importance].values, float)
    if importance == "importance":
        vectors = np.asarray(data["importance_values"].values, float)
        x = vectors[:, -1] / vectors[:, 0]
    elif data.sizes["n_features"] != 2:
        raise ConfigError(
            f"over importance_base a phase diagram is of two features; these models have "
            f"{data.sizes['n_features']}. Sweep over importance, one vector a column"
        )
    if "W" not in flat:
        raise ConfigError("a phase diagram is of models with tied weights W; these have W_in and W_out")
    y = _densities(data, density)
    W = flat["W"].transpose(density, importance, "n_hidden", "n_features").values
    right, down = np.argsort(x, kind="stable"), np.argsort(-y, kind="stable")
    W = W[down][:, right]
    return Grid(y[down], x[right], geometry.norms(W)[..., -1], geometry.interference(W)[..., -1])


def saes(source: Any) -> dict[str, Any]:
    """Return SAEs by name: of a mapping itself, of one trained SAE or several named by architecture and settings."""
    if isinstance(source, Mapping) and dataset_of(source) is None:
        return dict(source)
    several = None if dataset_of(source) is source else _several(source)
    if several is None:
        raise ConfigError(
            f"give trained SAEs, or a mapping from names to arrays; got {type(source).__name__}"
        )
    named: dict[str, Any] = {}
    for one in several:
        settings = ", ".join(f"{key}={value:g}" for key, value in one.settings.items())
        name = " ".join(filter(None, (type(_model(one)).__name__, settings)))
        named[name if name not in named else f"{name} ({len(named)})"] = one
    return named


def is_trained(source: Any) -> bool:
    """Whether this is one trained model: it has parameters."""
    return hasattr(source, "params")


def decoder(trained: Any) -> np.ndarray:
    """Return the decoder rows (d_sae, d_in) of a trained SAE; ConfigError for a toy model."""
    named = _parameters(trained)
    if "W_dec" not in named:
        raise ConfigError(
            f"{type(_model(trained)).__name__} has no decoder; its parameters are {', '.join(named)}"
        )
    return np.asarray(named["W_dec"], float)


def _several(source: Any) -> Sequence[Any] | None:
    if is_trained(source):
        return [source]
    if isinstance(source, Sequence) and not isinstance(source, str) and len(source) and is_trained(source[0]):
        return list(source)
    return None


def _parameters(trained: Any) -> Mapping[str, Any]:
    params = trained.params
    named: Mapping[str, Any] = params if isinstance(params, Mapping) else params._asdict()
    return named


def _model(trained: Any) -> Any:
    return getattr(trained, "model", None) or trained.sae


def _weights(named: Mapping[str, Any]) -> Any:
    for name in WEIGHTS:
        if name in named:
            return named[name]
    raise ConfigError(f"this drawing is of toy models; parameters {', '.join(named)} are those of an SAE")


def _of_sweep(data: Any) -> Models:
    flat, axes = _best_seeds(data)
    name = next(name for name in WEIGHTS if name in flat)
    sizes = [axis for axis in axes if axis in ("n_hidden", "n_features")]
    if sizes:
        raise ConfigError(f"the sweep has models of several sizes; draw those of one: sel({sizes[0]}=...)")
    run = json.loads(data.attrs.get("config", "{}")).get("run", {})
    base = float(run.get("importance_base", 1.0))
    if not axes:
        W, b = flat[name].values[None], flat["b"].values[None]
        return Models(W, b, [run.get("model", {}).get("recipe", "")], base)
    shape = flat[name].sizes
    W = flat[name].transpose(*axes, "n_hidden", "n_features").values
    b = flat["b"].transpose(*axes, "n_features").values
    n_hidden, n_features = shape["n_hidden"], shape["n_features"]
    return Models(
        W.reshape(-1, n_hidden, n_features), b.reshape(-1, n_features), _setting_titles(data, axes), base
    )


def _best_seeds(data: Any) -> tuple[Any, list[str]]:
    """Return the parameters without seeds, each setting at its lowest loss, and the settings' axes.

    Where no seed is done, or all diverged, the parameters are NaN, which drawings hatch.
    """
    from superposition.training import DONE

    if "loss" not in data or not any(name in data for name in WEIGHTS):
        raise ConfigError(
            f"this drawing is of a sweep of toy models; the dataset has {', '.join(map(str, data.data_vars))}"
        )
    axes = [str(d) for d in data["loss"].dims if d != "seed"]
    if "seed" not in data["loss"].dims:
        data = data.expand_dims("seed")
    done = data["status"] == DONE if "status" in data else True
    loss = data["loss"].where(np.isfinite(data["loss"]) & done, np.inf)
    parameters = data[[name for name in (*WEIGHTS, "b") if name in data]]
    return parameters.isel(seed=loss.argmin("seed")).where(np.isfinite(loss).any("seed")), axes


def _setting_titles(data: Any, axes: Sequence[str]) -> list[str | float]:
    """Return a title a setting: a density as a number, other settings in words, in the order of the axes."""
    density = _density_axis(axes)
    if density is not None and len(axes) == 1:
        return [float(p) for p in _densities(data, density)]
    titles: list[str | float] = [""]
    for axis in axes:
        labels = [v.item() for v in np.asarray(data[axis].values)]
        words = [f"{axis}={v:g}" if isinstance(v, int | float) else str(v) for v in labels]
        titles = [", ".join(filter(None, (str(t), word))) for t in titles for word in words]
    return titles


def _density_axis(axes: Sequence[str]) -> str | None:
    return next((axis for axis in axes if axis in ("density", "sparsity")), None)


def _densities(data: Any, axis: str) -> np.ndarray:
    values = np.asarray(data[axis].values, float)
    return 1 - values if axis == "sparsity" else values


def _density(recipe: Any, otherwise: str) -> str | float:
    """Return the density of a model's features, where it is one number, or else the name of the model."""
    density = getattr(getattr(recipe, "features", None), "density", None)
    return float(density) if isinstance(density, int | float) else otherwise
