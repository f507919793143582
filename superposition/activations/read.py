"""Activations in files that somebody else wrote: .npy and .safetensors memory-mapped, .npz and Zarr read.

Nothing in a file is executed (no pickles), and every failure is one error that names the file.
"""

import json
import math
from pathlib import Path

import numpy as np

from superposition._internal import arrays, foreign
from superposition.activations._zarr import read_zarr
from superposition.errors import ConfigError, CorruptError, StoreError


def read_array(path: Path, name: str | None = None) -> np.ndarray:
    """The array of a file, memory-mapped where the format allows; `name` picks one of several.

    Raises ConfigError for a file that is not there, of another kind, or without that array, CorruptError for
    one that cannot be read as what it is, StoreError where the system refuses.
    """
    if path.is_dir():
        return read_zarr(path, name, _pick)
    readers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}
    if path.suffix not in readers and path.exists():
        raise ConfigError(
            f"{path}: activations are read from .npy, .npz, .safetensors and Zarr; convert them"
        )
    if path.suffix not in readers:
        raise ConfigError(f"{path}: no such file; give a .npy, .npz, .safetensors or Zarr array")
    return readers[path.suffix](path, name)


def _pick(path: Path, names: list[str], name: str | None) -> str:
    """The array asked for, or the only one."""
    listed = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    if name is None and len(names) != 1:
        raise ConfigError(f"{path}: holds {len(names)} arrays ({listed}); choose one with --array")
    if name is not None and name not in names:
        raise ConfigError(f"{path}: no array named {name!r}; it holds {listed or 'none'}")
    return names[0] if name is None else name


def _npy(path: Path, name: str | None) -> np.ndarray:
    if name is not None:
        raise ConfigError(f"{path}: a .npy file holds one array without a name; leave --array out")
    return arrays.read_npy(path)


def _npz(path: Path, name: str | None) -> np.ndarray:
    with arrays.open_npz(path) as archive:
        return archive.read(_pick(path, archive.names, name))


def _safetensors(path: Path, name: str | None) -> np.ndarray:
    import safetensors

    # The library checks the layout; the bytes are then mapped, as it has no bfloat16 for numpy.
    try:
        with safetensors.safe_open(arrays.regular(path), framework="numpy") as file:
            chosen = _pick(path, sorted(file.keys()), name)
        with open(path, "rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            entry = json.loads(raw.read(length))[chosen]
    except PermissionError as error:
        raise StoreError(f"{path}: {error.strerror}; make it readable") from error
    except (OSError, RecursionError, safetensors.SafetensorError) as error:
        raise CorruptError(f"{path} cannot be read as .safetensors: {error}") from error
    shape, dtype = tuple(entry["shape"]), entry["dtype"]
    if dtype not in foreign.DTYPES:
        raise ConfigError(f"{path}: {chosen} must be numbers; got dtype {dtype}")
    if math.prod(shape) == 0:
        return np.zeros(shape, foreign.DTYPES[dtype])
    start = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, foreign.DTYPES[dtype], "r", offset=start, shape=shape)
