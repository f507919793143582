"""A sweep that is killed or stopped at any instant goes on to the same bits."""

import random
import signal
import time

import pytest

from superposition.errors import Interrupted
from superposition.toy import ReLUOutput
from superposition.training import open_sweep, sweep
from superposition.training.toy import ToyRun
from tests.support.processes import output, started, until
from tests.support.sweeps import AXES, same

COMMAND = [
    *("-m", "superposition", "sweep", "--n-features", "6", "--n-hidden", "2", "--seed", "0", "1"),
    *("--density", "1", "0.1", "0.01", "--steps", "30000", "--batch-size", "256"),
]


def launch(out, *extra):
    return started(*COMMAND, "--out", out, *extra)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "a.zarr"
    begun = time.monotonic()
    with launch(out) as process:
        errors = output(process)[1]
    assert process.returncode == 0, errors
    return open_sweep(out).load(), time.monotonic() - begun


@pytest.mark.slow  # a minute: nine processes, killed and continued
def test_kill_at_any_instant_then_resume_is_bit_identical(tmp_path, uninterrupted):
    expected, seconds = uninterrupted
    dice = random.Random(0)
    for attempt in range(3):
        out = tmp_path / f"{attempt}.zarr"
        kills = 0
        while kills < 3:
            with launch(out, "--resume"):
                time.sleep(dice.uniform(0.2, 1.0) * seconds)
            kills += 1
        with launch(out, "--resume") as process:
            errors = output(process)[1]
        assert process.returncode == 0, errors
        assert same(expected, open_sweep(out).load())


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_continue(tmp_path, uninterrupted, signum):
    expected, _ = uninterrupted
    out = tmp_path / "a.zarr"
    with launch(out) as process:
        until(out.exists, process)
        time.sleep(1.0)
        process.send_signal(signum)
        errors = output(process)[1]
    assert process.returncode == 128 + signum, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    with launch(out, "--resume") as process:
        errors = output(process)[1]
    assert process.returncode == 0, errors
    assert same(expected, open_sweep(out).load())


def test_checkpoints_inside_a_block_survive(tmp_path, interrupted_in_third):
    """A stop in mid-block leaves a checkpoint, and the rest of the run starts from it, not from step 0."""
    run = ToyRun(ReLUOutput(2, 1), steps=400, batch_size=32)
    expected = sweep(run, AXES)
    out = tmp_path / "a.zarr"
    chunks = interrupted_in_third(signal.SIGTERM)
    with pytest.raises(Interrupted, match="run again with --resume"):
        sweep(run, AXES, out=out)
    assert list((tmp_path / "a.zarr.partial").glob("block-*/step-*"))
    begun = len(chunks)
    assert same(expected, sweep(run, AXES, out=out, resume=True))
    assert any(start > 0 for start in chunks[begun:])
