"""The activations that settings name: a stream to train on, batches to measure on, and the truth if known."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superposition._internal import validate
from superposition.activations import (
    Batch,
    FileActivations,
    Stream,
    array_stream,
    file_stream,
    mixed_stream,
    planted_stream,
)
from superposition.activations.array import activations
from superposition.activations.cache import Cache, is_cache
from superposition.activations.files import mapped_rows
from superposition.activations.read import read_array
from superposition.activations.toy import TARGETS
from superposition.cli.sae.config import DataConfig
from superposition.cli.settings import choose
from superposition.errors import ConfigError
from superposition.evaluation.sae import batch_size, held_out
from superposition.features import PLANTED
from superposition.storage.provenance import recipe
from superposition.toy import require_tied
from superposition.typing import PRNGKey

if TYPE_CHECKING:
    import xarray as xr

    from superposition.training import Trained

DIGEST_ROWS = 1024
LOADED = 2**30  # bytes of arrays that are loaded to train on; more are read from their files


class Data(NamedTuple):
    """Activations and what is known of them.

    stream: to train on, None for arrays that are only measured on. arrays: x and y of a file. dictionary: true
    directions (n_features, d_in) of the features in the batches. about: JSON that says what the data are.
    metadata: where the SAE belongs, as SAELens says it. unit: what an example is. available: how many there are, None
    for any number. keep: writes into the working directory what a resumed run would not find again. toy: the toy model
    that the activations are of.
    """

    d_in: int
    d_out: int | None
    about: dict[str, Any]
    stream: Stream | None = None
    arrays: tuple[np.ndarray, np.ndarray] | None = None
    dictionary: np.ndarray | None = None
    metadata: dict[str, Any] | None = None
    unit: str = "samples"
    available: int | None = None
    keep: Callable[[Path], None] | None = None
    toy: "Trained | None" = None

    def batches(self, examples: int, width: int = 1) -> Iterator[Batch]:
        """Batches of `examples` examples in all; `width` is that of what will be computed from them."""
        if self.arrays is not None:
            x, y = self.arrays
            size = batch_size(max(self.d_in, width))
            for start in range(0, min(examples, len(x)), size):
                rows = slice(start, min(start + size, examples))
                block = jnp.asarray(np.asarray(x[rows], np.float32))
                yield Batch(block, block if y is x else jnp.asarray(np.asarray(y[rows], np.float32)))
            return
        assert self.stream is not None
        yield from held_out(self.stream, examples, width, self.available)


def open_data(config: DataConfig, *, train: bool) -> Data:
    """The data that settings name; arrays become a stream only to `train`. Raises ConfigError, CorruptError."""
    DataConfig.check(config)
    if config.planted is not None:
        return _planted(config)
    return _toy(config) if config.toy is not None else _arrays(config, train)


def _planted(config: DataConfig) -> Data:
    assert config.planted is not None
    world = PLANTED[choose("planted", config.planted, PLANTED)]
    world = world.scaled(config.n_features, config.d_in)
    stream = planted_stream(jax.random.key(config.data_seed), world)
    about = {"planted": config.planted, "world": recipe(world), "data_seed": config.data_seed}
    return Data(world.d_in, None, about, stream, None, stream.dictionary)


def _arrays(config: DataConfig, train: bool) -> Data:
    assert config.activations is not None
    if is_cache(config.activations):
        return _cache(config, config.activations)
    x = activations(f"{config.activations}: activations", read_array(config.activations, config.array))
    about = {"activations": str(config.activations), "array": config.array, **_digest("x", x)}
    y = x
    if config.targets is not None:
        y = activations(f"{config.targets}: targets", read_array(config.targets, config.targets_array))
        if len(y) != len(x):
            raise ConfigError(f"targets must be one row per example: {len(x)}; got {len(y)}")
        about |= {"targets": str(config.targets), "targets_array": config.targets_array, **_digest("y", y)}
    elif config.targets_array is not None:
        raise ConfigError("--targets-array goes with --targets; leave it out")
    d_out = None if y is x else y.shape[1]
    stream = None
    if train:
        stream = _stream(jax.random.key(config.data_seed), x, None if y is x else y, about)
    return Data(x.shape[1], d_out, {**about, "data_seed": config.data_seed}, stream, (x, y))


def _stream(key: PRNGKey, x: np.ndarray, y: np.ndarray | None, about: dict[str, Any]) -> Stream:
    """The arrays' stream, from memory or, where they are large and in files as they are, from there."""
    named = {"x": x} if y is None else {"x": x, "y": y}
    if sum(array.nbytes for array in named.values()) > LOADED:
        rows = [mapped_rows(array, about[f"{name}_sha256"]) for name, array in named.items()]
        if all(r is not None for r in rows):
            return mixed_stream(key, file_stream(key, *rows))  # type: ignore[arg-type]
    return array_stream(key, x, y)


def _cache(config: DataConfig, directory: Path) -> Data:
    """A cache of a language model's activations at a hook point, or from one hook point to another."""
    if config.targets not in (None, directory):
        raise ConfigError("targets of a cache are another hook point in it: give --targets-array alone")
    cache = Cache(directory)
    hook = config.array
    if hook is None:
        listed = ", ".join(cache.hooks)
        if len(cache.hooks) > 1:
            raise ConfigError(f"{directory}: holds {listed}; choose one with --array")
        hook = listed
    return cache_data(cache, hook, config.targets_array, config.data_seed)


