"""A folder that is there as a whole or not at all, whatever dies while it is written."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from superposition.errors import StoreError

_MENDS = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "free space, or raise the limit on it",
    (errno.EACCES, errno.EPERM, errno.EROFS): "choose a directory that can be written",
    (errno.ENOTDIR, errno.EEXIST): "choose a directory, not a file",
}


@contextlib.contextmanager
def replacing(
    target: Path,
    temporary: Path | None = None,
    doomed: Path | None = None,
    *,
    check: Callable[[], bool] | None = None,
) -> Iterator[Path]:
    """A new folder to write into; once its bytes are on the disk it takes the place of `target`.

    `check` is asked right before that whether there is something to replace, and what it raises leaves `target` as it
    was, as any error does. Where it says no, the folder goes to its place by one rename, which the system refuses if
    anything has come there meanwhile; then it is asked again. Without it whatever is there is replaced. That takes
    two renames, as no portable call exchanges folders: a kill between them leaves the old one under the name
    `doomed`. Both names are hidden siblings of `target` unless given. Files are written with `put`.
    """
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = temporary or target.with_name(f".tmp-new-{unique}")
    doomed = doomed or target.with_name(f".tmp-old-{unique}")
    placed = False
    try:
        temporary.mkdir()
        yield temporary
        for folder, _, _ in os.walk(temporary, topdown=False):
            fsync(Path(folder))
        while not _exchanged(temporary, target, doomed, check() if check else os.path.lexists(target)):
            remove(doomed)  # what was there before, and another has replaced
        placed = True
        fsync(target.parent)
    finally:
        remove(temporary)
        if placed or os.path.lexists(target):
            remove(doomed)


def names_in(path: Path) -> list[str] | None:
    """What a folder holds, None where there is nothing at `path`; NotADirectoryError for anything else, a link too."""
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        if os.path.lexists(path):
            raise
        return None  # a part of the way there is a file


def _exchanged(temporary: Path, target: Path, doomed: Path, replaces: bool) -> bool:
    """Move the new folder to its place, and what it replaces out of the way; False if another's came there first."""
    try:
        if replaces:
            with contextlib.suppress(FileNotFoundError):
                os.rename(target, doomed)
        os.rename(temporary, target)  # refused by the system unless there is nothing, or an empty folder
    except BaseException as error:
        if os.path.lexists(doomed) and not os.path.lexists(target):
            with contextlib.suppress(OSError):  # another's may come there even now
                os.rename(doomed, target)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def put(path: Path, data: bytes) -> None:
    """Write a new file, down to the disk."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def create(directory: Path) -> None:
    """Make a directory and its parents, down to the disk."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        fsync(path.parent)


def fsync(directory: Path) -> None:
    """Bring a directory's names to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove what is there; what cannot be removed is left, under a name that means nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def system(path: Path) -> Iterator[None]:
    """Turn what the system refuses into a StoreError that says how to mend it."""
    try:
        yield
    except OSError as error:
        mend = next((mend for codes, mend in _MENDS.items() if error.errno in codes), "mend it and try again")
        raise StoreError(f"{error.filename or path}: {error.strerror or error}; {mend}") from error
