"""Files that somebody else wrote: JSON of bounded size, safetensors whose header is looked at before anything else."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from superposition._internal import foreign
from superposition._internal.foreign import regular
from superposition.errors import CorruptError

MAX_JSON = 8 << 20  # bytes; the index of a model of a thousand tensors has 100 kB
MAX_BYTES = 1 << 50  # of one tensor: only what a file has is ever read
NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,200}")
DTYPES: dict[str, Any] = {name: foreign.DTYPES[name] for name in foreign.FLOATS}


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object in UTF-8: numbers finite, keys distinct, at most MAX_JSON bytes; or CorruptError."""
    with open(regular(path), "rb") as file:
        return foreign.bounded_json(path, file, MAX_JSON)


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
    try:
        with open(regular(path), "rb") as file:
            tensors, _, _ = foreign.entries(path, file, MAX_BYTES)
    except OSError as error:
        raise CorruptError(f"{path}: not a safetensors file, or damaged: {error}") from error
    if odd := [name[:80] for name in tensors if not NAME.fullmatch(name)]:
        raise CorruptError(f"{path}: expected plain names of tensors, got {odd[:8]}")
    return {name: Stored(path, name, it.shape, it.dtype) for name, it in tensors.items()}
