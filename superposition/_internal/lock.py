"""One writer a directory: a lock that dies with its process, and what dead writers left."""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from superposition.errors import StoreError

NAME = "lock"
TRIES, PATIENCE = (
    1000,
    1.0,
)  # a directory that so many times and for so many seconds is gone at once cannot be made, as in /proc


@contextmanager
def held(work: Path, out: Path) -> Iterator[None]:
    """Hold the working directory of `out`; StoreError if another process does, or if it can't be made.

    A directory that holds nothing but the lock is removed at the end, while it is still held: whoever opened the
    lock's file before that finds that it is no longer the one of that name, and opens the new one.
    """
    try:
        handle = _taken(work)
    except BlockingIOError as error:
        raise StoreError(f"another process is writing {out}; wait for it, or choose another --out") from error
    except OSError as error:
        raise StoreError(f"cannot write beside {out}: {error.strerror}; choose another --out") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # somebody may make or remove files here at this moment
            if os.listdir(work) == [NAME]:
                (work / NAME).unlink()
                work.rmdir()
        os.close(handle)


def _taken(work: Path) -> int:
    """A descriptor of the locked file that bears the lock's name.

    Raises BlockingIOError if another process has it, another OSError where the directory cannot be made.
    """
    tries, end = 0, time.monotonic() + PATIENCE
    while True:
        tries += 1
        given_up = tries >= TRIES and time.monotonic() > end
        try:
            work.mkdir(parents=True, exist_ok=True)
            handle = os.open(work / NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the last holder removed the directory since
            if given_up:
                raise
            continue
        except FileExistsError:
            if given_up or _is_no_directory(work):
                raise
            continue  # it was there a moment ago
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _bears_the_name(handle, work / NAME):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_no_directory(path: Path) -> bool:
    """Whether something else than a directory has this name, asked in one call: between two calls it may come and go."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _bears_the_name(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process has this number now."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
