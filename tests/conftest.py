"""What holds for every test: a fixed seed for hypothesis, no broadcasting by accident, no network, bounded memory maps,
and no process left behind.
"""

import gc
import ipaddress
import os
import signal
import socket
import threading
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Compiled programs are shared by the workers, by the processes that tests start and by the next run, and lie apart from
# the user's own.
os.environ.setdefault("SUPERPOSITION_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))

import jax
import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support", "tests.oracles")

from superposition._internal import compilation_cache  # noqa: E402
from tests.support import times  # noqa: E402
from tests.support.processes import children, kill_children  # noqa: E402

settings.register_profile(
    "fixed", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")

# Arrays of unlike rank are not combined silently: every axis that is broadcast is written down, in the library too.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Modules, workers, later runs and the slow tests read what one of them has compiled, while it is imported too.
compilation_cache.enable()


if times.VARIABLE in os.environ:
    pytest_runtest_protocol = times.pytest_runtest_protocol


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(config, items):
    """Mark as slow what is in the list; a name in it that no test has is an error where all tests are collected."""
    slow, found = times.listed(), set()
    for item in items:
        if names := slow & {item.nodeid, times.function(item.nodeid)}:
            item.add_marker(pytest.mark.slow)
            found |= names
    everything = {"tests"} <= {Path(one).name for one in config.args} and not config.option.ignore
    if everything and (gone := slow - found):
        raise pytest.UsageError(
            f"tests/slow.txt names tests that are gone: {sorted(gone)}; run make slow-list"
        )


def pytest_runtest_setup(item):
    """Slow tests, and those against other libraries, may still combine arrays of unlike rank; all others may not."""
    may = any(item.get_closest_marker(name) for name in ("slow", "peers", "parity"))
    jax.config.update("jax_numpy_rank_promotion", "allow" if may else "raise")


def pytest_collection_finish():
    """What is imported by now, a million objects, stays: the garbage collector looks at younger ones alone."""
    gc.collect()
    gc.freeze()


_look_up = socket.getaddrinfo


def _look_up_here(host, *args, **kwargs):
    """Addresses of this machine; every other name is unknown at once, as without a network, and never waited for."""
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost"):
        try:
            known = ipaddress.ip_address(name).is_loopback
        except ValueError:
            known = False
        if not known:
            raise socket.gaierror(socket.EAI_NONAME, f"tests have no network; {name} is not looked up")
    return _look_up(host, *args, **kwargs)


socket.getaddrinfo = _look_up_here


@pytest.fixture(autouse=True, scope="module")
def _no_process_outlives_its_module():
    """A test that failed half-way may leave a process that computes, or holds the terminal's pipe open, for hours."""
    before = children()
    yield
    left = [line for line in kill_children(before) if "multiprocessing.resource_tracker" not in line]
    assert not left, f"processes were left running, and are killed now: {left}"


@pytest.fixture(autouse=True, scope="module")
def _the_programs_of_a_module_end_with_it():
    """Every compiled program holds memory, and memory maps, of which a process may have 65,530: past that XLA crashes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def interrupt():
    """Send this process a signal and return once `train.interruptible` has seen it, which may be some chunks later."""

    def send(signum):
        stop, patience = signal.getsignal(signum).__self__, time.monotonic() + 30
        signal.pthread_kill(threading.main_thread().ident, signum)
        while not stop():
            assert time.monotonic() < patience, "the signal was not seen"
            time.sleep(0.001)

    return send


@pytest.fixture
def interrupted_in_third(monkeypatch, interrupt):
    """Training in chunks of 16 steps that is sent a signal in the third; gives the steps the chunks start at."""
    from superposition.training import loop

    def begin(signum):
        starts, real = [], loop.advance

        def advance(program, inputs, state, start, count):
            starts.append(int(start))
            if len(starts) == 3:
                interrupt(signum)
            return real(program, inputs, state, start, count)

        monkeypatch.setattr(loop, "advance", advance)
        return starts

    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-6)
    return begin
