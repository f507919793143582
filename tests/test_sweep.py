import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import jax
import numpy as np
import optax
import pytest
import xarray as xr

from superposition import geometry
from superposition._internal.lock import held
from superposition.errors import ConfigError, Interrupted, StoreError
from superposition.expected_loss import reference_loss
from superposition.features import Anticorrelated, Correlated, SparseUniform
from superposition.toy import AbsoluteValue, Linear, ReLUHidden, ReLUOutput
from superposition.training import DIVERGED, DONE, blocks, open_sweep, sweep
from superposition.training.grid import cells_at, parse
from superposition.training.optimizer import AdamW
from superposition.training.toy import Program, ToyRun, static_part
from superposition.typing import ToyParams

TINY = ToyRun(ReLUOutput(2, 1), steps=40, batch_size=32)
AXES = {"density": (1.0, 0.3, 0.1), "importance_base": (0.5, 2.0), "seed": range(2)}


def same(a, b):
    return all(
        a[name].values.tobytes() == b[name].values.tobytes() for name in ("W", "b", "loss", "steps", "status")
    )


def test_results_are_labelled_as_the_design_names_them(tmp_path):
    data = sweep(TINY, AXES, out=tmp_path / "a.zarr")
    assert data["W"].dims == ("density", "importance_base", "seed", "n_hidden", "n_features")
    assert data["b"].dims == ("density", "importance_base", "seed", "n_features")
    assert data["loss"].dims == ("density", "importance_base", "seed")
    assert (data["status"] == DONE).all()
    assert (data["steps"] == TINY.steps).all()
    np.testing.assert_allclose(data["density"], AXES["density"])
    reread = xr.open_zarr(tmp_path / "a.zarr")
    assert same(data, reread)
    assert len(data["loss"].to_dataframe()) == 12
    assert not (tmp_path / "a.zarr.partial").exists()


def test_loss_is_the_exact_loss_of_the_stored_parameters():
    data = sweep(TINY, AXES)
    for d, r, s in np.ndindex(3, 2, 2):
        cell = data.isel(density=d, importance_base=r, seed=s)
        importance = float(cell.importance_base) ** np.arange(2)
        exact = reference_loss(
            ToyParams(cell.W.values, cell.b.values), importance, float(cell.density), activation="relu"
        )
        assert float(cell.loss) == pytest.approx(exact, rel=1e-6)


def count_compilations(monkeypatch):
    counted = []
    original = Program.step
    monkeypatch.setattr(Program, "step", lambda *args: counted.append(1) or original(*args))
    return counted


def test_500_densities_by_20_importances_compile_once(monkeypatch):
    jax.clear_caches()
    traced = count_compilations(monkeypatch)
    run = ToyRun(ReLUOutput(2, 1), steps=3, batch_size=8)
    data = sweep(run, {"density": np.geomspace(1, 0.01, 500), "importance_base": np.geomspace(0.1, 10, 20)})
    assert data["loss"].shape == (500, 20)
    assert np.isfinite(data["loss"]).all()
    assert len(traced) == 1
    sweep(run, {"density": np.geomspace(0.9, 0.02, 500), "importance_base": np.geomspace(0.2, 5, 20)})
    assert len(traced) == 1


def test_static_axes_are_grouped_one_compilation_each_and_padded(monkeypatch):
    jax.clear_caches()
    traced = count_compilations(monkeypatch)
    data = sweep(ToyRun(ReLUOutput(6, 1), steps=5, batch_size=8), {"n_hidden": (1, 3), "density": (0.5, 0.1)})
    assert len(traced) == 2
    assert data["W"].dims == ("n_hidden", "density", "hidden", "n_features")
    assert np.isnan(data["W"].sel(n_hidden=1).isel(hidden=slice(1, None))).all()
    assert np.isfinite(data["W"].sel(n_hidden=3)).all()
    both = sweep(ToyRun(steps=5, batch_size=8), {"model": ("linear", "relu-output"), "n_features": (5, 7)})
    assert both["W"].dims == ("model", "n_features", "n_hidden", "feature")
    assert list(both["model"].values) == ["linear", "relu-output"]


