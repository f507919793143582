"""One Zarr store a sweep: labelled, checksummed, written block by block, never half-written.

The store appears whole (built beside its place, then renamed), and every file replaces its predecessor atomically.
A block is there once its record is (see `records`), which is written after its chunks; `status`, by which a plain
reader of Zarr knows what is there, comes last.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer import Buffer

from superposition._internal import atomic
from superposition._internal.sealed_json import digest
from superposition.errors import CorruptError, StoreError
from superposition.storage.provenance import Environment, distinct
from superposition.training.protocol import Block, Region
from superposition.training.store import records
from superposition.training.store.layout import Layout
from superposition.training.store.mending import mend, skeleton
from superposition.training.store.reading import (
    PENDING,
    UNRECORDED,
    is_recorded,
    is_whole,
    open_sweep,
    said,
    with_environments,
)


class Store:
    """Write access to a sweep's Zarr store; `path` None keeps it in memory."""

    def __init__(self, layout: Layout, path: Path | None, *, recorded: bool = True) -> None:
        self._layout, self.path, self._recorded = layout, path, recorded
        self._memory: dict[str, Buffer] = {}  # all of it without a path, else the block that is being written
        self._group = zarr.create_group(zarr.storage.MemoryStore(self._memory))
        layout.fill(self._group)
        self._trained_in: list[Environment] = []

    @classmethod
    def create(cls, path: Path | None, layout: Layout) -> "Store":
        """A new store with every variable pending; nothing is left behind if this fails."""
        if path is None:
            return cls(layout, None)
        temporary = path.with_name(f".{path.name}.new-{os.getpid()}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            files = skeleton(layout)
            for key, data in files.items():
                records.write(temporary / key, data)
            records.write_store(temporary, layout.attributes, files)
            os.rename(temporary, path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise StoreError(
                f"cannot write the results to {path}: {error.strerror or error}; choose another --out or free space"
            ) from error
        return cls(layout, path)

    @classmethod
    def reopen(cls, path: Path, layout: Layout) -> "Store":
        """A store that is there, its metadata and coordinates made good, to fill what is pending."""
        recorded = is_recorded(path)
        if recorded:
            mend(path, layout)
        else:
            warnings.warn(f"{path} {UNRECORDED}", stacklevel=4)
        return cls(layout, path, recorded=recorded)

    @property
    def environments(self) -> list[Environment]:
        """The environments of the blocks that `is_done` found good; of a store without records, what it says of one."""
        if self._recorded:
            return distinct(self._trained_in)
        try:
            stored = json.loads(self._layout.attributes["provenance"])
            return [{name: stored[name] for name in ("jax", "device") if name in stored}]
        except (KeyError, TypeError, ValueError):
            return []

    def is_done(self, block: Block) -> bool:
        """Whether a block is there and is what was written; of a damaged one that it is not, with a warning."""
        if self.path is None:
            return False
        try:
            return self._is_good(block) if self._recorded else all(map(self._reads, block.regions))
        except CorruptError as error:
            warnings.warn(
                f"a block of {self.path} is damaged and will be trained again: {error}", stacklevel=2
            )
        return False

    def clear(self, block: Block) -> None:
        """Remove what there is of a block that is to be trained."""
        if self.path is None:
            return
        names = ["status", *self._layout.variables]
        chunks = [self._layout.chunk(variable, region) for variable in names for region in block.regions]
        with _writing(self.path):
            for key in (f"{records.FOLDER}/{block.name}.json", *chunks):
                atomic.remove(self.path / key)

    def _is_good(self, block: Block) -> bool:
        assert self.path is not None
        status = [self._layout.chunk("status", region) for region in block.regions]
        if not (self.path / records.FOLDER / f"{block.name}.json").exists():
            if any((self.path / key).exists() for key in status):
                raise CorruptError(f"its record {block.name}.json is missing")
            return False
        record = records.read_block(self.path, block.name, self._layout.attributes)
        for key, sha256 in record.files.items():
            if key in status and not (self.path / key).exists():  # a kill came between it and the record
                with _writing(self.path):
                    records.write(self.path / key, record.status[key])
            if not records.is_good(self.path, key, sha256):
                raise CorruptError(f"{key} is not what was written")
        self._trained_in += record.environments
        return True

    def _reads(self, region: Region) -> bool:
        """Of a store without records: whether a block is complete and its bytes can be read."""
        try:
            results = zarr.open_group(str(self.path), mode="r", use_consolidated=False)
            found = {name: np.asarray(results[name][region]) for name in self._layout.variables}  # type: ignore[index]
        except Exception as error:  # codecs raise what they like
            raise CorruptError(said(error)) from error
        if np.any(found["status"] == PENDING):
            return False
        axes = tuple(self._layout.dims)
        if not is_whole(
            xr.Dataset({k: ((*axes, *self._layout.variables[k][0]), v) for k, v in found.items()})
        ):
            raise CorruptError("finished models are missing")
        return True

    def write(self, block: Block, values: Mapping[str, np.ndarray], environments: list[Environment]) -> None:
        """Write a block: its chunks, the record that says that they are there, `status`. StoreError if the disk refuses.

        values: the variables of the layout by name, each (models of the block, ...).
        """
        before = set(self._memory)
        first = 0
        for region in block.regions:
            shape = tuple(s.stop - s.start for s in region)
            rows = slice(first, first := first + int(np.prod(shape, dtype=int)))
            for variable, value in values.items():
                tail = tuple(slice(0, k) for k in value.shape[1:])
                array: Any = self._group[variable]
                array[(*region, *tail)] = value[rows].reshape(*shape, *value.shape[1:])
        self._trained_in += environments
        if self.path is None:
            return
        chunks = {key: self._memory.pop(key).to_bytes() for key in sorted(set(self._memory) - before)}
        files = {key: digest(data) for key, data in chunks.items()}
        status = [self._layout.chunk("status", region) for region in block.regions]
        last = {key: chunks.pop(key) for key in status}
        with _writing(self.path):
            for key, data in chunks.items():
                records.write(self.path / key, data)
            if self._recorded:
                record = records.Block(files, last, environments)
                records.write_block(self.path, block.name, self._layout.attributes, record)
            for key, data in last.items():
                records.write(self.path / key, data)

    def tidy(self, blocks: Sequence[Block]) -> None:
        """Remove what a kill left, and records and chunks of `status` of blocks that this sweep has not."""
        assert self.path is not None
        known = {self._layout.chunk("status", region) for block in blocks for region in block.regions}
        strange = [key for key in records.status_chunks(self.path) if key not in known]
        names = {block.name for block in blocks}
        strange += [f"{records.FOLDER}/{name}.json" for name in {*records.names(self.path)} - names]
        with _writing(self.path):
            for path in (*self.path.rglob("*.partial"), *(self.path / key for key in strange)):
                atomic.remove(path)

    def dataset(self) -> xr.Dataset:
        """The labelled results, in memory."""
        if self.path is not None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", f".*{UNRECORDED}")  # said when it was reopened
                return open_sweep(self.path)
        results = xr.open_dataset(self._group.store, engine="zarr", consolidated=False).load()  # type: ignore[arg-type]
        return with_environments(results, distinct(self._trained_in))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Refusals of the system as one error."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write to {path}: {error.strerror or error}; what is finished is kept: free space and run again"
            " with --resume"
        ) from error
