"""`superposition sae train` that is stopped or killed goes on to the same bits."""

import signal
import time

import numpy as np
import pytest

from superposition.cli.sae.config import TrainConfig
from tests.support.processes import output, started, until
from tests.support.sae_commands import ORTHOGONAL, TINY, digests, run

COMMAND = [
    *("-m", "superposition", "sae", "train", *ORTHOGONAL, "--d-sae", "8", "--k", "1", "2"),
    *("--seed", "0", "1", "--steps", "12000", "--batch-size", "64", "--examples", "1000"),
    *("--checkpoint-seconds", "0.05", "--memory-gb", "0.000045"),
]


def launch(out, *extra):
    return started(*COMMAND, "--out", out, *extra)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_continue_and_changes_no_bit(
    tmp_path, capsys, interrupted_in_third, signum
):
    arguments = ["train", *ORTHOGONAL, *TINY, "--steps", "100", "--out"]
    assert run(*arguments, tmp_path / "whole", capsys=capsys)[0] == 0
    chunks = interrupted_in_third(signum)
    out = tmp_path / "a"
    status, _, errors = run(*arguments, out, capsys=capsys)
    assert (status, errors.count("\n")) == (128 + signum, 0)
    assert "--resume" in errors
    assert not out.exists()
    status, _, errors = run(*arguments, out, capsys=capsys)
    assert (status, "--resume" in errors) == (2, True)
    begun = len(chunks)
    assert run(*arguments, out, "--resume", capsys=capsys)[0] == 0
    assert chunks[begun] > 0  # from the checkpoint
    assert digests(out) == digests(tmp_path / "whole")
    for file in ("results.json", "history.json"):
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


@pytest.mark.slow
def test_kill_at_any_instant_then_resume_is_bit_identical(tmp_path):
    """Killed after a checkpoint, after a later one, and while the results are being written."""
    whole, out = tmp_path / "whole", tmp_path / "a"
    with launch(whole) as process:
        errors = output(process)[1]
        assert process.returncode == 0, errors
    work, dice, before = tmp_path / "a.partial", np.random.default_rng(0), set()
    for instant in ("training/block-*/step-*", "training/block-*/step-*", "new/*"):
        with launch(out, "--resume") as process:
            until(lambda i=instant, b=before: set(work.glob(i)) - b, process)
            time.sleep(dice.uniform(0, 0.1) if "step" in instant else 0)
        assert not out.exists()
        before = set(work.glob("training/block-*/step-*"))
        assert before
    with launch(out, "--resume") as process:
        errors = output(process)[1]
        assert process.returncode == 0, errors
    assert digests(out) == digests(whole)
    for file in ("results.json", "history.json"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    assert not work.exists()


def test_a_script_plans_a_run():
    run_, axes = TrainConfig(k=(2.0, 4.0), learning_rate=(1e-3,), seed=(3,)).plan(6, None)
    assert (run_.sae.d_sae, run_.sae.k, run_.optimizer.learning_rate) == (24, 2, 1e-3)
    assert axes == {"k": (2, 4), "seed": (3,)}
