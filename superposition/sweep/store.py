"""One Zarr store a sweep: labelled, checksummed, written block by block, never half-written.

The store appears whole (built beside its place, then renamed). A block's `status` is written after all
its other variables, and every chunk replaces its predecessor atomically, so a block either is there or
is not. Chunks carry CRC32C checksums.
"""

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.toy import TOY_MODELS

PENDING, DONE, DIVERGED = 0, 1, 2
STATUS_NAMES = {"pending": PENDING, "done": DONE, "diverged": DIVERGED}
VARIABLES = {"loss", "steps", "status"}.union(*(model.shapes for model in TOY_MODELS.values()))
Region = tuple[slice | int, ...]


class Store:
    """Write access to a sweep's Zarr store; `path` None keeps it in memory."""

    def __init__(self, group: zarr.Group, path: Path | None) -> None:
        self._group = group
        self.path = path

    @classmethod
    def create(
        cls,
        path: Path | None,
        dims: Mapping[str, int],
        chunks: Mapping[str, int],
        variables: Mapping[str, tuple[Mapping[str, int], str, Any]],
        coordinates: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
        attributes: Mapping[str, Any],
    ) -> "Store":
        """A new store with every variable pending; nothing is left behind if this fails."""
        if path is None:
            root = zarr.create_group(zarr.storage.MemoryStore(), attributes=dict(attributes))
            _fill(root, dims, chunks, variables, coordinates)
            return cls(root, None)
        temporary = path.with_name(f".{path.name}.new-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            root = zarr.create_group(str(temporary), attributes=dict(attributes), overwrite=True)
            _fill(root, dims, chunks, variables, coordinates)
            with warnings.catch_warnings():  # plain xr.open_zarr looks for it first, on the spec or not
                warnings.simplefilter("ignore")
                zarr.consolidate_metadata(str(temporary))
            os.rename(temporary, path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise StoreError(
                f"cannot write the results to {path}: {error.strerror or error}; choose another --out or free space"
            ) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """An existing store, for reading and for filling what is pending."""
        return cls(_open_group(path), path)

    @property
    def attributes(self) -> dict[str, Any]:
        """The store's attributes."""
        return dict(self._group.attrs)

    def is_done(self, region: Region) -> bool:
        """Whether a block is complete and its bytes read back; damaged ones count as not done."""
        try:
            if np.any(np.asarray(self._group["status"][region]) == PENDING):  # type: ignore[index]
                return False
            for name, array in self._group.arrays():
                if name in VARIABLES:
                    array[region]
        except Exception as error:
            warnings.warn(
                f"a block of {self.path} is damaged and will be trained again: {error}", stacklevel=2
            )
            return False
        return True

    def write(self, region: Region, values: Mapping[str, np.ndarray], status: np.ndarray) -> None:
        """Write a block, `status` last; StoreError if the disk refuses."""
        try:
            for name, value in (*values.items(), ("status", status)):
                array: Any = self._group[name]
                tail = tuple(slice(0, k) for k in value.shape[len(region) :])
                array[(*region, *tail)] = value
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.path}: {error.strerror or error}; what is finished is kept: free "
                "space and run again with --resume"
            ) from error

    def dataset(self) -> xr.Dataset:
        """The labelled results, read lazily from the store."""
        return xr.open_dataset(self._group.store, engine="zarr", consolidated=False)  # type: ignore[arg-type]


def _open_group(path: Path) -> zarr.Group:
    try:
        group = zarr.open_group(
            str(path), mode="r+" if os.access(path, os.W_OK) else "r", use_consolidated=False
        )
        if "superposition" not in group.attrs or "status" not in group:
            raise ConfigError(
                f"{path} is a Zarr store, but not one of a superposition sweep; choose another path"
            )
        return group
    except (FileNotFoundError, NotADirectoryError, zarr.errors.GroupNotFoundError) as error:
        raise ConfigError(
            f"{path} is not a Zarr store of a sweep; give the --out of a `superposition sweep`"
        ) from error
    except (json.JSONDecodeError, ValueError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        raise CorruptError(f"the metadata of {path} is damaged: {error}; run the sweep again") from error


def _fill(root: zarr.Group, dims: Any, chunks: Any, variables: Any, coordinates: Any) -> None:
    for name, (own, values) in coordinates.items():
        kind: Any = str if values.dtype == object else values.dtype
        root.create_array(name, shape=values.shape, dtype=kind, dimension_names=own)[...] = values
    for name, (own, kind, fill) in variables.items():
        root.create_array(
            name,
            shape=(*dims.values(), *own.values()),
            chunks=(*(chunks[d] for d in dims), *own.values()),
            dtype=kind,
            fill_value=fill,
            dimension_names=(*dims, *own),
            compressors=(ZstdCodec(level=1), Crc32cCodec()),
        )


def open_sweep(path: str | os.PathLike[str]) -> xr.Dataset:
    """The labelled results of a finished or interrupted sweep; ConfigError if there is none at `path`."""
    _open_group(Path(path))
    return xr.open_dataset(str(path), engine="zarr", consolidated=False)
