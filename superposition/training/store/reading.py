"""Reading a sweep's store: every byte checked before it becomes a number."""

import asyncio
import json
import os
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from superposition._internal import validate
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.storage.provenance import Environment
from superposition.toy import TOY_MODELS
from superposition.training.store import records

Run = TypeVar("Run")
# `status` of a grid point: not trained yet, trained, or stopped because its loss was no longer finite.
PENDING, DONE, DIVERGED = 0, 1, 2
STATUS_NAMES = {"pending": PENDING, "done": DONE, "diverged": DIVERGED}
MODELS, SAES = "models", "saes"  # the attribute that tells SAEs from toy models, whose stores have none
ENVIRONMENTS = "environments"
UNRECORDED = "was written before stores had checksums, so that not all damage to it is noticed"


def open_sweep(path: str | os.PathLike[str]) -> xr.Dataset:
    """The labelled results of a finished or interrupted sweep, in memory, every byte of them checked.

    Blocks that are not finished have their fill value and the status 0. Raises ConfigError if there is no sweep at
    `path`, CorruptError if a file is not what was written or is missing, StoreError where the system refuses. A
    store from before stores had checksums opens with a warning.

    >>> import tempfile
    >>> from superposition import ReLUOutput, ToyRun
    >>> from superposition.training import open_sweep, sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = sweep(ToyRun(ReLUOutput(3, 2), steps=2, batch_size=8), {"seed": range(2)}, out=Path(folder) / "runs.zarr")
    ...     open_sweep(f"{folder}/runs.zarr")["loss"].equals(done["loss"])
    True
    """
    root = Path(path)
    if not is_recorded(root):
        warnings.warn(f"{root} {UNRECORDED}", stacklevel=2)
        return _unrecorded(root)
    book = records.ledger(root)
    store = _Checked(root, book)
    results = _loaded(root, store)
    for key in sorted(store.unread):  # what other readers use: consolidated metadata
        records.checked(root, key, book)
    return with_environments(results, book.environments)


def with_environments(results: xr.Dataset, environments: list[Environment]) -> xr.Dataset:
    """The same, saying in which environments it was trained: of SAEs always, of toy models where they were several."""
    if len(environments) > (0 if is_of_saes(results) else 1):
        results.attrs[ENVIRONMENTS] = json.dumps(environments)
    return results


def is_of_saes(results: xr.Dataset) -> bool:
    """Whether the models of a store are SAEs, and not toy models."""
    return results.attrs.get(MODELS) == SAES


def stored_recipe(
    attributes: Mapping[Any, Any], rebuilt: Callable[[Any], Run]
) -> tuple[Run, dict[str, tuple[Any, ...]]]:
    """The run, by `rebuilt` from what is stored of it, and the axes. Raises CorruptError for what is no recipe."""
    try:
        config = json.loads(attributes["config"])
        axes = {name: validate.plain([*values]) for name, values in config["axes"].items()}
        return rebuilt(config["run"]), axes
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise CorruptError(
            f"the recipe of the sweep is damaged: {said(error)}; run the sweep again"
        ) from error


def is_recorded(root: Path) -> bool:
    """Whether a sweep's store has, or says that it has, records; ConfigError if there is no store at `root`."""
    if (root / records.STORE).exists() or records.names(root):
        return True
    data = records.read(root / records.ROOT)
    if data is None:
        raise ConfigError(f"{root} is not a Zarr store of a sweep; give the --out of a `superposition sweep`")
    attributes = root_attributes(root, data)
    if "superposition" not in attributes:
        raise ConfigError(
            f"{root} is a Zarr store, but not one of a superposition sweep; choose another path"
        )
    return bool(attributes["superposition"] != 1)


def root_attributes(root: Path, data: bytes | None = None) -> dict[str, Any]:
    """The attributes in the store's own metadata, which nothing vouches for; CorruptError if there are none."""
    data = records.read(root / records.ROOT) if data is None else data
    try:
        attributes = json.loads(data or b"")["attributes"]
        if not isinstance(attributes, dict):
            raise TypeError("no attributes")
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise CorruptError(
            f"the metadata of {root} is damaged: {said(error)}; run the sweep again with another --out"
        ) from error
    return attributes


def said(error: BaseException) -> str:
    """An error's words in one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_whole(results: xr.Dataset) -> bool:
    """Whether every model that has a status has a number of steps, a loss or a reason for none, and parameters."""
    done = results["status"].values == DONE
    good = np.isfinite(results["loss"].values)
    for name, values in results.data_vars.items():
        if name not in ("loss", "steps", "status"):
            own = tuple(range(done.ndim, values.ndim))
            good &= np.isfinite(values.values).any(own)
    return bool((good | ~done).all())


def _unrecorded(root: Path) -> xr.Dataset:
    """A store of format 1: what can be read, and is all there."""
    results = _loaded(root, zarr.storage.LocalStore(root, read_only=True))
    try:
        model = json.loads(results.attrs["config"])["run"]["model"]["recipe"]
        kind = next(kind for kind in TOY_MODELS.values() if kind.__name__ == model)
        missing = {*kind.shapes, "loss", "steps", "status", *results["loss"].dims} - {*results.variables}
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        raise CorruptError(
            f"the metadata of {root} is damaged: {said(error)}; run the sweep again"
        ) from error
    missing -= {f"n_{name}" for name in ("hidden", "features")}
    if missing or not is_whole(results):
        what = (
            f"{', '.join(sorted(map(str, missing)))} is missing" if missing else "finished models are missing"
        )
        raise CorruptError(f"{root} is damaged: {what}; {records.MEND}")
    return results


def _loaded(root: Path, store: Store) -> xr.Dataset:
    try:
        return xr.open_dataset(store, engine="zarr", consolidated=False).load()  # type: ignore[arg-type]
    except (CorruptError, StoreError):
        raise
    except PermissionError as error:
        raise StoreError(f"{error.filename or root}: {error.strerror}; make it readable") from error
    except Exception as error:  # codecs raise what they like
        raise CorruptError(f"{root} cannot be read: {said(error)}; {records.MEND}") from error


class _Checked(zarr.storage.LocalStore):
    """The files that the records name, each as it was written; nothing else is there."""

    def __init__(self, root: Path, book: records.Ledger) -> None:
        super().__init__(root, read_only=True)
        self._book = book
        self.unread = set(book.files)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        if byte_range is not None:
            raise NotImplementedError("a part of a file cannot be checked")
        if key not in self._book.files:
            return None
        data = await asyncio.to_thread(records.checked, self.root, key, self._book)
        self.unread.discard(key)
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def exists(self, key: str) -> bool:
        return key in self._book.files

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        names = {key.removeprefix(start).split("/")[0] for key in self._book.files if key.startswith(start)}
        for name in sorted(names):
            yield name