@pytest.mark.parametrize("share", [True, False])
def test_cells_of_a_seed_share_a_draw_and_seeds_never_do(share):
    run = ToyRun(ReLUOutput(2, 1), steps=20, batch_size=16)
    data = sweep(run, {"density": (0.5, 0.5), "seed": (3, 4)}, share_draws=share)
    W = data["W"].values
    np.testing.assert_allclose(W[0], W[1], rtol=1e-5)  # same seed, same setting: same model
    assert not np.allclose(W[0, 0], W[0, 1])
    alone = sweep(run, {"density": (0.5,), "seed": (4,)})["W"].values
    np.testing.assert_allclose(W[0, 1], alone[0, 0], rtol=1e-4)  # a seed means one stream, however batched


def test_blocks_cover_every_cell_once_whatever_the_memory(monkeypatch):
    monkeypatch.setattr(blocks, "CACHE_EXAMPLES", 32 * 64)
    whole = sweep(TINY, {"density": np.geomspace(1, 0.1, 30), "importance_base": (0.5, 1, 2), "seed": (0, 1)})
    cell = blocks.bytes_per_cell(TINY)
    for gigabytes in (cell * 7.5 * blocks.PLANNED_CORES / 2**30, cell * 1.1 * blocks.PLANNED_CORES / 2**30):
        axes = {"density": np.geomspace(1, 0.1, 30), "importance_base": (0.5, 1, 2), "seed": (0, 1)}
        parsed = parse(TINY, axes)
        plan = blocks.plan(TINY, parsed, gigabytes, True)
        seen = np.zeros((30, 3, 2), int)
        for region in blocks.regions(parsed, plan.shape):
            seen[region] += 1
        assert (seen == 1).all()
        assert plan.cells <= max(1, gigabytes * 2**30 / blocks.PLANNED_CORES / cell)
        small = sweep(TINY, axes, memory_gb=gigabytes)
        np.testing.assert_allclose(small["W"], whole["W"], rtol=1e-3, atol=1e-5)
    with pytest.raises(ConfigError, match="not even one model"):
        sweep(TINY, AXES, memory_gb=1e-9)


def test_swept_optimizer_fields_and_any_optax_optimizer():
    data = sweep(TINY, {"learning_rate": (0.0, 1e-2), "seed": (0,)})
    start = Program(static_part(TINY), True).start(cells_at(TINY, [], np.zeros((1, 0), int)))[1].params.W
    np.testing.assert_array_equal(data["W"].values[0, 0], start[0])
    assert not np.allclose(data["W"].values[1, 0], start[0])
    clipped = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(0.5))
    run = ToyRun(ReLUOutput(2, 1), optimizer=clipped, steps=5, batch_size=16)
    W = sweep(run, {"density": (1.0, 0.1)})["W"].values
    moved = np.abs(W - np.asarray(start)[0]).sum((1, 2))
    assert ((moved > 0) & (moved < 0.01)).all()  # clipped cell by cell, not over the whole block


def test_a_sweep_with_an_optax_optimizer_resumes_in_another_process(tmp_path):
    def run():
        return ToyRun(ReLUOutput(2, 1), optimizer=optax.adam(1e-2), steps=5, batch_size=16)

    out = tmp_path / "a.zarr"
    first = sweep(run(), {"density": (1.0, 0.1)}, out=out).load()
    assert same(first, sweep(run(), {"density": (1.0, 0.1)}, out=out, resume=True))


def test_a_failing_cell_leaves_its_neighbours_bit_equal():
    axes = {"density": (0.5, 0.3, 0.1), "learning_rate": (1e-3, 1e-3)}
    healthy = sweep(TINY, axes)
    sick = sweep(
        TINY,
        axes | {"learning_rate": (1e-3, 1e3)},
    )
    run = ToyRun(ReLUOutput(2, 1), optimizer=AdamW(weight_decay=1000.0), steps=400, batch_size=32)
    broken = sweep(run, {"learning_rate": (1e-5, 900.0)})
    assert broken["status"].values.tolist() == [DONE, DIVERGED]
    assert np.isfinite(broken["W"].values).all()  # the last good step is kept
    assert broken["steps"].values[1] < 400
    for name in ("W", "b", "loss"):
        np.testing.assert_array_equal(sick[name].values[:, 0], healthy[name].values[:, 0])


@dataclass(frozen=True)
class Tripled(SparseUniform):
    """A law that the exact loss does not know, since a subclass has to declare `exact` itself."""

    def values(self, u):
        return 3 * super().values(u)


