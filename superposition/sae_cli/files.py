"""Activations in files that somebody else wrote: .npy and .safetensors memory-mapped, .npz and Zarr read.

Nothing in a file is executed (no pickles), and every failure is one error that names the file.
"""

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from superposition.errors import ConfigError, CorruptError, StoreError

FAULTS = (
    EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError, SyntaxError,
    TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
SAFETENSORS: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16,
    "U8": np.uint8,
}  # fmt: skip


def read_array(path: Path, name: str | None = None) -> np.ndarray:
    """The array of a file, memory-mapped where the format allows; `name` picks one of several.

    Raises ConfigError for a file that is not there, of another kind, or without that array, CorruptError for
    one that cannot be read as what it is, StoreError where the system refuses.
    """
    if path.is_dir():
        return _zarr(path, name)
    if not path.exists():
        raise ConfigError(f"{path}: no such file; give a .npy, .npz, .safetensors or Zarr array")
    readers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}
    if path.suffix not in readers:
        raise ConfigError(
            f"{path}: activations are read from .npy, .npz, .safetensors and Zarr; convert them"
        )
    try:
        array = readers[path.suffix](path, name)
    except (ConfigError, StoreError):
        raise
    except PermissionError as error:
        raise StoreError(f"{path}: {error.strerror}; make it readable") from error
    except FAULTS as error:
        if any(words in str(error) for words in ("Object arrays", "allow_pickle", "Python objects")):
            raise ConfigError(
                f"{path}: holds Python objects (a pickle), which are never loaded; save plain numbers"
            ) from error
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorruptError(f"{path}: cannot be read as {path.suffix}: {words}") from error
    return array


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
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _npz(path: Path, name: str | None) -> np.ndarray:
    # Opened here: numpy leaves a file open whose archive is damaged.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        array: np.ndarray = archive[_pick(path, list(archive.files), name)]
    return array


def _safetensors(path: Path, name: str | None) -> np.ndarray:
    import safetensors

    # The library checks the layout; the bytes are then mapped, as it has no bfloat16 for numpy.
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            chosen = _pick(path, sorted(file.keys()), name)
    except safetensors.SafetensorError as error:
        raise CorruptError(f"{path}: {error}") from error
    with open(path, "rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        entry = json.loads(raw.read(length))[chosen]
    shape, dtype = tuple(entry["shape"]), entry["dtype"]
    if dtype not in SAFETENSORS:
        raise ConfigError(f"{path}: {chosen} must be numbers; got dtype {dtype}")
    if math.prod(shape) == 0:
        return np.zeros(shape, SAFETENSORS[dtype])
    start = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, SAFETENSORS[dtype], "r", offset=start, shape=shape)


def _zarr(path: Path, name: str | None) -> np.ndarray:
    import zarr

    try:
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Group):
            node = node[_pick(path, sorted(key for key, _ in node.arrays()), name)]
        elif name is not None:
            raise ConfigError(f"{path}: a Zarr array without a name; leave --array out")
        if not isinstance(node, zarr.Array):
            raise ConfigError(f"{path}: {name} is not an array")
        return np.asarray(node[...])
    except ConfigError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: a directory that is no Zarr array or group; give a file") from error
    except Exception as error:  # codecs raise what they like
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorruptError(f"{path}: cannot be read as Zarr: {words}") from error
