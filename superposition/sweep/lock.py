"""One writer a sweep: a lock that dies with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from superposition.errors import StoreError


@contextmanager
def held(work: Path, out: Path) -> Iterator[None]:
    """Hold the working directory of `out`; StoreError if another process does, or if it can't be made."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        handle = os.open(work / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write beside {out}: {error.strerror}; choose another --out") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another process is writing {out}; wait for it, or choose another --out"
            ) from error
        yield
    finally:
        os.close(handle)
        if work.is_dir() and not any(entry.name != "lock" for entry in work.iterdir()):
            (work / "lock").unlink(missing_ok=True)
            work.rmdir()
