"""Files that somebody else wrote: JSON of bounded size, safetensors whose header is looked at before anything else."""

import math
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from superposition._internal.strict_json import strict_json
from superposition.errors import CorruptError, StoreError

MAX_JSON = 8 << 20  # bytes; the index of a model of a thousand tensors has 100 kB
MAX_HEADER = 8 << 20
MAX_TENSORS = 4096
NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,200}")
DTYPES: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


def regular(path: Path) -> Path:
    """The path, if a regular file is there (or linked there); else StoreError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(f"{path}: expected a regular file, got something else")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; check the path") from error
    return path


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object in UTF-8: numbers finite, keys distinct, at most MAX_JSON bytes; or CorruptError."""
    with open(regular(path), "rb") as file:
        data = file.read(MAX_JSON + 1)
    if len(data) > MAX_JSON:
        raise CorruptError(f"{path}: expected <= {MAX_JSON} bytes of JSON, got more")
    return strict_json(path, data)


@dataclass(frozen=True)
class Stored:
    """A tensor in a safetensors file: its shape and dtype are from the header, `read` takes the values."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: str

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The values (or rows) as they are stored: float32, float16 or bfloat16; CorruptError unless finite."""
        try:
            with safe_open(self.path, "numpy") as file:
                array = np.asarray(file.get_slice(self.key)[rows])
        except (OSError, SafetensorError) as error:
            raise CorruptError(f"{self.path}: tensor {self.key}: {error}") from error
        if not math.isfinite(float(array.sum(dtype=np.float64))):  # no room for a mask of a large table
            raise CorruptError(
                f"{self.path}: tensor {self.key}: expected finite numbers, got NaN or infinity"
            )
        return array


def header(path: Path) -> dict[str, Stored]:
    """What a safetensors file holds, without reading it; or CorruptError."""
    with open(regular(path), "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise CorruptError(f"{path}: expected a header of <= {MAX_HEADER} bytes, got {length}")
    try:
        with safe_open(path, "numpy") as file:
            keys = list(file.keys())
            if len(keys) > MAX_TENSORS or not all(map(NAME.fullmatch, keys)):
                odd = [key[:80] for key in keys if not NAME.fullmatch(key)][:8]
                raise CorruptError(f"{path}: expected <= {MAX_TENSORS} plain names, got {len(keys)}, {odd}")
            slices = {key: file.get_slice(key) for key in keys}
            return {k: Stored(path, k, tuple(s.get_shape()), s.get_dtype()) for k, s in slices.items()}
    except (OSError, SafetensorError) as error:
        raise CorruptError(f"{path}: not a safetensors file, or damaged: {error}") from error
