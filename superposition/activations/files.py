"""Activations in files larger than memory: contiguous blocks of rows, in an order that is a function of the key."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.activations._base import Batch, Source, Stream
from superposition.activations.array import permuted
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.features import key_words
from superposition.features._draw import mix, substream
from superposition.typing import PRNGKey, PyTree

ROTATION = 9  # the substream of the key that says where an epoch's first block begins
AS_STORED = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


class Piece(NamedTuple):
    """Consecutive rows in a file, from the byte `offset` on, and the file's size and time when it was found good."""

    path: Path
    offset: int
    rows: int
    stamp: tuple[int, int]


def stamp(file: FileIO) -> tuple[int, int]:
    """Size and time of last change of an open file."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


class Rows:
    """Rows (n, width) of numbers in files, read when asked for and never held. `digest` tells contents apart."""

    def __init__(self, pieces: Sequence[Piece], width: int, dtype: np.dtype, digest: str) -> None:
        self.pieces, self.width, self.dtype, self.digest = tuple(pieces), width, dtype, digest
        self._ends = np.cumsum([piece.rows for piece in pieces])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and (repr(self), self.pieces) == (repr(other), other.pieces)

    def __hash__(self) -> int:
        return hash((repr(self), self.pieces))

    def __repr__(self) -> str:
        """The content and not its place: by this a resumed run knows its data."""
        return f"Rows({len(self)}, {self.width}, {self.dtype}, {self.digest})"

    @property
    def read_dtype(self) -> np.dtype:
        """What `read` gives: the dtype of the files where XLA has it, else float32."""
        return self.dtype if self.dtype in AS_STORED else np.dtype(np.float32)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The rows (r,) asked for, in that order: (r, width). Raises CorruptError if a file has changed."""
        out = np.empty((len(rows), self.width), self.dtype)
        raw, row_bytes = out.reshape(-1).view(np.uint8).data, out.itemsize * self.width
        owner = np.searchsorted(self._ends, rows, "right")
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(owner) != 0)) + 1
        with ExitStack() as stack:
            files: dict[int, FileIO] = {}
            for a, b in pairwise((0, *breaks.tolist(), len(rows))):
                number = int(owner[a])
                piece = self.pieces[number]
                if number not in files:
                    files[number] = stack.enter_context(_opened(piece))
                row = int(rows[a]) - int(self._ends[number]) + piece.rows
                _fill(files[number], raw[a * row_bytes : b * row_bytes], piece.offset + row * row_bytes)
        return out.astype(self.read_dtype, copy=False)


def _opened(piece: Piece) -> FileIO:
    try:
        file = FileIO(piece.path)
    except OSError as error:
        raise StoreError(f"{piece.path}: {error.strerror}; its activations were being read") from error
    if (got := stamp(file)) != piece.stamp:
        file.close()
        said = "{} bytes, changed at {} ns".format
        raise CorruptError(f"{piece.path}: expected {said(*piece.stamp)}, got {said(*got)}; open it again")
    return file


def _fill(file: FileIO, into: memoryview, offset: int) -> None:
    """Read all of `into`: reads, unlike a map, leave nothing in this process's memory and cannot fault."""
    done = 0
    while done < len(into):
        try:
            count = os.preadv(file.fileno(), [into[done:]], offset + done)
        except OSError as error:
            raise StoreError(f"{file.name!s}: {error.strerror}; its activations were being read") from error
        if count == 0:
            raise CorruptError(f"{file.name!s}: expected {len(into)} bytes at {offset}, got {done}")
        done += count


