"""How far training is: a bar in a terminal or a notebook, silent elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

from superposition.errors import ConfigError


class Bar(Protocol):
    """What a running sweep reports to."""

    def advance(self, steps: int) -> None:
        """`steps` more steps of some block are done; called from several threads."""


Progress = AbstractContextManager[Bar]


class _Quiet:
    def advance(self, steps: int) -> None:
        pass


@contextmanager
def quiet(total: int) -> Iterator[Bar]:
    """Say nothing."""
    yield _Quiet()


@contextmanager
def terminal(total: int, each: int = 0, unit: str = "", doing: str = "training") -> Iterator[Bar]:
    """A bar on standard error with the time that is left; plain and rare when that is not a terminal.

    each, unit: what a step is made of; steps and units a second are shown where a unit is named.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(doing, total=total, rate="")
        lock = threading.Lock()  # blocks train in threads of their own

        class _Terminal:
            done, start, begin = 0, 0, 0.0

            def advance(self, steps: int) -> None:
                with lock:
                    if (
                        self.done == 0
                    ):  # a resumed start, or the first chunk, whose time is mostly compilation
                        self.begin, self.start = time.monotonic(), steps
                    self.done += steps
                    rate = (self.done - self.start) / max(time.monotonic() - self.begin, 1e-9)
                    shown = unit and self.done > self.start
                    speed = f"{rate:.4g} steps/s {rate * each:.3g} {unit}/s" if shown else ""
                    bar.update(task, completed=self.done, rate=speed)

        yield _Terminal()


Watch: TypeAlias = bool | Callable[[int], None]


def shown(progress: Watch) -> Callable[[int], Progress]:
    """A bar for True where someone looks, nothing for False; a callable is told how many more steps are done."""
    if progress is True:
        return terminal if _is_watched() else quiet
    if progress is False:
        return quiet
    if not callable(progress):
        raise ConfigError(f"progress must be True, False or a function of the steps done; got {progress!r}")

    tell = progress

    @contextmanager
    def told(total: int) -> Iterator[Bar]:
        lock = threading.Lock()

        class _Told:
            def advance(self, steps: int) -> None:
                with lock:
                    tell(steps)

        yield _Told()

    return told


def _is_watched() -> bool:
    """Whether standard error is a terminal, or the process is the kernel of a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