@pytest.mark.parametrize("law", [Correlated(n_sets=2), Anticorrelated(n_sets=2), Tripled()])
@pytest.mark.parametrize("model", [ReLUOutput(4, 2), ReLUHidden(4, 2), AbsoluteValue(4, 2)])
def test_the_reported_loss_is_that_of_fresh_examples_whatever_the_law(law, model):
    densities = (0.5, 0.1)
    data = sweep(ToyRun(model, law, steps=20, batch_size=32), {"density": densities})
    for k, p in enumerate(densities):
        params = type(model.init_params(jax.random.key(0)))(*(data[name].values[k] for name in model.shapes))
        x = replace(law, density=p).sample(jax.random.key(7), 4, 100_000)
        losses = np.asarray(jax.vmap(model.loss, (None, 0, None))(params, x, np.ones(4)))
        # Both sides may be sampled: 65,536 examples there.
        error = losses.std() * np.sqrt(1 / 100_000 + 1 / 65_536)
        assert abs(float(data["loss"][k]) - losses.mean()) < 4 * error


def test_models_with_other_parameters_are_stored_under_the_names_of_theirs(tmp_path):
    model = AbsoluteValue(3, 4)
    run = ToyRun(model, SparseUniform(0.3, signed=True), steps=20, batch_size=32)
    data = sweep(run, {"density": (0.1, 0.5), "seed": range(3)}, out=tmp_path / "a.zarr")
    assert data["W_in"].dims == ("density", "seed", "n_hidden", "n_features")
    assert data["W_out"].dims == ("density", "seed", "n_features", "n_hidden")
    assert data["b"].dims == ("density", "seed", "n_features")
    assert (data["status"] == DONE).all()
    assert set(open_sweep(tmp_path / "a.zarr").data_vars) == {"W_in", "W_out", "b", "loss", "steps", "status"}
    sizes = sweep(run, {"n_hidden": (2, 4), "seed": (1,)})
    assert sizes["W_out"].shape == (2, 1, 3, 4)
    assert np.isnan(sizes["W_out"].values[0, 0, :, 2:]).all()
    assert np.isfinite(sizes["W_out"].values[0, 0, :, :2]).all()


def test_models_of_one_sweep_share_their_parameters():
    run = ToyRun(ReLUOutput(3, 2), steps=2, batch_size=4)
    assert sweep(run, {"model": ("relu-output", "relu-hidden")})["W"].shape == (2, 2, 3)
    with pytest.raises(ConfigError, match="got AbsoluteValue, ReLUOutput: sweep them one at a time"):
        sweep(run, {"model": ("relu-output", "absolute-value")})
    with pytest.raises(ConfigError, match="relu-hidden has no init; got init='anthropic'"):
        sweep(replace(run, model=ReLUOutput(3, 2, init="anthropic")), {"model": ("relu-hidden",)})
    with pytest.raises(ConfigError, match="needs a model without a hidden activation"):
        ToyRun(ReLUHidden(3, 2), objective="exact")


def test_exact_objective_descends_to_the_linear_optimum():
    from superposition.theory import linear_optimum

    run = ToyRun(
        Linear(6, 2),
        importance_base=0.7,
        objective="exact",
        steps=3000,
        optimizer=AdamW(3e-2, 0.0, schedule="cosine"),
    )
    data = sweep(run, {"density": (1.0, 0.01)})
    for loss, p in zip(data["loss"].values, (1.0, 0.01), strict=True):
        assert loss / linear_optimum(run.importance_vector(), p, 2) - 1 < 1e-4
    assert geometry.represented(data["W"].values).tolist() == [2, 2]


def test_existing_results_are_never_overwritten(tmp_path):
    out = tmp_path / "a.zarr"
    first = sweep(TINY, AXES, out=out).load()
    with pytest.raises(ConfigError, match="exists; give --resume"):
        sweep(TINY, AXES, out=out)
    with pytest.raises(ConfigError, match=r"run\.steps is 40 there and 41 here"):
        sweep(ToyRun(ReLUOutput(2, 1), steps=41, batch_size=32), AXES, out=out, resume=True)
    with pytest.raises(ConfigError, match=r"axes\.density"):
        sweep(TINY, AXES | {"density": (1.0, 0.3, 0.2)}, out=out, resume=True)
    assert same(first, sweep(TINY, AXES, out=out, resume=True))
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(ConfigError, match="not a Zarr store"):
        sweep(TINY, AXES, out=tmp_path / "b.zarr", resume=True)


