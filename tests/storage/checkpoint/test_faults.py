"""Faults of the system while saving: a full disk at any call, and a kill at any call or time."""

import errno
import itertools
import os
import random
import resource
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from superposition._internal import atomic
from superposition.errors import StoreError
from superposition.storage import checkpoint
from tests.support.checkpoints import (
    LIKE,
    MANIFEST,
    STATE,
    assert_same,
    bits,
    content,
    restored,
    temporaries,
    tree_of,
)
from tests.support.processes import started


def test_everything_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls, fsync, rename = [], os.fsync, os.rename

    def recorded_fsync(descriptor):
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "rename", lambda old, new: calls.append((old.name, new.name)) or rename(old, new))
    checkpoint.save(tmp_path / "a" / "b", 1, {})
    assert calls[:2] == ["a", tmp_path.name]  # new directories are entries of their parents
    temporary = calls[4]
    assert temporary.startswith(f".tmp-1-{os.getpid()}-")
    assert calls[2:] == [STATE, MANIFEST, temporary, (temporary, "step-000000000001"), "b"]


class Faults:
    """Counts the calls that touch the disk and lets call `at`, or every one from `at` on, fail."""

    def __init__(self, monkeypatch, at, forever, fault):
        self.calls, self.at, self.forever, self.fault = 0, at, forever, fault
        for name in ("rename", "fsync", "mkdir"):
            monkeypatch.setattr(os, name, self.failing(getattr(os, name)))
        monkeypatch.setattr(atomic, "open", self.open, raising=False)

    def strike(self):
        self.calls += 1
        if self.calls == self.at or (self.forever and self.calls > self.at):
            self.fault()

    def failing(self, function):
        def call(*args, **kwargs):
            self.strike()
            return function(*args, **kwargs)

        return call

    def open(self, path, mode):
        self.strike()
        file = open(path, mode)  # noqa: SIM115
        write = file.write

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def __getattr__(self, name):
                return getattr(file, name)

            def write(_, data):
                write(data[: len(data) // 2])
                file.flush()
                self.strike()
                return write(data[len(data) // 2 :])

        return Full()


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("step", [2, 3])
def test_a_full_disk_at_any_call(saved, monkeypatch, step, forever):
    original, raised = content(saved), 0
    for at in itertools.count(1):
        with restored(saved, original):
            message = ""
            with monkeypatch.context() as patch:
                faults = Faults(patch, at, forever, no_space)
                try:
                    checkpoint.save(saved, step, tree_of(5))
                except StoreError as error:
                    message = str(error)
            if not message:  # `mkdir` may fail where the directory exists
                assert_same(checkpoint.load(saved, LIKE)[0], tree_of(5))
                if at > faults.calls:
                    break
                continue
            assert "free space" in message
            assert str(saved) in message
            raised += 1
            if forever and step == 2 and temporaries(saved):
                continue  # the rename failed, and so did the way back
            assert not temporaries(saved)
            got, _, newest = checkpoint.load(saved, LIKE)
            assert newest >= 2
            assert_same(got, tree_of(5 if bits(got["half"]) == bits(tree_of(5)["half"]) else 2))
            older = checkpoint._steps(saved)[1]
            assert_same(checkpoint.load(saved, LIKE, step=older)[0], tree_of(older))
            checkpoint.save(saved, step, tree_of(5))
            assert_same(checkpoint.load(saved, LIKE)[0], tree_of(5))
    assert raised >= 10


def test_a_limit_of_the_real_system(saved):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            checkpoint.save(saved, 3, np.zeros(1 << 16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not temporaries(saved)
    assert checkpoint._steps(saved) == [2, 1]


@pytest.mark.parametrize("place", ["file", "file/below", "x" * 300])
def test_a_place_that_cannot_be_a_directory(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=place):
        checkpoint.save(tmp_path / place, 0, {})
    with pytest.raises(StoreError, match=place):
        checkpoint.load(tmp_path / place, {})


SERVER = """
import itertools, os, signal, sys
import numpy as np
from superposition._internal import atomic
from superposition.storage import checkpoint

def tree_of(step):
    return {"a": np.full(2000, step), "b": [np.random.default_rng(step).bytes(0) or np.float64(step), None]}

def save_for_ever(directory, at):
    calls = itertools.count(1)
    def deadly(function):
        def call(*args, **kwargs):
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call
    for name in ("rename", "fsync", "mkdir", "open", "unlink", "rmdir", "listdir"):
        setattr(os, name, deadly(getattr(os, name)))
    atomic.open = deadly(open)
    done = checkpoint.latest(directory)
    for step in itertools.count(0 if done is None else done + 1):
        checkpoint.save(directory, step, tree_of(step), {"step": step})
        os.write(1, b"%d\\n" % step)

for line in sys.stdin:
    directory, at = line.split()
    if (pid := os.fork()) == 0:
        save_for_ever(directory, int(at))
    os.write(1, b"pid %d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


SERVER_LIKE = {"a": np.zeros(2000, np.int64), "b": [np.float64(0), None]}


@pytest.fixture(scope="module")
def server():
    """A process that forks for each line it reads; the fork saves until it is killed."""
    with started("-c", SERVER, stdin=subprocess.PIPE, stderr=None) as process:
        yield process


def run_until_killed(server, directory, *, at=0, after=None):
    """Acknowledged steps of a process killed at its call `at`, or `after` so many and some seconds."""
    server.stdin.write(f"{directory} {at}\n")
    server.stdin.flush()
    pid, acknowledged = None, []
    for line in server.stdout:
        if line == "dead\n":
            return acknowledged
        if line.startswith("pid"):
            pid = int(line.split()[1])
        else:
            acknowledged.append(int(line))
        if after is not None and pid is not None and len(acknowledged) >= after[0]:
            signal.sigtimedwait([], after[1])
            os.kill(pid, signal.SIGKILL)
            after = None
    raise AssertionError("the server ended")


def assert_survived(directory, acknowledged):
    tree, metadata, step = checkpoint.load(directory, SERVER_LIKE)
    assert step >= acknowledged
    for older in checkpoint._steps(directory):
        checkpoint.verify(directory, older)  # nothing half written or half removed has a step's name
    assert metadata == {"step": step}
    assert (tree["a"] == step).all()
    assert tree["b"][0] == step
    return step


def test_kill_at_random_times(server, tmp_path):
    rng, newest, torn = random.Random(0), 0, 0
    checkpoint.save(tmp_path, 0, {"a": np.zeros(2000, np.int64), "b": [np.float64(0), None]}, {"step": 0})
    for _ in range(60):
        acknowledged = run_until_killed(server, tmp_path, after=(rng.randrange(3), rng.uniform(0, 0.03)))
        torn += bool(temporaries(tmp_path))
        newest = assert_survived(tmp_path, max([newest, *acknowledged]))
    assert torn >= 5  # the kills did strike inside a save
    checkpoint.save(tmp_path, newest + 1, {})
    assert not temporaries(tmp_path)
    assert len(os.listdir(tmp_path)) == 2


def test_kill_at_every_call(server, tmp_path):
    newest = 0
    checkpoint.save(tmp_path, 0, {"a": np.zeros(2000, np.int64), "b": [np.float64(0), None]}, {"step": 0})
    for at in range(1, 60):  # more than two saves
        newest = assert_survived(tmp_path, max([newest, *run_until_killed(server, tmp_path, at=at)]))
    assert newest > 59
