"""Grids equal runs alone, and a run that was stopped or killed equals one that was not, to the bit."""

import signal
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

from superposition.activations import array_stream
from superposition.errors import ConfigError
from superposition.sae import BatchTopK, JumpReLU, Matryoshka, ReLU, TopK
from superposition.storage import checkpoint
from superposition.training import SAERun, fit, loop, sae_blocks
from superposition.training.optimizer import Adam
from tests.oracles.sae_cases import TRAINED, recipe
from tests.support.processes import output, started

X = np.random.default_rng(0).normal(size=(400, 5)) @ np.diag([3, 2, 1, 1, 0.5]) + 0.3
STREAM = array_stream(jax.random.key(0), X.astype(np.float32))
ADAM = Adam(learning_rate=3e-3, eps=1e-4)  # an eps that does not turn rounding of tiny gradients into steps
STEPS = 30


def run(sae, **options):
    return SAERun(sae, ADAM, **{"steps": STEPS, "batch_size": 32} | options)


def assert_same_sae(a, b, rtol=2e-4, atol=2e-5):
    assert type(a.sae) is type(b.sae)
    assert a.params.keys() == b.params.keys()
    for name, array in a.params.items():
        np.testing.assert_allclose(array, b.params[name], rtol=rtol, atol=atol, err_msg=name)
    for name, values in a.history.items():
        np.testing.assert_allclose(values, b.history[name], rtol=1e-3, atol=1e-4, err_msg=name)


def assert_same_bits(a, b):
    assert a.sae == b.sae
    assert a.fault == b.fault
    for x, y in zip(
        jax.tree.leaves((a.params, a.history)), jax.tree.leaves((b.params, b.history)), strict=True
    ):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize(
    ("sae", "axes", "alone"),
    [
        (
            ReLU(5, 8),
            {"seed": (0, 3), "penalty": (0.1, 2.0), "width": (5, 8)},
            [(6, {"penalty": 2.0, "width": 5}, 3)],
        ),
        (TopK(5, 8), {"k": (1, 3), "seed": (0, 3)}, [(1, {"k": 1}, 3)]),
        (BatchTopK(5, 8), {"k": (1.5, 3.0), "width": (6, 8)}, [(0, {"k": 1.5, "width": 6}, 0)]),
        (Matryoshka(5, 8, n_sampled=2), {"k": (1.5, 3.0), "seed": (0, 3)}, [(3, {"k": 3.0}, 3)]),
        (
            JumpReLU(5, 8),
            {"threshold": (0.01, 0.5), "bandwidth": (0.1, 1.0)},
            [(2, {"threshold": 0.5, "bandwidth": 0.1}, 0)],
        ),
    ],
    ids=["relu", "topk", "batch-topk", "matryoshka", "jumprelu"],
)
def test_a_cell_of_a_grid_is_the_run_alone(sae, axes, alone):
    fields = {name: values[-1] for name, values in axes.items() if name == "k"}
    grid = fit(run(replace(sae, **fields)), STREAM, axes)
    assert len(grid) == np.prod([len(v) for v in axes.values()])
    for index, fields, seed in alone:
        settings = grid[index].settings
        assert all(settings[k] == v for k, v in fields.items())
        assert settings.get("seed", seed) == seed
        single = fit(run(replace(sae, **fields)), STREAM, seed=seed)[0]
        assert_same_sae(grid[index], single)
        assert grid[index].sae == single.sae
    different = [one.history["fvu"] for one in grid]
    assert all((different[0] != other).any() for other in different[1:])


def test_learning_rate_and_target_cells_are_runs_alone():
    base = run(ReLU(5, 8), l0_target=2.0)
    grid = fit(base, STREAM, {"learning_rate": (1e-3, 1e-2), "l0_target": (2.0, 3.0)})
    single = fit(replace(base, optimizer=replace(ADAM, learning_rate=1e-2), l0_target=3.0), STREAM)[0]
    assert_same_sae(grid[3], single)
    assert grid[3].history["penalty"][-1] != grid[2].history["penalty"][-1]


