"""An index of firings on disk, so that a text is looked at again without a second run of the SAE, in little memory."""

import tempfile
import weakref
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from superposition.errors import StoreError


class Fired(NamedTuple):
    """What fired in rows first .. first + rows of the text, sorted by place.

    slot (n,): which of the latents looked at; place (n,): row * ctx + position, rows counted from the block's first;
    value (n,): activation.
    """

    first: int
    rows: int
    slot: np.ndarray
    place: np.ndarray
    value: np.ndarray


class Spill:
    """Blocks of `Fired` in a temporary file, 10 bytes an activation, that is gone when this object is.

    Raises StoreError where the disk refuses; TMPDIR says which disk.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._blocks: list[tuple[int, int, int, int, np.dtype]] = []

    def append(self, block: Fired) -> None:
        """Add the block that follows in the text."""
        slot = block.slot.astype(np.uint16 if not len(block.slot) or block.slot.max() < 2**16 else np.int32)
        try:
            self._blocks.append((block.first, block.rows, self._file.seek(0, 2), len(slot), slot.dtype))
            for column in (slot, block.place.astype(np.int32), block.value.astype(np.float32)):
                self._file.write(column.tobytes())
            self._file.flush()
        except OSError as error:
            raise StoreError(
                f"{tempfile.gettempdir()}: {error.strerror}; give room there, or set TMPDIR"
            ) from error

    def blocks(self) -> Iterator[Fired]:
        """All blocks in the order of the text."""
        for number in range(len(self._blocks)):
            yield self.block(number)

    def block(self, number: int) -> Fired:
        """One block."""
        first, rows, offset, n, dtype = self._blocks[number]
        try:
            self._file.seek(offset)
            columns = [
                np.frombuffer(self._file.read(n * np.dtype(d).itemsize), d)
                for d in (dtype, np.int32, np.float32)
            ]
        except OSError as error:
            raise StoreError(f"{tempfile.gettempdir()}: {error.strerror}; it held activations") from error
        return Fired(first, rows, columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2])

    def number_of(self, row: int) -> int:
        """The block that a row of the text is in."""
        return int(np.searchsorted([first for first, *_ in self._blocks], row, "right")) - 1
