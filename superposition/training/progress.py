"""How far a sweep is: silent by default, a bar in the terminal when asked."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


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
def terminal(total: int) -> Iterator[Bar]:
    """A bar on standard error with the time that is left; plain and rare when that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=total)
        lock = threading.Lock()

        class _Terminal:
            def advance(self, steps: int) -> None:
                with lock:
                    bar.advance(task, steps)

        yield _Terminal()