def test_a_damaged_block_is_noticed_and_trained_again(tmp_path):
    out = tmp_path / "a.zarr"
    first = sweep(TINY, AXES, out=out).load()
    chunk = next(p for p in sorted((out / "W" / "c").rglob("*")) if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged and will be trained again"):
        again = sweep(TINY, AXES, out=out, resume=True)
    assert same(first, again)


def test_one_writer_at_a_time(tmp_path):
    out = tmp_path / "a.zarr"
    with (
        held(tmp_path / "a.zarr.partial", out),
        pytest.raises(StoreError, match="another process"),
    ):
        sweep(TINY, AXES, out=out)
    assert not out.exists()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    """No space at any write of a sweep: a StoreError, and resuming completes to the same bits."""
    from superposition.training.store import records

    expected = sweep(TINY, AXES)
    real, writes = records.write, []

    def put(*args, **kwargs):
        writes.append(1)
        if len(writes) > allowed:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(records, "write", put)
    allowed = 10**9
    sweep(TINY, AXES, out=tmp_path / "whole.zarr")
    total = len(writes)
    assert total > 15
    for allowed in (0, 1, total // 3, total // 2, total - 7, total - 2, total - 1):
        out = tmp_path / f"{allowed}.zarr"
        writes.clear()
        with pytest.raises(StoreError, match="No space left"):
            sweep(TINY, AXES, out=out)
        monkeypatch.setattr(records, "write", real)
        assert same(expected, sweep(TINY, AXES, out=out, resume=True))
        monkeypatch.setattr(records, "write", put)


COMMAND = [
    *(sys.executable, "-m", "superposition", "sweep", "--n-features", "6", "--n-hidden", "2", "--seeds", "2"),
    *("--densities", "1", "0.1", "0.01", "--steps", "30000", "--batch-size", "256"),
]


def launch(out, *extra):
    return subprocess.Popen(
        [*COMMAND, "--out", str(out), *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "a.zarr"
    begun = time.monotonic()
    process = launch(out)
    process.communicate()
    assert process.returncode == 0
    return open_sweep(out).load(), time.monotonic() - begun


@pytest.mark.slow  # a minute: nine processes, killed and continued
def test_kill_at_any_instant_then_resume_is_bit_identical(tmp_path, uninterrupted):
    expected, seconds = uninterrupted
    dice = random.Random(0)
    for attempt in range(3):
        out = tmp_path / f"{attempt}.zarr"
        kills = 0
        while kills < 3:
            process = launch(out, "--resume")
            time.sleep(dice.uniform(0.2, 1.0) * seconds)
            process.kill()
            process.communicate()
            kills += 1
        process = launch(out, "--resume")
        errors = process.communicate()[1].decode()
        assert process.returncode == 0, errors
        assert same(expected, open_sweep(out).load())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_continue(tmp_path, uninterrupted, signum):
    expected, _ = uninterrupted
    out = tmp_path / "a.zarr"
    process = launch(out)
    while not out.exists():
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signum)
    errors = process.communicate()[1].decode()
    assert process.returncode == 128 + signum, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    process = launch(out, "--resume")
    process.communicate()
    assert process.returncode == 0
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


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"densty": (1.0,)}, "no axis named 'densty'; accepted: density"),
        ({"density": ()}, "non-empty"),
        ({"density": (0.0,)}, "(0, 1]"),
        ({"density": (float("nan"),)}, "finite"),
        ({"density": 0.5}, "list of values"),
        ({"density": (0.5,), "sparsity": (0.5,)}, "not both"),
        ({"seed": (2**32,)}, "seed"),
        ({"seed": (-1,)}, "seed"),
        ({"seed": (1.5,)}, "seed"),
        ({"importance": ((1.0, -1.0),)}, "importance"),
        ({"importance": ((1.0, 2.0, 3.0),)}, "2 of them"),
        ({"learning_rate": (-1.0,)}, "learning_rate"),
        ({"n_hidden": (0,)}, "n_hidden"),
        ({"model": ("tanh",)}, "linear, relu-output"),
        ({"batch_size": (0,)}, "batch_size"),
        ({}, "at least one axis"),
    ],
)
def test_bad_axes_are_refused_before_anything_runs(axes, said):
    with pytest.raises(ConfigError) as error:
        sweep(TINY, axes)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