def cache_data(cache: Cache, hook: str, target: str | None, data_seed: int, mixing: int = 16) -> Data:
    """The stream of a cache at a hook point, mixed over `mixing` batches, 0 for none."""
    x, y = cache.rows(hook), None if target is None else cache.rows(target)
    key = jax.random.key(data_seed)
    stream = file_stream(key, x, y)
    about = {
        "activations": str(cache.directory),
        "array": hook,
        "targets_array": target,
        "rows": [repr(x), repr(y)],
        "cache": cache.manifest.settings["about"],
        "data_seed": data_seed,
        "mixing": mixing,
    }
    assert isinstance(stream.source, FileActivations)
    available = stream.source.n_examples
    mixed = mixed_stream(key, stream, mixing) if mixing else stream
    return Data(x.width, stream.source.d_out, about, mixed, available=available)


def _digest(name: str, array: np.ndarray) -> dict[str, Any]:
    """Shape and a hash of rows spread over the array, by which a resumed run knows its data."""
    rows = np.linspace(0, len(array) - 1, min(len(array), DIGEST_ROWS)).astype(int)
    data = np.ascontiguousarray(array[rows]).tobytes()
    return {
        f"{name}_shape": list(array.shape),
        f"{name}_dtype": array.dtype.name,
        f"{name}_sha256": hashlib.sha256(data).hexdigest(),
    }


def _toy(config: DataConfig) -> Data:
    from superposition.training import open_sweep
    from superposition.training.toy_results import stored, toy_at

    assert config.toy is not None
    validate.choice("target", config.target, TARGETS)
    results = open_sweep(config.toy)
    at = _cell(results, config.cell, config.toy)
    labels = {name: results[name].values[i].item() for name, i in at.items()}
    run, axes = stored(results)
    one = toy_at(results, run, axes, tuple(at[name] for name in axes))
    require_tied(one.model, "--toy")  # type: ignore[arg-type]
    if config.density is not None:
        recipe_of: Any = one.recipe
        one = replace(
            one, recipe=replace(recipe_of, features=replace(recipe_of.features, density=config.density))
        )
    stream = one.activations(config.data_seed, target=config.target)
    about = {
        "toy": str(config.toy),
        "cell": labels,
        "features": recipe(one.recipe.features),  # type: ignore[union-attr]
        "target": config.target,
        "data_seed": config.data_seed,
        **_digest("W", np.asarray(one.W)),
    }
    return Data(stream.source.d_in, stream.source.d_out, about, stream, None, stream.dictionary, toy=one)


def _cell(results: "xr.Dataset", wanted: tuple[str, ...], path: Path) -> dict[str, int]:
    """Position on every axis of the one model that `wanted` names; of seeds that it leaves open, the lowest loss.

    Seeds are the same problem over again. Models of other axes are not: of these the lowest loss is only the easiest
    problem, so that one has to be named.
    """
    loss = results["loss"]
    axes = [str(d) for d in loss.dims]
    match = np.isfinite(loss.values)
    open_axes = {axis for axis in axes if loss.sizes[axis] > 1}
    for text in wanted:
        name, equals, value = text.partition("=")
        if not equals or name not in axes:
            raise ConfigError(f"--cell takes NAME=VALUE with NAME one of {', '.join(axes)}; got {text!r}")
        labels = results[name].values
        same = np.array([_same(label, value) for label in labels])
        if not same.any():
            raise ConfigError(f"{path} has no {name}={value}; its values are {_listed(labels)}")
        shape = [-1 if axis == name else 1 for axis in axes]
        match = match & same.reshape(shape)
        open_axes.discard(name)
    if open_axes - {"seed"} or (open_axes and not wanted):
        values = "; ".join(f"{axis}: {_listed(results[axis].values)}" for axis in axes if axis in open_axes)
        named = " ".join((*wanted, *(f"{a}={_label(results[a].values[0])}" for a in axes if a in open_axes)))
        raise ConfigError(
            f"{path} holds {loss.size} models; choose one with --cell, for example --cell {named} ({values})"
        )
    if not match.any():
        raise ConfigError(f"{path} has no finished model with a finite loss there; choose another --cell")
    best = np.unravel_index(np.argmin(np.where(match, loss.values, np.inf)), loss.shape)
    chosen = {axis: int(i) for axis, i in zip(axes, best, strict=True)}
    if open_axes:
        named = " ".join(f"{a}={_label(results[a].values[i])}" for a, i in chosen.items())
        print(f"{path}: {named}, the lowest loss of {int(match.sum())} seeds", file=sys.stderr)
    return chosen


def _listed(labels: np.ndarray) -> str:
    shown = ", ".join(_label(label) for label in labels[:20])
    return shown if len(labels) <= 20 else f"{shown} ... ({len(labels)} in all)"


def _label(label: Any) -> str:
    """A value of an axis as --cell finds it again."""
    short = f"{label:g}" if isinstance(label, float) else str(label)
    return short if _same(label, short) else repr(float(label))


def _same(label: Any, text: str) -> bool:
    try:
        return bool(np.isclose(float(label), float(text), rtol=1e-6, atol=0))
    except ValueError:
        return str(label) == text
