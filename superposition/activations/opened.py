"""Activations that somebody wrote to files, opened: a stream to train on, and what a run remembers of them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from superposition._internal import validate
from superposition.activations._base import Stream
from superposition.activations.array import activations, array_stream
from superposition.activations.cache import Cache, is_cache
from superposition.activations.files import FileActivations, file_stream, mapped_rows
from superposition.activations.mixing import mixed_stream
from superposition.activations.read import read_array
from superposition.errors import ConfigError
from superposition.typing import PRNGKey

DIGEST_ROWS = 1024
LOADED = 2**30  # bytes of arrays that are loaded to train on; more are read from their files


class ActivationData(NamedTuple):
    """Activations and what is known of them.

    stream: to train on, None for arrays that are only measured on. arrays: x and y of a file. dictionary: true
    directions (n_features, d_in) of the features in the batches. about: JSON that says what the data are.
    metadata: where the SAE belongs, as SAELens says it. unit: what an example is. available: how many there are, None
    for any number. keep: writes into the working directory of a run what a resumed run would not find again.
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


def open_activations(
    path: str | Path,
    array: str | None = None,
    *,
    targets: str | Path | None = None,
    targets_array: str | None = None,
    seed: int = 0,
    stream: bool = True,
) -> ActivationData:
    """Open activations (examples, d_in) in a .npy, .npz, .safetensors or Zarr file, or in a cache of a language model.

    array: the name of the array in the file, or the hook point of the cache, where there are several. targets,
    targets_array: what a transcoder predicts, (examples, d_out), from a file of its own or from the same cache. seed:
    decides the order of the examples. stream=False leaves out the stream over arrays that are only measured on. Arrays
    of up to 1 GiB are loaded, larger ones are read from their files. Raises ConfigError for a file that is not there,
    of another kind or without that array, and for activations that are not finite; CorruptError for a damaged file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/x.npy", np.eye(4, dtype=np.float32))
    ...     data = open_activations(folder + "/x.npy")
    >>> data.d_in, data.stream.source.n_examples
    (4, 4)
    """
    path = Path(path)
    targets = None if targets is None else Path(targets)
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    if is_cache(path):
        if targets not in (None, path):
            raise ConfigError("targets of a cache are another hook point in it: give --targets-array alone")
        cache = Cache(path)
        if array is None and len(cache.hooks) > 1:
            raise ConfigError(f"{path}: holds {', '.join(cache.hooks)}; choose one with --array")
        return cache_data(cache, array or ", ".join(cache.hooks), targets_array, seed=seed)
    x = activations(f"{path}: activations", read_array(path, array))
    about = {"activations": str(path), "array": array, **array_digest("x", x)}
    y = x
    if targets is not None:
        y = activations(f"{targets}: targets", read_array(targets, targets_array))
        if len(y) != len(x):
            raise ConfigError(f"targets must be one row per example: {len(x)}; got {len(y)}")
        about |= {"targets": str(targets), "targets_array": targets_array, **array_digest("y", y)}
    elif targets_array is not None:
        raise ConfigError("--targets-array goes with --targets; leave it out")
    other = None if y is x else y
    made = _stream(jax.random.key(seed), x, other, about) if stream else None
    d_out = None if other is None else other.shape[1]
    return ActivationData(x.shape[1], d_out, {**about, "data_seed": seed}, made, (x, y))


def _stream(key: PRNGKey, x: np.ndarray, y: np.ndarray | None, about: dict[str, Any]) -> Stream:
    """The arrays' stream, from memory or, where they are large and in files as they are, from there."""
    named = {"x": x} if y is None else {"x": x, "y": y}
    if sum(array.nbytes for array in named.values()) > LOADED:
        rows = [mapped_rows(array, about[f"{name}_sha256"]) for name, array in named.items()]
        if all(r is not None for r in rows):
            return mixed_stream(key, file_stream(key, *rows))  # type: ignore[arg-type]
    return array_stream(key, x, y)


def cache_data(
    cache: Cache, hook: str, target: str | None = None, *, seed: int = 0, mixing: int = 16
) -> ActivationData:
    """Activations in a cache at a hook point (and at `target`, for a transcoder), mixed over `mixing` batches."""
    x, y = cache.rows(hook), None if target is None else cache.rows(target)
    key = jax.random.key(seed)
    stream = file_stream(key, x, y)
    about = {
        "activations": str(cache.directory),
        "array": hook,
        "targets_array": target,
        "rows": [repr(x), repr(y)],
        "cache": cache.manifest.settings["about"],
        "data_seed": seed,
        "mixing": mixing,
    }
    assert isinstance(stream.source, FileActivations)
    mixed = mixed_stream(key, stream, mixing) if mixing else stream
    return ActivationData(x.width, stream.source.d_out, about, mixed, available=stream.source.n_examples)


def array_digest(name: str, array: np.ndarray) -> dict[str, Any]:
    """Shape and a hash of rows spread over the array, by which a resumed run knows its data."""
    rows = np.linspace(0, len(array) - 1, min(len(array), DIGEST_ROWS)).astype(int)
    data = np.ascontiguousarray(array[rows]).tobytes()
    return {
        f"{name}_shape": list(array.shape),
        f"{name}_dtype": array.dtype.name,
        f"{name}_sha256": hashlib.sha256(data).hexdigest(),
    }
