"""NumPy files that somebody else wrote: .npy is mapped and .npz read, and what a header says is checked first.

A header is matched against the few forms that describe plain numbers, and never parsed as Python. A shape is believed
only where the file has exactly its bytes, and a member of an .npz only where it is not compressed more than MAX_FOLD
times. Arrays come as they are stored, in either byte order (`native` gives the machine's).
"""

import contextlib
import math
import os
import re
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError

MAX_HEADER = 10_000  # bytes: numpy's own limit
MAX_RANK = 32
MAX_MEMBERS = 4096
MAX_FOLD = 100  # how much larger than its compressed bytes an array may be: 1000 is what zeros reach
SMALL = 1 << 20  # bytes of an array that is never too much
PIECE = 8 << 20  # bytes read at once
SAVE = "save plain numbers with np.save or np.savez"
FAULTS = (
    EOFError, LookupError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError, TypeError,
    ValueError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_ENTRY = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*
    ((['"])(?P<descr>[<>=|]?[A-Za-z?][A-Za-z0-9]{0,15}(\[\w{1,8}\])?)\4
    |(?P<order>True|False)|\((?P<shape>[0-9L,\s]{0,800})\))\s*(,|(?=\}))""",
    re.VERBOSE,
)
_RECORDS = re.compile(r"""['"]descr['"]\s*:\s*[\[(]""")
_PLAIN = re.compile(
    r"(?!/)(?!(.*/)?\.\./)[^\\\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,200}"
)


class Header(NamedTuple):
    """What an array's header says, and the byte at which its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Literal["C", "F"]
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def native(array: Any) -> Any:
    """The same numbers in this machine's byte order, which is the only one that JAX takes."""
    if isinstance(array, np.ndarray | np.generic) and not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array


def no_numbers(dtype: np.dtype[Any]) -> str:
    """What to say of a dtype that is not one of numbers."""
    if dtype.kind == "V" and dtype.names is None and dtype.itemsize in (1, 2):
        was = "bfloat16" if dtype.itemsize == 2 else "float8"
        return (
            f"must be numbers; got dtype {dtype}, bare bytes: np.save loses the name of {was}; "
            "save them as float32, or in .safetensors"
        )
    return f"must be numbers; got dtype {dtype}"


def regular(path: Path) -> Path:
    """The path, if a file that ends is there; ConfigError where none is, StoreError where the system refuses."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: there is no such file; check the path") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; make it readable") from error
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path} cannot be read: expected a regular file, got something else")
    return path


def is_npz(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    with _reading(path), open(regular(path), "rb") as file:
        return file.read(2) == b"PK"


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped. Raises ConfigError, CorruptError and StoreError, with the path."""
    with _reading(path), open(regular(path), "rb") as file:
        header = _header(str(path), file, os.fstat(file.fileno()).st_size)
        if not header.nbytes:
            return np.zeros(header.shape, header.dtype)
        return np.memmap(file, header.dtype, "r", header.start, header.shape, header.order)


class Npz:
    """An open .npz; `names` are those of its arrays, members without their .npy, and `others` are no arrays."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise CorruptError(f"{path}: expected <= {MAX_MEMBERS} members, got {len(members)}")
        self.path, self._archive = path, archive
        self._members = {info.filename[:-4]: info for info in members if info.filename.endswith(".npy")}
        if len({info.filename for info in members}) < len(members):
            raise CorruptError(f"{path}: expected distinct members, got {len(members)}, some of one name")
        if odd := [info.filename for info in members if not _PLAIN.fullmatch(info.filename)]:
            raise CorruptError(f"{path}: expected members with plain names, got {odd[0][:80]!a}")
        self.names = list(self._members)
        self.others = [info.filename for info in members if not info.filename.endswith(".npy")]

    def header(self, name: str) -> Header:
        """The header of an array."""
        info = self._sound(name)
        with self._archive.open(info) as file:
            return _header(self._where(name), file, info.file_size)

    def read(self, name: str) -> np.ndarray:
        """An array; ConfigError where it is compressed more than MAX_FOLD times."""
        info = self._sound(name)
        packed = min(info.compress_size, os.path.getsize(self.path))
        if info.file_size > MAX_FOLD * packed + SMALL:
            raise ConfigError(
                f"{self._where(name)}: {packed:,} bytes claim to hold {info.file_size:,}, more than {MAX_FOLD} times "
                "as many; if they are yours, save them with np.save or np.savez, which do not compress"
            )
        with self._archive.open(info) as file:
            header = _header(self._where(name), file, info.file_size)
            try:
                flat = np.empty(header.nbytes, np.uint8)
            except MemoryError as error:
                raise StoreError(
                    f"{self._where(name)}: {header.nbytes:,} bytes do not fit in memory; save it as .npy, "
                    "which is read in parts"
                ) from error
            for begin in range(0, len(flat), PIECE):
                piece = file.read(min(PIECE, len(flat) - begin))
                flat[begin : begin + len(piece)] = np.frombuffer(piece, np.uint8)
                if len(piece) < min(PIECE, len(flat) - begin):
                    raise CorruptError(f"{self._where(name)}: expected {len(flat)} bytes, got fewer")
            file.read(1)  # past the end, where the archive checks its sum
        return flat.view(header.dtype).reshape(header.shape, order=header.order)

    def _where(self, name: str) -> str:
        return f"{self.path}: {name}"

    def _sound(self, name: str) -> zipfile.ZipInfo:
        info = self._members[name]
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CorruptError(f"{self._where(name)}: expected a member stored or deflated; {SAVE}")
        return info


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """The arrays of an .npz. Raises ConfigError, CorruptError and StoreError, with the path, there and inside."""
    with open_zip(path) as archive:
        yield Npz(path, archive)


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose every failure is an error of ours with the file's name."""
    with _reading(path), zipfile.ZipFile(regular(path)) as archive:
        yield archive


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except SuperpositionError:
        raise
    except PermissionError as error:
        raise StoreError(f"{path}: {error.strerror}; make it readable") from error
    except FAULTS as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorruptError(f"{path} cannot be read, it is damaged or no file of numpy's: {words}") from error


def _header(where: str, file: IO[bytes], size: int) -> Header:
    """The header at the start of `file`, which has `size` bytes in all."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY" or magic[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise CorruptError(f"{where} cannot be read: expected an array as np.save writes it; {SAVE}")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > min(MAX_HEADER, size - 8 - width):
        raise CorruptError(
            f"{where} cannot be read: expected a header of <= {MAX_HEADER} bytes within {size}, got {length}"
        )
    text = file.read(length).decode("latin-1" if magic[6] < 3 else "utf-8")
    shape, dtype, order = _described(where, text)
    header = Header(shape, dtype, order, 8 + width + length)
    if header.start + header.nbytes != size:
        raise CorruptError(
            f"{where} cannot be read: expected {header.nbytes} bytes for shape {shape} of {dtype}, got {size - header.start}"
        )
    return header


def _described(where: str, text: str) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"]]:
    """Shape, dtype and order that a header gives."""
    if _RECORDS.search(text):
        raise ConfigError(f"{where} cannot be read: it holds records of several fields; {SAVE}")
    found: dict[str, str] = {}
    rest = text.strip()
    at = 1 if rest[:1] == "{" else len(rest)
    while entry := _ENTRY.match(rest, at):
        value = entry[{"fortran_order": "order"}.get(entry["key"], entry["key"])]
        if value is None or entry["key"] in found:
            break
        found[entry["key"]], at = value, entry.end()
    sizes = [one.strip().removesuffix("L") for one in found.get("shape", "").split(",")]
    sizes = sizes[:-1] if sizes[-1] == "" else sizes
    if len(found) < 3 or rest[at:].strip() != "}" or not all(re.fullmatch("[0-9]{1,18}", n) for n in sizes):
        raise CorruptError(
            f"{where} cannot be read: expected a header with descr, fortran_order and shape, got {text[:40]!a}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that numpy will drop one day
            dtype = np.dtype(found["descr"])
    except TypeError as error:
        raise CorruptError(
            f"{where} cannot be read: expected the name of a dtype, got {found['descr']!r}"
        ) from error
    if dtype.hasobject:
        raise ConfigError(
            f"{where} cannot be read: it holds Python objects (a pickle), which are never loaded; {SAVE}"
        )
    shape = tuple(map(int, sizes))
    if len(shape) > MAX_RANK or not dtype.itemsize:
        raise CorruptError(
            f"{where} cannot be read: expected an array of numbers, got {dtype} of shape {shape}"
        )
    return shape, dtype, "F" if found["fortran_order"] == "True" else "C"
