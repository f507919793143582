"""A signal while pages are written: everything open is put away, and it is one error."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superposition.training import loop


class _Signal(BaseException):
    """Raised where the signal arrives, as KeyboardInterrupt is, so that everything open is put away."""


@contextmanager
def stopped(out: Path) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP, at any moment, as one error after everything is put away."""
    stop = loop.Stop()

    def arrived(signum: int, frame: Any) -> None:
        stop.signal = signum
        raise _Signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {name: signal.signal(name, arrived) for name in loop.signals()}
    try:
        yield
    except _Signal as error:
        raise stop.interrupted(f"nothing was written to {out}") from error
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)
