"""Zarr arrays that somebody else wrote: every chunk has to be there, and to have bytes for what the metadata claim.

Zarr reads a chunk that is missing as the fill value, and so a few hundred bytes of JSON as gigabytes of zeros.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import arrays
from superposition.errors import ConfigError, CorruptError, SuperpositionError

CHUNK = 64 << 20  # bytes of a chunk that is never too much
MEND = "if that is meant, write it with write_empty_chunks=True and less compression, or save it as .npy"


def read_zarr(path: Path, name: str | None, pick: Callable[[Path, list[str], str | None], str]) -> np.ndarray:
    """The array at `path`, or that of the group there which `pick` chooses by `name`; ConfigError, CorruptError."""
    import zarr

    try:
        node: Any = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Group):
            node = node[pick(path, sorted(key for key, _ in node.arrays()), name)]
        elif name is not None:
            raise ConfigError(f"{path}: a Zarr array without a name; leave --array out")
        _bounded(path, node)
        array = np.asarray(node[...])
        if node.shards is not None and not np.array_equal(array, _otherwise(node), equal_nan=True):
            raise CorruptError(f"{path}: chunks inside its shards are missing; {MEND}")
        return array
    except SuperpositionError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: a directory that is no Zarr array or group; give a file") from error
    except Exception as error:  # codecs raise what they like
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorruptError(f"{path} cannot be read as Zarr: {words}") from error


def _bounded(path: Path, node: Any) -> None:
    """Raise for what is no array of numbers, and for one that its files are too small or too few to hold."""
    if node.dtype.kind not in "fiu":
        raise ConfigError(f"{path}: activations {arrays.no_numbers(node.dtype)}")
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path / node.path) for name in names]
    held = sum(os.path.getsize(file) for file in files)
    stored = node.shards or node.chunks  # what one file holds
    chunk = math.prod(stored) * node.dtype.itemsize
    if node.nbytes > arrays.MAX_FOLD * held + arrays.SMALL or chunk > arrays.MAX_FOLD * held + CHUNK:
        raise CorruptError(
            f"{path}: {held:,} bytes in {len(files)} files claim to hold {max(node.nbytes, chunk):,}: chunks are missing, "
            f"or compressed more than {arrays.MAX_FOLD} times; {MEND}"
        )
    wanted = math.prod(-(-n // size) for n, size in zip(node.shape, stored, strict=True))
    if len(files) < wanted or node.nchunks_initialized < node.nchunks:
        raise CorruptError(f"{path}: expected {wanted} chunks, got fewer: some are missing; {MEND}")


def _otherwise(node: Any) -> np.ndarray:
    """The same array where a chunk that is missing would read as another number."""
    import zarr

    metadata = node.metadata.to_dict()
    value = 1 if np.all(node.fill_value == 0) else 0
    return np.asarray(zarr.Array.from_dict(node.store_path, {**metadata, "fill_value": value})[...])
