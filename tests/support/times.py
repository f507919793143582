"""CPU seconds of every test, and the list of those that are slow.

`make slow-list` measures all tests and writes `tests/slow.txt`; `tests/conftest.py` marks what stands there as slow: a
test with its parameters, or without them a test with all that it is run on, which together compile most of the time.
CPU time, that of started processes too, hardly depends on what else a machine does. The first test of a module pays for
what those after it share. When it moves to the slow ones the next one pays, so measure again after a list has changed.
"""

import os
import resource
import sys
from collections import defaultdict
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "slow.txt"
MANY = 2.0  # CPU seconds of a test: as many stay below it as two cores run in ten minutes
TOGETHER = 6.0  # CPU seconds of a test in all its parameters
VARIABLE = "SUPERPOSITION_TIMES"  # names the file that times are appended to


def listed() -> set[str]:
    """The names of tests that are slow."""
    return {line for line in LIST.read_text().splitlines() if line and not line.startswith("#")}


def cpu_seconds() -> float:
    """Of this process and of the processes that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def function(name: str) -> str:
    """A test's name without its parameters."""
    return name.split("[", 1)[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = cpu_seconds()
    result = yield
    with open(os.environ[VARIABLE], "a") as file:
        file.write(f"{cpu_seconds() - before:.2f} {item.nodeid}\n")
    return result


def write_list(measured: Path) -> None:
    """Write the list of tests that took more than MANY seconds, and of those that took more than TOGETHER in all."""
    seconds: dict[str, float] = defaultdict(float)
    for line in measured.read_text().splitlines():
        number, name = line.split(" ", 1)
        seconds[name] = max(seconds[name], float(number))
    tests = {name: value for name, value in seconds.items() if name.startswith("tests/")}
    together: dict[str, float] = defaultdict(float)
    for name, value in tests.items():
        together[function(name)] += value
    whole = {name for name, value in together.items() if value > TOGETHER}
    slow = whole | {name for name, value in tests.items() if value > MANY and function(name) not in whole}
    head = (
        f"# Tests that take more than {MANY:g} CPU seconds, or {TOGETHER:g} in all their parameters, run by "
        "`make test-slow`.\n# Written by `make slow-list`.\n"
    )
    LIST.write_text(head + "".join(f"{name}\n" for name in sorted(slow)))


if __name__ == "__main__":
    write_list(Path(sys.argv[1]))
