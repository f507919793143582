"""A sweep's store as it is before the first model, and how its damaged parts are made again from the recipe."""

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import zarr
from zarr.core.buffer import Buffer

from superposition._internal import atomic
from superposition._internal.lock import is_alive
from superposition._internal.sealed_json import digest
from superposition.errors import CorruptError
from superposition.training.store import records
from superposition.training.store.layout import Layout
from superposition.training.store.reading import root_attributes


def skeleton(layout: Layout) -> dict[str, bytes]:
    """The files of a store without models, by key: metadata of every array, and coordinates."""
    files: dict[str, Buffer] = {}
    store = zarr.storage.MemoryStore(files)
    root = zarr.create_group(store)
    layout.fill(root)
    root.create_group(records.FOLDER)
    with warnings.catch_warnings():  # plain xr.open_zarr looks for it first, on the spec or not
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store)
    return {key: data.to_bytes() for key, data in files.items()}


def stored_attributes(root: Path) -> dict[str, Any]:
    """The recipe and the plan of a store, from either of the two places that hold them."""
    try:
        return records.read_store(root)[0]
    except CorruptError:
        return root_attributes(root)


def mend(root: Path, layout: Layout) -> None:
    """Write again what was there before the first model and is not as it was; CorruptError where that can't be.

    Of the two copies of the recipe one may be damaged: the metadata of the store are then good if they are, to the
    byte, those of the sweep that was asked for.
    """
    files = skeleton(layout)
    try:
        expected = records.read_store(root)[1]
    except CorruptError as error:
        if not records.is_good(root, records.ROOT, digest(files[records.ROOT])):
            raise CorruptError(
                f"the recipe in {root} is damaged in both places, {records.STORE} and {records.ROOT}; run the sweep"
                " again with another --out"
            ) from error
        _said(root, records.STORE)
        expected = {key: digest(data) for key, data in files.items()}
        records.write_store(root, layout.attributes, files)
    for key, sha256 in expected.items():
        if records.is_good(root, key, sha256):
            continue
        if key not in files or digest(files[key]) != sha256:
            raise CorruptError(
                f"{root}: {key} is damaged, and the versions of zarr and numcodecs here would write another; run"
                " --resume with those that began the sweep, or run it again with another --out"
            )
        _said(root, key)
        with atomic.system(root):
            if (root / key).is_dir():
                shutil.rmtree(root / key)
            records.write(root / key, files[key])


def _said(root: Path, key: str) -> None:
    warnings.warn(f"{key} of {root} was damaged and is written again from the recipe", stacklevel=3)


def sweep_siblings(path: Path) -> None:
    """Remove the beginnings of a store that processes which are gone left beside it."""
    for sibling in path.parent.glob(".*.new-*"):
        match = re.fullmatch(rf"\.{re.escape(path.name)}\.new-([0-9]+)", sibling.name)
        if match and not is_alive(int(match[1])):
            atomic.remove(sibling)
