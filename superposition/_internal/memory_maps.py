"""Room for compiled programs: each takes memory maps, and past the system's limit XLA ends in a segmentation fault."""

import gc
import itertools
import warnings
from pathlib import Path

import jax

from superposition.errors import StoreError

EVERY = 64  # programs between two looks: a look takes milliseconds, a program a few maps
CLEAR, REFUSE = 0.7, 0.95  # shares of the limit


def make_room(limit: int | None = None, used: int | None = None) -> None:
    """Forget compiled programs when the process nears the number of maps it may have; nothing but on Linux.

    They are compiled again when they are next used. Raises StoreError where that makes no room. limit, used: in place
    of the system's.
    """
    limit = _limit() if limit is None else limit
    if limit is None or (_used() if used is None else used) < CLEAR * limit:
        return
    warnings.warn(
        f"this process nears its limit of {limit} memory maps: JAX's compiled programs are forgotten",
        stacklevel=2,
    )
    jax.clear_caches()
    gc.collect()
    if (still := _used()) > REFUSE * limit:
        raise StoreError(
            f"this process has {still} memory maps of the {limit} it may have, and XLA would end it; start a new one, or"
            " raise the limit with: sysctl vm.max_map_count=262144"
        )


def watch() -> None:
    """Look for room with every `EVERY`-th program that JAX compiles from now on, whoever asks for it; once is enough."""
    if not _watched:
        _watched.append(True)
        jax.monitoring.register_event_duration_secs_listener(_compiled)


_watched: list[bool] = []
_programs = itertools.count(1)


def _compiled(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event.endswith("backend_compile_duration") and next(_programs) % EVERY == 0:
        make_room()


def _limit() -> int | None:
    try:
        return int(Path("/proc/sys/vm/max_map_count").read_text())
    except (OSError, ValueError):
        return None


def _used() -> int:
    with open("/proc/self/maps", "rb") as maps:
        return sum(1 for _ in maps)