@dataclass(frozen=True)
class FileActivations(Source):
    """Blocks of `block` contiguous rows, each once an epoch, in a new random order every epoch.

    Where the first block begins is random too, so that the few rows that do not fill a block or a batch are
    others each epoch. Rows of a block stay together: mix them (`mixed_stream`) where neighbours are alike.

    >>> import tempfile
    >>> import numpy as np
    >>> from superposition.activations.files import mapped_rows
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.eye(8, dtype=np.float32))
    ...     rows = mapped_rows(np.load(f"{folder}/x.npy", mmap_mode="r"), digest="x")
    >>> FileActivations(rows, block=3).n_examples  # two whole blocks an epoch
    6
    """

    x: Rows
    y: Rows | None = None
    block: int = 64

    def __post_init__(self) -> None:
        validate.integer("rows", len(self.x), 1, 2**31)
        validate.integer("block", self.block, 1, len(self.x) + 1)
        if self.y is not None and len(self.y) != len(self.x):
            raise ConfigError(f"targets must be one row per example: {len(self.x)}; got {len(self.y)}")

    @property
    def d_in(self) -> int:
        """Columns of x."""
        return self.x.width

    @property
    def d_out(self) -> int | None:
        """Columns of y."""
        return None if self.y is None else self.y.width

    @property
    def _blocks(self) -> int:
        return len(self.x) // self.block

    @property
    def n_examples(self) -> int:
        """Rows in an epoch: those in whole blocks."""
        return self._blocks * self.block

    def check(self, size: int) -> None:
        """A batch has to fit into an epoch."""
        if size > self.n_examples:
            raise ConfigError(
                f"batch_size must be at most the {self.n_examples} examples there are; got {size}"
            )

    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """Rows number step * size ... of the shuffled epochs."""
        words, block = inputs["words"], np.uint32(self.block)
        per_epoch = np.uint32(self.n_examples // size)
        step = step.astype(jnp.uint32)
        epoch, first = step // per_epoch, (step % per_epoch) * np.uint32(size)
        place = first // block + jax.lax.iota(jnp.uint32, (size - 1) // self.block + 2)
        blocks = permuted(words, epoch, jnp.minimum(place, np.uint32(self._blocks - 1)), self._blocks)
        turn = substream(words, ROTATION)
        begin = mix(mix(epoch + turn[0]) ^ turn[1]) % np.uint32(len(self.x))
        # Few numbers go to the host: a callback must not wait for large ones on the threads that run it.
        order = jnp.concatenate([jnp.stack([begin, first % block]), blocks])
        rows = [self.x] if self.y is None else [self.x, self.y]
        like = [jax.ShapeDtypeStruct((size, r.width), r.read_dtype) for r in rows]
        read = jax.pure_callback(partial(self._read, size), like, order)
        x, y = read[0].astype(jnp.float32), read[-1].astype(jnp.float32)
        return Batch(x, x if self.y is None else y)

    def _read(self, size: int, order: Array) -> list[np.ndarray]:
        begin, skip, *blocks = np.asarray(order).astype(np.int64)
        at = skip + np.arange(size)
        rows = np.array(blocks)[at // self.block] * self.block + at % self.block
        rows = (rows + begin) % len(self.x)
        return [rows_of.read(rows) for rows_of in (self.x, self.y) if rows_of is not None]


def file_stream(key: PRNGKey, x: Rows, y: Rows | None = None) -> Stream:
    """The stream over the rows of x in files, with targets y for a transcoder.

    >>> import tempfile
    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations.files import file_stream, mapped_rows
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.eye(8, dtype=np.float32))
    ...     rows = mapped_rows(np.load(f"{folder}/x.npy", mmap_mode="r"), digest="x")
    ...     batch = file_stream(jax.random.key(0), rows).batch(step=0, size=4)
    >>> batch.x.shape
    (4, 8)
    """
    block = int(np.clip(len(x) // 256, 1, 64))  # where rows are few, blocks are small, so that they are many
    return Stream(FileActivations(x, y, block), {"words": key_words(key)})


def mapped_rows(array: np.ndarray, digest: str) -> Rows | None:
    """Rows of an array that numpy has mapped from a file, or None if it has not, or they do not lie in a row."""
    if not isinstance(array, np.memmap) or array.ndim != 2 or not array.flags.c_contiguous:
        return None
    path = Path(str(array.filename))
    with FileIO(path) as file:
        piece = Piece(path, array.offset, len(array), stamp(file))
    return Rows([piece], array.shape[1], array.dtype, digest)
