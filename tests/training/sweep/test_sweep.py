"""Sweeps: what they return, what compiles when, and which cells share draws."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import optax
import pytest
import xarray as xr

from superposition import geometry
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.features import Anticorrelated, Correlated, SparseUniform
from superposition.toy import AbsoluteValue, Linear, ReLUHidden, ReLUOutput
from superposition.training import DIVERGED, DONE, blocks, open_sweep, sweep
from superposition.training.grid import parse
from superposition.training.optimizer import AdamW
from superposition.training.toy import Program, ToyRun, static_part
from superposition.training.toy_axes import cells_at
from superposition.typing import ToyParams
from tests.support.sweeps import AXES, TINY, same


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
