"""NumPy's .npz: names, shapes and sizes from the archive's directory and the headers, before any data."""

import contextlib
import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from superposition.errors import CorruptError
from superposition.formats import _read
from superposition.formats._read import Arrays, Shapes

MAX_ARRAY_HEADER = 10_000  # bytes: numpy's own limit
MAX_MEMBERS = 64
MAX_RATIO = 20  # of all arrays to the file: weights hardly compress
DTYPES = {np.dtype("<f4"): "F32", np.dtype("<f2"): "F16"}
ERRORS = (
    EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, SyntaxError, TypeError, ValueError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npz(path: Path) -> Arrays:
    """Every array of an .npz as float32; the caller checks names against `npz_shapes` first."""
    with opened(path) as archive:
        arrays = {}
        for info in _members(path, archive):
            with _member(path, archive, info) as (file, shape, dtype, order):
                count = math.prod(shape) * dtype.itemsize
                data = file.read(count)
                if len(data) != count or file.read(1):
                    raise CorruptError(f"{path}: {info.filename}: expected {count} bytes, got others")
                flat = _read.to_float32(DTYPES[dtype], data)
                arrays[info.filename[:-4]] = flat.reshape(shape, order=order)
    return arrays


def npz_shapes(path: Path) -> Shapes:
    """The shape of every array, from the headers alone; CorruptError for any that is not float32 or float16."""
    with opened(path) as archive:
        shapes = {}
        for info in _members(path, archive):
            with _member(path, archive, info) as (_, shape, _dtype, _order):
                shapes[info.filename[:-4]] = shape
    return shapes


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose every failure is a CorruptError with the file's name."""
    target = _read.regular(path)
    try:
        with zipfile.ZipFile(target) as archive:
            yield archive
    except ERRORS as error:
        raise CorruptError(f"{path}: expected a sound zip archive, got {error}") from error


def _members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    names = [info.filename for info in members]
    if len(members) > MAX_MEMBERS or len(set(names)) < len(names):
        raise CorruptError(
            f"{path}: expected <= {MAX_MEMBERS} distinct members, got {len(names)}: {names[:8]}"
        )
    for info in members:
        if not info.filename.endswith(".npy") or info.flag_bits & 1 or info.file_size > _read.MAX_BYTES:
            raise CorruptError(f"{path}: expected plain .npy members, got {info.filename[:80]!r}")
    total, size = sum(info.file_size for info in members), path.stat().st_size
    if total > min(_read.MAX_BYTES, MAX_RATIO * size + _read.MAX_JSON):
        raise CorruptError(f"{path}: expected arrays of <= {MAX_RATIO} times its {size} bytes, got {total}")
    return members


@contextlib.contextmanager
def _member(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any], Any]]:
    """One member after its header: the rest of it, with shape, dtype and order."""
    name = f"{path}: {info.filename}"
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise CorruptError(f"{name}: expected .npy version 1 or 2, got {version}")
        old = version == (1, 0)
        head = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header of Python 2 is still only a header
            shape, fortran, dtype = head(file, max_header_size=MAX_ARRAY_HEADER)
        if dtype not in DTYPES:
            raise CorruptError(f"{name}: expected float32 or float16, got {dtype}; objects are never read")
        # A shape is believed only as far as the archive's directory has the bytes for it.
        data, size = math.prod(shape) * dtype.itemsize, info.file_size
        if any(n < 0 for n in shape) or not data + 10 <= size <= data + 12 + MAX_ARRAY_HEADER:
            raise CorruptError(f"{name}: expected {data} bytes for shape {shape}, got {size}")
        yield file, shape, dtype, "F" if fortran else "C"


def write_npz(arrays: Arrays) -> bytes:
    """An uncompressed .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
