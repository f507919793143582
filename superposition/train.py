"""The one training loop: compiled chunks on the device, and between them a host that listens.

A step is a pure function of (state, step number), so neither chunking nor stopping and resuming changes
a bit of the result. Chunks are kept near half a second, so that progress, signals and checkpoints are
never far away.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from superposition import checkpoint
from superposition.errors import Interrupted
from superposition.typing import PyTree

CHUNK_SECONDS = 0.5
FIRST_CHUNK = 16


class Stop:
    """A flag that SIGINT and SIGTERM raise and training loops look at between chunks."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int = signal.SIGINT

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def set(self, signum: int = signal.SIGINT, frame: Any = None) -> None:
        """Ask for a stop; a second call gives the signals back, so that a third one ends the process."""
        if self._event.is_set():
            for name in (signal.SIGINT, signal.SIGTERM):
                signal.signal(name, signal.SIG_DFL)
        self.signal = signum
        self._event.set()

    def interrupted(self, where: str) -> Interrupted:
        """The error to raise once everything is saved; exit status 128 + signal."""
        error = Interrupted(f"stopped by {signal.Signals(self.signal).name}; {where}")
        error.exit_status = 128 + self.signal
        return error


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a Stop while inside (in the main thread; elsewhere it never fires)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {name: signal.signal(name, stop.set) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)


def worker_count() -> int:
    """Blocks trained at once: the small kernels leave cores idle, so a CPU runs one block a core."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def advance(program: Any, inputs: PyTree, state: PyTree, start: Array, count: Array) -> PyTree:
    """`count` steps of program.step(inputs, state, step) from `start`; one compilation for any count."""
    return jax.lax.fori_loop(start, start + count, lambda i, s: program.step(inputs, s, i), state)


def train(
    program: Any,
    inputs: PyTree,
    state: PyTree,
    steps: int,
    *,
    directory: Path | None = None,
    checkpoint_seconds: float = 30.0,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda done: None,
    sound: Callable[[PyTree], bool] = lambda state: True,
) -> tuple[PyTree, int]:
    """Run program.step until `steps`; returns (state, steps done), fewer than `steps` only if stopped.

    program is hashable, with `step(inputs, state, step) -> state`. With a directory, a checkpoint is
    written every `checkpoint_seconds` and on stopping, and training continues from the newest one there.
    Training also stops after a chunk whose state is not `sound`.
    """
    done = 0
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
        if not sound(state):
            break
        due = time.monotonic() - saved_at > checkpoint_seconds
        if directory is not None and due and done < steps:
            checkpoint.save(directory, done, state)
            saved_at, saved_step = time.monotonic(), done
    if directory is not None and done < steps and done > saved_step:
        checkpoint.save(directory, done, state)
    return state, done
