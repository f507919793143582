"""A directory of files that is there as a whole or not at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from superposition import checkpoint
from superposition.errors import StoreError


def publish(
    directory: Path, files: dict[str, bytes], *, overwrite: bool, ours: Callable[[list[str]], bool]
) -> None:
    """Write the files to a hidden sibling, fsync, and rename it to `directory`.

    A directory that exists is replaced if it is empty, or with `overwrite` if `ours` says that its names are an
    SAE's and nothing else. The replacement is two renames, as no portable call exchanges directories: a kill
    between them leaves the old one under its hidden name. Raises StoreError; the old files then stay.
    """
    directory = Path(os.path.abspath(directory))
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary, doomed = (directory.with_name(f".tmp-{kind}-{unique}") for kind in ("new", "old"))
    with checkpoint._system(directory):
        checkpoint._create(directory.parent)
        _check(directory, overwrite, ours)
        try:
            temporary.mkdir()
            for name, data in files.items():
                with open(temporary / name, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            checkpoint._fsync(temporary)
            try:
                if os.path.lexists(directory):
                    os.rename(directory, doomed)
                os.rename(temporary, directory)
            except BaseException:
                if os.path.lexists(doomed) and not os.path.lexists(directory):
                    os.rename(doomed, directory)
                raise
            checkpoint._fsync(directory.parent)
        finally:
            checkpoint._remove(temporary)
            if os.path.lexists(directory):
                checkpoint._remove(doomed)


def _check(directory: Path, overwrite: bool, ours: Callable[[list[str]], bool]) -> None:
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        raise StoreError(
            f"{directory}: expected a directory or nothing, got something else; choose another path"
        )
    names = sorted(os.listdir(directory))
    if not names:
        return
    if not ours(names):
        raise StoreError(f"{directory}: holds {names[:8]}, not an SAE and nothing else; choose another path")
    if not overwrite:
        raise StoreError(f"{directory}: an SAE is there; give overwrite=True to replace it")
