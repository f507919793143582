"""The one training loop: compiled chunks on the device, and between them a host that listens.

A step is a pure function of (state, step number), so neither chunking nor stopping and resuming changes
a bit of the result. Chunks are kept near half a second, so that progress, signals and checkpoints are
never far away.
"""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from superposition._internal import compilation_cache, memory_maps
from superposition.errors import Interrupted
from superposition.storage import checkpoint, provenance
from superposition.storage.provenance import Environment
from superposition.training.protocol import Inputs, Program, State

CHUNK_SECONDS = 0.5
FIRST_CHUNK = 16
memory_maps.watch()


class Stop:
    """A flag that signals raise and training loops look at between chunks."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int = signal.SIGINT

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def set(self, signum: int = signal.SIGINT, frame: Any = None) -> None:
        """Ask for a stop; a second call gives the signals back, so that a third one ends the process."""
        if self._event.is_set():
            for name in signals():
                signal.signal(name, signal.SIG_DFL)
        self.signal = signum
        self._event.set()

    def interrupted(self, where: str) -> Interrupted:
        """The error to raise once everything is saved; exit status 128 + signal."""
        error = Interrupted(f"stopped by {signal.Signals(self.signal).name}; {where}")
        error.exit_status = 128 + self.signal
        return error


def signals() -> list[signal.Signals]:
    """The signals that ask for a stop: SIGHUP, of a terminal that goes away, unless nohup had it ignored."""
    wanted = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    return wanted


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into a Stop while inside (in the main thread; elsewhere it never fires)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {name: signal.signal(name, stop.set) for name in signals()}
    try:
        yield stop
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)


def worker_count() -> int:
    """Blocks trained at once: the small kernels leave cores idle, so a CPU runs one block a core."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def advance(
    program: Program[Inputs, State], inputs: Inputs, state: State, start: Array, count: Array
) -> State:
    """`count` steps of program.step(inputs, state, step) from `start`; one compilation for any count."""
    return jax.lax.fori_loop(start, start + count, lambda i, s: program.step(inputs, s, i), state)


def train(
    program: Program[Inputs, State],
    inputs: Inputs,
    state: State,
    steps: int,
    *,
    directory: Path | None = None,
    checkpoint_seconds: float = 30.0,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda done: None,
    keep_going: Callable[[State], bool] = lambda state: True,
    environments: list[Environment] | None = None,
) -> tuple[State, int]:
    """Run program.step until `steps`; returns (state, steps done), fewer than `steps` only if stopped.

    program: see `protocol.Program`. With a directory, a checkpoint is
    written every `checkpoint_seconds` and on stopping, and training continues from the newest one there.
    Training also stops after a chunk where `keep_going(state)` is false. environments: those that checkpoints are to name.
    """
    compilation_cache.enable()
    done, metadata = 0, about(environments or [])
    if directory is not None and checkpoint.latest(directory) is not None:
        state, _, done = checkpoint.load(directory, state)
        progress(done)
    saved_at, saved_step, count = time.monotonic(), done, FIRST_CHUNK
    warm = False
    while done < steps and not stop():
        count = min(count, steps - done)
        begun = time.monotonic()
        state = advance(program, inputs, state, np.int32(done), np.int32(count))
        jax.block_until_ready(state)
        took = time.monotonic() - begun
        done += count
        progress(count)
        if warm:  # the first chunk's time is mostly compilation
            count = int(np.clip(count * CHUNK_SECONDS / max(took, 1e-4), FIRST_CHUNK, 4 * count))
        warm = True
        if not keep_going(state):
            break
        due = time.monotonic() - saved_at > checkpoint_seconds
        if directory is not None and due and done < steps:
            checkpoint.save(directory, done, state, metadata)
            saved_at, saved_step = time.monotonic(), done
    if directory is not None and done < steps and done > saved_step:
        checkpoint.save(directory, done, state, metadata)
    return state, done


ENVIRONMENTS = "environments"


def about(environments: list[Environment]) -> dict[str, Any]:
    """The metadata of a checkpoint of a state that was trained in these."""
    return {ENVIRONMENTS: environments}


def trained_in(directory: Path | None) -> list[Environment]:
    """The environments that the newest checkpoint names; none without one, or of one that is older than that record."""
    metadata = None if directory is None else checkpoint.metadata(directory)
    return list((metadata or {}).get(ENVIRONMENTS, []))


def refuse_mixed(
    where: Path, stored: list[Environment], directories: Iterable[Path], here: Environment, allow: bool
) -> None:
    """ConfigError unless what is stored, and the checkpoints in `directories`, are of this environment or may differ."""
    known = [checkpoint.metadata(directory) for directory in directories]
    begun = [metadata for metadata in known if metadata is not None]
    if any(ENVIRONMENTS not in metadata for metadata in begun):
        warnings.warn(
            f"{where} was begun before checkpoints told their environment, so that it is not compared with this one",
            stacklevel=3,
        )
    if not allow:
        each = [one for metadata in begun for one in metadata.get(ENVIRONMENTS, [])]
        provenance.refuse_mixed(where, [*stored, *each], here)
