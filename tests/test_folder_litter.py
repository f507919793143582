"""What a killed process left beside a folder: swept by the next writer, unless it is somebody's, or the only copy."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from superposition._internal import atomic
from superposition.errors import StoreError
from superposition.storage.formats import _write

WRITER = """
import os, signal, sys
from pathlib import Path
from superposition._internal import atomic

at, calls = int(sys.argv[2]), 0

def counted(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), {signal})
        return function(*args, **kwargs)
    return call

for module, name in ((os, "mkdir"), (os, "rename"), (os, "rmdir"), (os, "unlink"), (os, "fsync"), (atomic, "put")):
    setattr(module, name, counted(getattr(module, name)))
with atomic.replacing(Path(sys.argv[1])) as new:
    atomic.put(new / "who", b"new")
    atomic.put(new / "more", b"x")
print(calls)
"""


def writer(target, at, kill=signal.SIGKILL):
    code = WRITER.format(signal=int(kill))
    return subprocess.Popen([sys.executable, "-c", code, str(target), str(at)], stdout=subprocess.PIPE)


def publish(target, who, overwrite=True):
    files = {"who": who, "more": b"x"}
    _write.publish(target, files, overwrite=overwrite, ours=lambda names: set(names) == {"who", "more"})


def litter(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith(".tmp-"))


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """How many calls to the system a writer makes that replaces a folder."""
    target = tmp_path_factory.mktemp("calls") / "out"
    publish(target, b"old")
    return int(writer(target, -1).communicate()[0])


def test_after_a_kill_at_any_call_the_next_one_leaves_no_litter_and_nothing_is_lost(tmp_path, calls):
    torn = lost = 0
    for at in range(1, calls + 1):
        target = tmp_path / str(at) / "out"
        publish(target, b"old")
        process = writer(target, at)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        torn += bool(litter(target.parent))
        lost += not target.exists()
        atomic.sweep(target)  # as every writer does first
        assert os.listdir(target.parent) == ["out"], at
        assert (target / "who").read_bytes() in (b"old", b"new")
        publish(target, b"next")
        assert os.listdir(target.parent) == ["out"]
    assert torn > 3
    assert lost == 1


def test_the_only_copy_is_put_back_and_not_replaced_unasked(tmp_path):
    target = tmp_path / "out"
    publish(target, b"old")
    new, old = atomic._siblings(target, f"{atomic._key(target)}-{atomic._host()}-00000000")
    new.mkdir()
    target.rename(old)
    with pytest.raises(StoreError, match="overwrite=True"):
        publish(target, b"next", overwrite=False)
    assert (target / "who").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]
    publish(target, b"next")
    assert (target / "who").read_bytes() == b"next"


def test_a_living_writer_keeps_its_folder_whatever_others_do(tmp_path, calls):
    for at in range(2, calls):
        target = tmp_path / str(at) / "out"
        publish(target, b"old")
        process = writer(target, at, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        before = litter(target.parent)
        atomic.sweep(target)
        new = [name for name in before if name.startswith(".tmp-new")]
        assert set(new) <= set(litter(target.parent)) or target.exists(), at
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        assert process.returncode == 0, at
        assert (target / "who").read_bytes() == b"new"
        assert os.listdir(target.parent) == ["out"]


def test_a_new_folder_is_held_by_a_lock_and_not_by_the_number_of_a_process(tmp_path):
    target = tmp_path / "out"
    with atomic.replacing(target) as new:
        atomic.sweep(target)
        assert new.exists()
        handle = os.open(new, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
    assert os.listdir(tmp_path) == ["out"]


def test_what_another_machine_wrote_is_left_and_what_it_moved_away_is_put_back(tmp_path, monkeypatch):
    target = tmp_path / "out"
    unit = f"{atomic._key(target)}-ffffffff-00000000"
    new, old = atomic._siblings(target, unit)
    new.mkdir()
    publish(target, b"old")
    assert litter(tmp_path) == [new.name]
    target.rename(old)
    atomic.sweep(target)
    assert (target / "who").read_bytes() == b"old"
    assert litter(tmp_path) == [new.name]


def test_litter_of_another_target_is_removed_but_not_its_only_copy(tmp_path):
    target, other = tmp_path / "out", tmp_path / ("other" * 45)
    for number, moved in ((1, False), (2, True)):
        new, old = atomic._siblings(other, f"{atomic._key(other)}-{atomic._host()}-0000000{number}")
        (new / "inside").mkdir(parents=True)
        if moved:
            old.mkdir()
    publish(target, b"who")
    assert litter(tmp_path) == [new.name, old.name]
    publish(other, b"other", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == sorted(["out", other.name])


def test_a_part_of_an_old_folder_never_comes_back(tmp_path, monkeypatch):
    """A kill while the old folder is removed, and then the user removes the new one."""
    target = tmp_path / "out"
    publish(target, b"old")
    monkeypatch.setattr(atomic, "remove", lambda path: None)  # as if killed before anything was removed
    publish(target, b"new")
    monkeypatch.undo()
    atomic.remove(target)
    publish(target, b"next", overwrite=False)
    assert (target / "who").read_bytes() == b"next"
    assert os.listdir(tmp_path) == ["out"]


def test_without_locks_the_folder_is_written_and_nothing_is_swept(tmp_path, monkeypatch):
    def none(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    target = tmp_path / "out"
    new, _ = atomic._siblings(target, f"{atomic._key(target)}-{atomic._host()}-00000000")
    new.mkdir()
    publish(target, b"who")
    assert litter(tmp_path) == [new.name]


def test_names_that_are_not_ours_are_left(tmp_path):
    names = [".tmp-mine", ".tmp-new-123-abcdef00", ".tmp-old-123-abcdef00", ".tmp-new-", ".tmp-old-x"]
    for name in names:
        (tmp_path / name).mkdir()
    link = tmp_path / f".tmp-new-{'0' * 16}-{atomic._host()}-00000000"
    (tmp_path / "elsewhere").mkdir()
    Path(link).symlink_to(tmp_path / "elsewhere")
    publish(tmp_path / "out", b"who")
    assert set(names) | {link.name} == set(litter(tmp_path))
    assert (tmp_path / "elsewhere").is_dir()
