"""NumPy's .npz of an SAE: names, shapes and sizes from the archive's directory and the headers, before any data."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from superposition._internal import arrays as stranger_arrays
from superposition.errors import ConfigError, CorruptError
from superposition.storage.formats import _read
from superposition.storage.formats._read import Arrays, Shapes

MAX_MEMBERS = 64
MAX_RATIO = 20  # of all arrays to the file: weights hardly compress
DTYPES = (np.dtype(np.float32), np.dtype(np.float16))


def read_npz(path: Path) -> Arrays:
    """Every array of an .npz as float32; the caller checks names against `npz_shapes` first."""
    with _opened(path) as archive:
        _check(path, archive)
        return {name: archive.read(name).astype(np.float32, copy=False) for name in archive.names}


def npz_shapes(path: Path) -> Shapes:
    """The shape of every array, from the headers alone; CorruptError for any that is not float32 or float16."""
    with _opened(path) as archive:
        return _check(path, archive)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[stranger_arrays.Npz]:
    """The archive; objects, records and bombs are no fault of a setting here."""
    try:
        with stranger_arrays.open_npz(_read.regular(path)) as archive:
            yield archive
    except ConfigError as error:
        raise CorruptError(str(error)) from error


def _check(path: Path, archive: stranger_arrays.Npz) -> Shapes:
    if archive.others or len(archive.names) > MAX_MEMBERS:
        members = [*archive.names, *archive.others]
        raise CorruptError(f"{path}: expected <= {MAX_MEMBERS} .npy members alone, got {members[:8]}")
    headers = {name: archive.header(name) for name in archive.names}
    for name, header in headers.items():
        if header.dtype.newbyteorder("=") not in DTYPES:
            raise CorruptError(f"{path}: {name}: expected float32 or float16, got {header.dtype}")
    total, size = sum(header.nbytes for header in headers.values()), path.stat().st_size
    if total > min(_read.MAX_BYTES, MAX_RATIO * size + _read.MAX_JSON):
        raise CorruptError(f"{path}: expected arrays of <= {MAX_RATIO} times its {size} bytes, got {total}")
    return {name: header.shape for name, header in headers.items()}


def write_npz(arrays: Arrays) -> bytes:
    """An uncompressed .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
