"""Files that others wrote: regular files, JSON of bounded size, and the headers of safetensors files.

Every size is checked before anything of that size is read, nothing in a file is executed, and what is not as it should
be is one error that names the file. Importing this does not import JAX.
"""

import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from superposition._internal.strict_json import strict_json
from superposition.errors import CorruptError, StoreError

MAX_HEADER = 8 << 20  # bytes of a safetensors header
MAX_TENSORS = 4096
MAX_RANK = 8

# safetensors' name of a dtype: numpy's, of those that numpy can hold as numbers.
DTYPES: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16,
    "U8": np.uint8,
}  # fmt: skip
FLOATS = ("F32", "F16", "BF16")  # in which weights are stored
OTHERS = {"BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "C64": 8}  # what a header may say and nothing here reads
SIZES = {name: np.dtype(dtype).itemsize for name, dtype in DTYPES.items()} | OTHERS  # bytes of a number


class Entry(NamedTuple):
    """A tensor as the header of a safetensors file has it; offset counts from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


def regular(path: Path) -> Path:
    """The path, if a regular file is there or linked there; else StoreError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(f"{path}: expected a regular file, got something else")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; check the path") from error
    return path


def bounded_json(path: Path, file: BinaryIO, most: int) -> dict[str, Any]:
    """One JSON object in UTF-8: numbers finite, keys distinct, at most `most` bytes; or CorruptError."""
    data = file.read(most + 1)
    if len(data) > most:
        raise CorruptError(f"{path}: expected <= {most} bytes of JSON, got more")
    return strict_json(path, data)


def raw_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], int, int]:
    """The header of a safetensors file as JSON, its length, and the size of the file; or CorruptError."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(MAX_HEADER, size - 8):
        raise CorruptError(f"{path}: expected a header of <= {MAX_HEADER} bytes within {size}, got {length}")
    return strict_json(path, file.read(length)), length, size


def entries(path: Path, file: BinaryIO, most: int) -> tuple[dict[str, Entry], int, int]:
    """The tensors of a safetensors file by name, the byte at which data start, and the size of the file.

    Raises CorruptError unless the tensors, of at most `most` bytes each, fill the file without holes or overlaps.
    """
    header, length, size = raw_header(path, file)
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise CorruptError(f"{path}: expected <= {MAX_TENSORS} tensors, got {len(header)}")
    tensors, spans = {}, []
    for name, entry in header.items():
        try:
            dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
            numbers = [first, last, *shape]
            if len(shape) > MAX_RANK or any(type(n) is not int or not 0 <= n <= most for n in numbers):
                raise ValueError("sizes out of range")
            if last - first != math.prod(shape) * SIZES[dtype]:
                raise ValueError("a length that is not shape times dtype")
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{path}: tensor {name[:80]!r}: {entry!r:.200}: {error}") from error
        tensors[name] = Entry(dtype, tuple(shape), first)
        spans.append((first, last))
    end = 0
    for first, last in sorted(spans):  # no holes, no overlaps, nothing after: what safetensors promises
        if first != end:
            raise CorruptError(f"{path}: expected a tensor at byte {end}, got one at {first}")
        end = last
    if size != 8 + length + end:
        raise CorruptError(f"{path}: expected {8 + length + end} bytes, got {size}")
    return tensors, 8 + length, size
