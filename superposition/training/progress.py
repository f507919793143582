"""How far training is: a bar in a terminal or a notebook, silent elsewhere."""

import sys
import threading
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
