"""One writer a directory: handed over without a gap, and what dead writers left is swept by the next."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from superposition._internal import lock
from superposition._internal.lock import held, is_alive
from superposition.errors import StoreError
from superposition.toy import ReLUOutput
from superposition.training import open_sweep, sweep
from superposition.training.toy import ToyRun
from tests.support.processes import SECONDS, output, python, started, until

RUN = ToyRun(ReLUOutput(2, 1), steps=5, batch_size=8)

# Each process takes the lock again and again, and while it has it makes a file that nobody else may have made.
PROCESS = """
import os, sys
from pathlib import Path
from superposition._internal.lock import held
from superposition.errors import StoreError
folder, wanted = Path(sys.argv[1]), int(sys.argv[2])
taken = double = 0
while taken < wanted:
    try:
        with held(folder / "work", folder / "out"):
            taken += 1
            try:
                os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                double += 1
            else:
                os.unlink(folder / "inside")
    except StoreError as error:
        assert "another process is writing" in str(error), error
print(taken, double)
"""


def contend(folder, processes, each):
    with ExitStack() as stack:
        begun = [stack.enter_context(started("-c", PROCESS, folder, each)) for _ in range(processes)]
        said = [output(process) for process in begun]
    assert [errors for _, errors in said] == [""] * processes
    counts = [list(map(int, out.split())) for out, _ in said]
    assert sum(taken for taken, _ in counts) == processes * each
    assert sum(double for _, double in counts) == 0
    assert not (folder / "work").exists()


def test_a_lock_is_handed_over_without_a_gap(tmp_path):
    contend(tmp_path, 4, 300)


@pytest.mark.slow  # some minutes of six processes
def test_a_lock_is_handed_over_without_a_gap_20_000_times(tmp_path):
    contend(tmp_path, 6, 3334)


def test_a_directory_that_comes_and_goes_between_any_two_calls_is_no_fault(tmp_path, monkeypatch):
    """It is there when it is to be made, and again when asked for by name, and gone whenever asked what it is."""
    work, real, calls = tmp_path / "work", os.mkdir, []

    def mkdir(path, mode=0o777):
        calls.append(path)
        if len(calls) <= 5:
            raise FileExistsError(17, "File exists")
        real(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "mkdir", mkdir)
        patch.setattr(lock.os.path, "lexists", lambda path: True)
        with held(work, tmp_path / "out"):
            assert len(calls) == 6
    assert not work.exists()


def test_a_file_that_no_longer_bears_the_name_is_not_the_lock(tmp_path, monkeypatch):
    """Between opening and locking, the holder of the old file may have removed it, and another made a new one."""
    work, real, calls = tmp_path / "work", lock.fcntl.flock, []

    def late(handle, how):
        if not calls:
            (work / "lock").unlink()
            (work / "lock").touch()
        calls.append(handle)
        return real(handle, how)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with held(work, tmp_path / "out"):
        assert len(calls) == 2
        monkeypatch.setattr(lock.fcntl, "flock", real)
        with pytest.raises(StoreError, match="another process is writing"), held(work, tmp_path / "out"):
            pass
    assert not work.exists()


def test_the_lock_stays_with_what_else_is_there_and_a_removed_directory_is_no_fault(tmp_path):
    work = tmp_path / "work"
    with held(work, tmp_path / "out"):
        (work / "step").touch()
    assert sorted(p.name for p in work.iterdir()) == ["lock", "step"]
    with held(work, tmp_path / "out"):
        (work / "step").unlink()
        (work / "lock").unlink()
        work.rmdir()
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreError, match="cannot write beside"),
        held(tmp_path / "file" / "work", tmp_path / "out"),
    ):
        pass


def gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(SECONDS)
    return process.pid


def test_litter_of_dead_processes_is_swept_by_the_next_run_and_that_of_living_ones_is_not(tmp_path):
    out, living = tmp_path / "a.zarr", os.getppid()
    expected = sweep(RUN, {"density": (0.5, 0.1)}, out=out)
    dead = gone()
    assert is_alive(living)
    assert not is_alive(dead)
    kept = [f".a.zarr.new-{living}", f".b.zarr.new-{dead}", ".a.zarr.new-", "c.zarr.partial"]
    swept = [f".a.zarr.new-{dead}"]
    for name in (*kept, *swept):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").touch()
    for name in (f"W/c/0/0/.{dead}.partial", "W/c/0/0/0.5f2c.partial", "records/store.json.77.partial"):
        (out / name).touch()
    assert sweep(RUN, {"density": (0.5, 0.1)}, out=out, resume=True).identical(expected)
    assert not list(out.rglob("*.partial"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.zarr", *kept])


KILLED = """
import os, signal, sys
from superposition.training import sweep
from superposition.training.store import records
from superposition.toy import ReLUOutput
from superposition.training.toy import ToyRun
real, left = os.replace, [int(sys.argv[2])]
def replace(*paths):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*paths)
records.os.replace = replace
sweep(ToyRun(ReLUOutput(2, 1), steps=5, batch_size=8), {"density": (0.5, 0.1), "model": ("linear", "relu-output")},
      out=sys.argv[1], resume=True)
