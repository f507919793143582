"""A directory of files that is there as a whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from superposition._internal import atomic
from superposition.errors import StoreError


def publish(
    directory: Path, files: dict[str, bytes], *, overwrite: bool, ours: Callable[[list[str]], bool]
) -> None:
    """Write the files to a hidden sibling, fsync, and rename it to `directory`.

    A directory that exists is replaced if it is empty, or with `overwrite` if `ours` says that its names are an
    SAE's and nothing else. Of several that write at once without `overwrite` one wins. Raises StoreError; the old
    files then stay.
    """
    directory = Path(os.path.abspath(directory))
    with atomic.system(directory):
        atomic.create(directory.parent)
        _replaces(directory, overwrite, ours)
        with atomic.replacing(directory, check=lambda: _replaces(directory, overwrite, ours)) as new:
            for name, data in files.items():
                atomic.put(new / name, data)


def _replaces(directory: Path, overwrite: bool, ours: Callable[[list[str]], bool]) -> bool:
    """Whether there are files to replace; StoreError where they must not be."""
    try:
        names = atomic.names_in(directory)
    except NotADirectoryError as error:
        raise StoreError(
            f"{directory}: expected a directory or nothing, got something else; choose another path"
        ) from error
    if not names:
        return False
    if not ours(names):
        raise StoreError(f"{directory}: holds {names[:8]}, not an SAE and nothing else; choose another path")
    if not overwrite:
        raise StoreError(f"{directory}: an SAE is there; give overwrite=True to replace it")
    return True
