"""Processes that tests start: each has a time to end in, and is gone when the test is over, however that ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = (
    240  # less than a test has (`timeout` in pyproject.toml), so that a failure can say what was printed
)


def environment(**more):
    """This process's environment, in which Python finds this tree's packages and JAX computes on the CPU."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | more


def python(*arguments, seconds=SECONDS, **options):
    """Run Python to its end and return what `subprocess.run` does, with standard output and error as text."""
    options = {"capture_output": True, "text": True, "check": False, "env": environment()} | options
    return subprocess.run([sys.executable, *map(str, arguments)], timeout=seconds, **options)


@contextlib.contextmanager
def started(*arguments, **options):
    """A Python process with piped output that is killed at the end of the block if it is still there."""
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": environment(),
    } | options
    process = subprocess.Popen([sys.executable, *map(str, arguments)], **options)
    try:
        yield process
    finally:
        end(process)


def end(process):
    """Kill a process, if it is still there, and forget what it has not been asked for."""
    process.kill()
    with contextlib.suppress(ValueError):  # a pipe that the test has closed
        process.communicate(timeout=SECONDS)


def output(process, seconds=SECONDS):
    """Standard output and error of a process that has to end by itself; one that does not is killed and fails."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(
            f"still running after {seconds} s: {process.communicate(timeout=seconds)}"
        ) from None


def until(true, process, seconds=SECONDS):
    """Wait until `true()`; the process that is to bring it about has to live meanwhile."""
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate(timeout=seconds)
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"nothing in {seconds} s: {process.communicate(timeout=seconds)}")
        time.sleep(0.01)


def children():
    """Process ids and command lines of the living children of this process (Linux; elsewhere none are found)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state not in "ZX":
                command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(stat.parent.name)] = command.strip()
    return found


def kill_children(before=()):
    """Kill the children that are not in `before`; returns the command lines of those that were there."""
    left = {pid: command for pid, command in children().items() if pid not in before}
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())