def test_cells_see_the_same_stream_and_blocks_change_nothing():
    relu = run(ReLU(5, 8))
    twins = fit(relu, STREAM, {"seed": (2, 2, 5)})
    assert_same_bits(twins[0], twins[1])
    blocks = fit(relu, STREAM, {"seed": (2, 2, 5)}, memory_gb=1e-9)
    assert_same_sae(twins[0], blocks[0])
    assert_same_sae(twins[2], blocks[2])


@pytest.mark.parametrize("name", TRAINED)
def test_stopping_and_resuming_gives_the_same_bits(name, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "FIRST_CHUNK", 7)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr(
        sae_blocks, "is_small", lambda sae: False
    )  # one block, so that `stop` is asked in order
    fields = {"resample_every": 9, "resample_inputs": 64, "dead_after": 32} if name == "bricken" else {}
    fields |= {"dead_after": 64} if hasattr(recipe(name), "aux_coefficient") else {}
    sae = recipe(name, d_in=5, **fields)
    target = {"l0_target": 3.0} if name == "gated" else {}  # the controller's memory too
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    straight = fit(run(sae, **target), STREAM, {"seed": (1, 2)}, directory=whole)
    halted = iter([False, False])
    first = fit(
        run(sae, **target), STREAM, {"seed": (1, 2)}, directory=parts, stop=lambda: next(halted, True)
    )
    assert checkpoint.latest(parts / "block-0") == 14
    assert first[0].steps[-1] == 13
    resumed = fit(run(sae, **target), STREAM, {"seed": (1, 2)}, directory=parts)
    for a, b in zip(straight, resumed, strict=True):
        assert_same_bits(a, b)
    final = f"block-0/step-{STEPS:012d}/state.safetensors"  # parameters, moments, counters, history
    assert (whole / final).read_bytes() == (parts / final).read_bytes()
    again = fit(run(sae, **target), STREAM, {"seed": (1, 2)}, directory=parts)  # finished: read, not trained
    assert_same_bits(again[1], straight[1])


def test_a_directory_of_other_settings_is_refused_by_their_difference(tmp_path):
    relu = run(ReLU(5, 8), steps=2)
    fit(relu, STREAM, directory=tmp_path)
    for other, said in (
        (replace(relu, batch_size=64), "run.batch_size is 32 there and 64 here"),
        (replace(relu, sae=ReLU(5, 8, penalty=9.0)), "run.sae.penalty is 5.0 there and 9.0 here"),
        (replace(relu, sae=TopK(5, 8, k=2)), 'run.sae.recipe is "ReLU" there and "TopK" here'),
    ):
        with pytest.raises(ConfigError, match=said):
            fit(other, STREAM, directory=tmp_path)
    with pytest.raises(ConfigError, match="seed is 0 there and 1 here"):
        fit(relu, STREAM, seed=1, directory=tmp_path)
    with pytest.raises(ConfigError, match=r"axes\.penalty"):
        fit(relu, STREAM, {"penalty": (1.0,)}, directory=tmp_path)


CHILD = """
import sys, jax, numpy as np
from pathlib import Path
from superposition.training import loop
from tests.training.test_sae_fit import KILLED, STREAM, fit
loop.CHUNK_SECONDS = 1e-9
fit(KILLED, STREAM, {"seed": (1, 2)}, directory=Path(sys.argv[1]), checkpoint_seconds=0.0,
    progress=lambda done: print("chunk", flush=True))
print("done", flush=True)
"""
KILLED = run(TopK(5, 8, k=2), steps=4000)


@pytest.mark.slow
def test_killing_at_any_moment_and_starting_again_gives_the_same_bits(tmp_path):
    rng = np.random.default_rng(int(time.time()))
    kills = 0
    for _ in range(12):
        with started("-c", CHILD, tmp_path / "killed", stderr=None) as child:
            line = child.stdout.readline()
            if kills < 5 and line.startswith("chunk"):
                time.sleep(rng.uniform(0, 0.5))
                child.send_signal(signal.SIGKILL)
            rest = output(child)[0]
        kills += child.returncode == -signal.SIGKILL
        if child.returncode == 0:
            break
    assert "done" in line + rest
    assert kills >= 2
    killed = fit(KILLED, STREAM, {"seed": (1, 2)}, directory=tmp_path / "killed")
    for a, b in zip(killed, fit(KILLED, STREAM, {"seed": (1, 2)}), strict=True):
        assert_same_bits(a, b)