"""


@pytest.mark.parametrize(
    "before_the_end", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4, 6, 30))]
)
def test_a_kill_at_any_write_leaves_a_store_that_reads_and_is_completed_without_litter(
    tmp_path, before_the_end
):
    out, axes = tmp_path / "a.zarr", {"density": (0.5, 0.1), "model": ("linear", "relu-output")}
    expected = sweep(RUN, axes, out=tmp_path / "whole" / "a.zarr")
    writes = sum(path.is_file() for path in (tmp_path / "whole" / "a.zarr").rglob("*"))
    shutil.rmtree(tmp_path / "whole")
    process = python("-c", KILLED, out, max(3, writes - before_the_end))
    assert process.returncode == -9, process.stderr
    if out.exists():
        done = open_sweep(out)["status"].values == 1
        assert done.sum() == (4 if before_the_end == 1 else 2)  # the record is there, or it is not
        assert (open_sweep(out)["loss"].values[done] == expected["loss"].values[done]).all()
    assert list(tmp_path.rglob("*.partial"))
    again = sweep(RUN, axes, out=out, resume=True)
    assert all(again[name].values.tobytes() == expected[name].values.tobytes() for name in expected.data_vars)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    assert not list(out.rglob("*.partial"))


def test_two_fits_do_not_write_one_directory(tmp_path):
    import jax
    import numpy as np

    from superposition.activations import array_stream
    from superposition.sae import TopK
    from superposition.training import SAERun, fit

    x = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    run = SAERun(TopK(d_in=8, d_sae=16, k=2), steps=4, batch_size=32)
    with held(tmp_path / "a", tmp_path / "a"), pytest.raises(StoreError, match="another process is writing"):
        fit(run, array_stream(jax.random.key(0), x), directory=tmp_path / "a")


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [False, True])
def test_a_hangup_stops_as_a_termination_does_unless_nohup_has_it_ignored(tmp_path, ignored):
    out = tmp_path / "a.zarr"
    command = [sys.executable, "-m", "superposition", "sweep", "--n-features", "6", "--n-hidden", "2"]
    command += ["--steps", "2000" if ignored else "2000000", "--batch-size", "64", "--out", str(out)]
    start = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.{}); os.execv(sys.argv[1], sys.argv[1:])"
    )
    launcher = start.format("SIG_IGN" if ignored else "SIG_DFL")
    with started("-c", launcher, *command) as process:
        until(out.exists, process)
        time.sleep(1.0)
        process.send_signal(1)
        errors = output(process)[1]
    if ignored:
        assert process.returncode == 0, errors
    else:
        assert process.returncode == 128 + 1, errors
        assert "stopped by SIGHUP" in errors
        assert "--resume" in errors
