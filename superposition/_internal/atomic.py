"""A folder that is there as a whole or not at all, whatever dies while it is written."""

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from superposition.errors import StoreError

_LITTER = re.compile("[.]tmp-(?:new|old)-([0-9a-f]{16}-[0-9a-f]{8}-[0-9a-f]{8})")
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
    `doomed`. Both names are hidden siblings of `target` unless given; then what dead processes left under such names
    is dealt with first (`sweep`). Files are written with `put`.
    """
    with contextlib.ExitStack() as stack:
        if temporary is None or doomed is None:
            sweep(target)
            temporary, doomed = stack.enter_context(_claimed(target))
        else:
            temporary.mkdir()
        placed = False
        try:
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
                _discard(doomed, temporary)


def sweep(target: Path) -> None:
    """Put back a folder that a kill left beside `target` with nothing in its place, and remove what the dead left.

    A process holds the lock of its new folder for as long as it lives, whatever its number. Other machines do not see
    that lock, so what one of them wrote is left alone; a folder that it moved away is put back all the same: should it
    live, and be just about to put the new one there, it moves the old one away again.
    """
    with contextlib.suppress(OSError):
        names = os.listdir(target.parent)
        for unit in {match[1] for name in names if (match := _LITTER.fullmatch(name))}:
            new, old = _siblings(target, unit)
            with _lock(new) as is_free:
                if not is_free:
                    continue
                if unit.startswith(_key(target)) and os.path.lexists(old):
                    if not os.path.lexists(target):
                        os.rename(old, target)
                    elif not os.path.lexists(new):
                        _discard(old, new)
                if _host() in unit and not os.path.lexists(old):
                    remove(new)


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[tuple[Path, Path]]:
    """A new folder, locked, and the name for the old one: hidden siblings of `target` that say whose they are."""
    while True:
        new, old = _siblings(target, f"{_key(target)}-{_host()}-{secrets.token_hex(4)}")
        new.mkdir()
        with _lock(new) as is_free:
            if is_free is not False and new.exists():  # else one that sweeps was faster
                yield new, old
                return


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool | None]:
    """Hold the lock of a folder, under any name it takes; False where another does, None where there are no locks."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        yield True if isinstance(error, FileNotFoundError) else None
        return
    try:
        is_free: bool | None = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            is_free = False if isinstance(error, BlockingIOError) else None
        yield is_free
    finally:
        os.close(handle)


def _siblings(target: Path, unit: str) -> tuple[Path, Path]:
    return target.with_name(f".tmp-new-{unit}"), target.with_name(f".tmp-old-{unit}")


def _key(target: Path) -> str:
    """Whose sibling it is: a digest, as the name itself may be as long as names can be."""
    return hashlib.sha256(target.name.encode(errors="surrogateescape")).hexdigest()[:16]


def _host() -> str:
    """This machine, in whose memory the locks are."""
    with contextlib.suppress(OSError):
        number = Path("/etc/machine-id").read_text()
        return hashlib.sha256(f"{platform.node()} {number}".encode()).hexdigest()[:8]
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _discard(doomed: Path, free: Path) -> None:
    """Remove an old folder, first under a name from which nothing is ever put back: a kill may leave a part of it."""
    if os.path.lexists(doomed):
        with contextlib.suppress(OSError):
            os.rename(doomed, free)
        remove(free)
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


def write_file(path: Path, data: bytes | memoryview, *, temporary: Path | None = None) -> None:
    """Write a file that has its name, in place of any file of that name, only once all its bytes are on the disk.

    Until then they are in `temporary`, by default a hidden sibling of a name of its own; a kill leaves that behind, so
    one that is written again and again may give one name. Raises OSError; whatever had the name before then stays.
    """
    if temporary is None:
        temporary = path.with_name(f".tmp-file-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync(path.parent)
    finally:
        remove(temporary)


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
