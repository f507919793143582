import gc
import os
import signal
import sys
import threading
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault(
    "SUPERPOSITION_CACHE", "off"
)  # compiled programs: the tests leave the user's cache alone

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fixed", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")


@pytest.fixture(autouse=True, scope="module")
def _the_programs_of_a_module_end_with_it():
    """Every compiled program holds memory maps, and a process may have 65,530: past that XLA ends in a segfault."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
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
