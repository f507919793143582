"""Which step of a directory counts: the newest that is whole, and nothing else that lies there."""

import os
import random
import shutil
import subprocess

import pytest

from superposition.errors import CorruptError, StoreError
from superposition.storage import checkpoint
from tests.support.checkpoints import LIKE, MANIFEST, STATE, assert_same, temporaries, tree_of
from tests.support.processes import SECONDS


def test_two_steps_are_kept_and_names_alone_order_them(tmp_path):
    rng = random.Random(0)
    for step in (1, 9, 10, 200):
        path = checkpoint.save(tmp_path, step, tree_of(step))
        for entry in (path, *path.iterdir()):
            os.utime(entry, (rng.uniform(0, 4e9), rng.uniform(0, 4e9)))
    assert sorted(os.listdir(tmp_path)) == ["step-000000000010", "step-000000000200"]
    assert checkpoint.latest(tmp_path) == 200
    for step in (10, 200):
        assert_same(checkpoint.load(tmp_path, LIKE, step=step)[0], tree_of(step))
    checkpoint.save(tmp_path, 201, {}, keep=3)
    assert checkpoint._steps(tmp_path) == [201, 200, 10]
    checkpoint.save(tmp_path, 202, {}, keep=1)
    assert checkpoint._steps(tmp_path) == [202]


def test_a_corrupt_step_does_not_count_as_kept(saved):
    (saved / "step-000000000002" / STATE).write_bytes(b"")
    checkpoint.save(saved, 3, tree_of(3))
    assert checkpoint._steps(saved) == [3, 2, 1]
    checkpoint.save(saved, 4, tree_of(4))
    assert checkpoint._steps(saved) == [4, 3]


def test_going_back_keeps_what_was_just_saved(saved):
    checkpoint.save(saved, 0, tree_of(0))
    assert checkpoint._steps(saved) == [2, 1, 0]


def test_other_names_are_ignored(saved):
    for name in ("step-3", "step-00000000000³", "step-000000000003.bak", "notes.txt", "xstep-000000000009"):
        (saved / name).mkdir()
    (saved / os.fsdecode(b"\xff\xfe")).touch()
    assert checkpoint.latest(saved) == 2
    checkpoint.save(saved, 3, tree_of(3))
    assert (saved / "notes.txt").exists()
    assert checkpoint._steps(saved) == [3, 2]


def test_a_step_may_be_a_link(saved, tmp_path):
    path = saved / "step-000000000002"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(2))
    checkpoint.save(saved, 3, {}, keep=1)
    assert os.listdir(saved) == ["step-000000000003"]
    assert (tmp_path / "elsewhere" / STATE).exists()


def test_nothing_there(tmp_path):
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match="expected a checkpoint"):
            checkpoint.load(directory, {})
        with pytest.raises(StoreError):
            checkpoint.verify(directory)
    checkpoint.save(tmp_path, 1, {})
    with pytest.raises(StoreError, match=r"step 7.*\[1\]"):
        checkpoint.load(tmp_path, {}, step=7)


def test_fallback_is_asked_for_and_loud(saved):
    newest = saved / "step-000000000002" / STATE
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(
        CorruptError, match=r"state\.safetensors: expected \d+ bytes, got \d+; step 1 is good"
    ):
        checkpoint.load(saved, LIKE)
    with pytest.raises(CorruptError):
        checkpoint.verify(saved)
    checkpoint.verify(saved, 1)
    with pytest.warns(RuntimeWarning, match="falling back to step 1"):
        got, metadata, step = checkpoint.load(saved, LIKE, fallback=True)
    assert step == 1
    assert metadata == {"step": 1}
    assert_same(got, tree_of(1))
    (saved / "step-000000000001" / MANIFEST).unlink()
    with pytest.raises(CorruptError, match="no older step is good"):
        checkpoint.load(saved, LIKE, fallback=True)


def test_saving_a_step_again(saved):
    path = saved / "step-000000000002"
    inode = path.stat().st_ino
    checkpoint.save(saved, 2, tree_of(2), {"step": 2})
    assert path.stat().st_ino == inode  # the same content: nothing is touched
    checkpoint.save(saved, 2, tree_of(7))
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(7))
    (path / STATE).write_bytes(b"rot")
    checkpoint.save(saved, 2, tree_of(7))
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(7))
    shutil.rmtree(path)
    path.touch()
    with pytest.raises(CorruptError, match="no directory"):
        checkpoint.load(saved, LIKE)
    checkpoint.save(saved, 2, tree_of(7))
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(7))
    assert not temporaries(saved)


def test_temporaries_of_the_dead_are_swept(saved):
    dead = subprocess.Popen(["true"])
    dead.wait(SECONDS)
    own, other = checkpoint._PROCESS, "0" * 8
    gone = [f".tmp-3-{dead.pid}-{other}00000000", f".tmp-3-{10**30}-{other}00000000"]
    gone += [f".tmp-3-{os.getpid()}-{other}00000000"]  # an earlier process with our number
    stay = [
        f".tmp-3-{os.getppid()}-{other}00000000",
        f".tmp-3-{os.getpid()}-{own}00000000",
        ".tmp-mine",
        ".tmp-3",
    ]
    for name in gone + stay:
        (saved / name / "inside").mkdir(parents=True)
    checkpoint.save(saved, 3, {})
    assert sorted(temporaries(saved)) == sorted(stay)
