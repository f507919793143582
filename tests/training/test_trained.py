"""Trained models as values: what they hold, how they act, what a sweep of them gives, and what files keep."""

import json
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import superposition as sp
from superposition.activations import array_stream, planted_stream
from superposition.errors import ConfigError, CorruptError, StoreError, TrainingError
from superposition.features import PLANTED, thresholds, uniform
from superposition.training import loop
from superposition.training import sae as sae_module
from superposition.training import toy as toy_module
from superposition.training.grid import cells_at

TOY = sp.ToyRun(
    sp.ReLUOutput(6, 2), sp.SparseUniform(density=0.2), importance_base=0.8, steps=40, batch_size=32
)
X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
SAE = sp.SAERun(sp.TopK(d_sae=8, k=2), X, steps=30, batch_size=32)


@pytest.fixture(scope="module")
def toy():
    return sp.fit(TOY, seed=3)


@pytest.fixture(scope="module")
def sae():
    return sp.fit(SAE, seed=1)


# --- one model


def test_a_fit_is_the_same_seed_of_a_sweep(toy, sae):
    grid = sp.sweep(TOY, {"seed": (0, 3)})
    np.testing.assert_array_equal(grid.at(seed=3).W, toy.W)
    assert grid[1].loss == toy.loss
    assert toy.settings == {"seed": 3}
    saes = sp.sweep(SAE, {"seed": (0, 1)})
    for name, array in sae.params.items():
        np.testing.assert_array_equal(saes.at(seed=1).params[name], array)


def test_bound_functions_are_the_models_on_the_parameters(toy, sae):
    latents, x_hat = sae.model.reconstruct(sae.params, X)
    np.testing.assert_allclose(sae.encode(X), latents, atol=1e-5)
    np.testing.assert_allclose(sae.reconstruct(X)[1], x_hat, atol=1e-5)
    np.testing.assert_allclose(sae.decode(latents), x_hat, atol=1e-5)
    assert sae.sae is sae.model
    assert (sae.W_enc.shape, sae.b_enc.shape, sae.W_dec.shape, sae.b_dec.shape) == (
        (5, 8),
        (8,),
        (8, 5),
        (5,),
    )
    x = np.random.default_rng(1).random((2, 7, 6)).astype(np.float32)
    W, b = np.asarray(toy.W), np.asarray(toy.b)
    np.testing.assert_allclose(toy.encode(x), x @ W.T, atol=1e-6)
    np.testing.assert_allclose(toy.apply(x), np.maximum(x @ W.T @ W + b, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda toy, sae: toy.W_dec, "ReLUOutput has no W_dec; its parameters are W, b"),
        (lambda toy, sae: sae.W, "TopK has no W; its parameters are"),
        (lambda toy, sae: toy.sae, "ReLUOutput has no sae"),
    ],
)
def test_a_parameter_that_is_not_there_is_an_attribute_error_that_lists_them(toy, sae, act, said):
    with pytest.raises(AttributeError, match=said):
        act(toy, sae)


def test_it_is_a_pytree_of_its_parameters_that_jit_takes(toy, sae):
    assert len(jax.tree.leaves(toy)) == 2
    doubled = jax.tree.map(lambda a: 2 * a, toy)
    np.testing.assert_array_equal(doubled.W, 2 * np.asarray(toy.W))
    assert (doubled.settings, doubled.recipe) == (toy.settings, toy.recipe)
    loss = jax.jit(lambda one, x: jnp.sum((one.apply(x) - x) ** 2))
    x = np.eye(6, dtype=np.float32)
    other = replace(toy, metadata={"other": 1})
    assert loss(toy, x) == loss(other, x)
    grad = jax.grad(loss)(toy, x)
    assert grad.W.shape == toy.W.shape
    assert jax.jit(lambda one: one)(other).metadata == {"other": 1}  # and not that of an equal model before


def test_activations_are_of_its_own_law_and_seeded(toy):
    one, again, other = (toy.activations(seed).batch(0, 64) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.x, again.x)
    assert not np.array_equal(one.x, other.x)
    with pytest.raises(ConfigError, match="seed must be an integer"):
        toy.activations(-1)
    with pytest.raises(ConfigError, match="without a recipe"):
        replace(toy, recipe=None).activations()


def test_reprs_are_one_line_and_notebooks_get_a_table_and_a_picture(toy, sae):
    assert repr(toy).startswith("Trained(ReLUOutput(n_features=6, n_hidden=2), loss=")
    assert "\n" not in repr(toy) + repr(sae)
    assert "<svg" in toy._repr_html_()
    assert "TopK(d_in=5, d_sae=8, k=2)" in sae._repr_html_()
    text = replace(toy, metadata={"hook_name": "<script>"})._repr_html_()
    assert "<script>" not in text
    grid = sp.sweep(TOY, {"density": (0.1, 0.5), "seed": range(2)})
    assert repr(grid).startswith("Sweep(4 models over density=[0.1, 0.5], seed=[0, 1]; loss ")
    assert "<svg" in grid._repr_html_()


# --- the data of an SAE


def test_widths_come_from_the_data_and_may_be_given():
    assert SAE.sae.d_in == 5
    assert sp.SAERun(sp.TopK(5, 8, k=2), X, steps=30, batch_size=32) == SAE
    transcoder = sp.SAERun(sp.TopK(d_sae=8, k=2), (X, X[:, :3]))
    assert (transcoder.sae.d_in, transcoder.sae.d_out) == (5, 3)
    later = sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=2), steps=30, batch_size=32), X, seed=1)
    np.testing.assert_array_equal(later.W_dec, sp.fit(SAE, seed=1).W_dec)
    with pytest.raises(ConfigError, match="d_in must be the width of the activations, 5; got 4"):
        sp.fit(sp.SAERun(sp.TopK(4, 8, k=2), X))
    with pytest.raises(ConfigError, match="d_in, the width of the data, must be an integer"):
        sp.TopK(d_sae=8, k=2).init_params(jax.random.key(0))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=2))), "SAEs are trained on data"),
        (lambda: sp.SAERun(sp.TopK(d_sae=8, k=2), "x.npy"), "data must be a stream of activations"),
        (lambda: sp.fit(TOY, X), "leave data out"),
        (lambda: sp.fit(sp.TopK(d_sae=8, k=2), X), "run must be .*ToyRun.*SAERun"),
        (lambda: sp.fit(TOY, seed=-1), "seed must be an integer"),
        (lambda: sp.fit(TOY, progress=3), "progress must be True, False or a function"),
        (lambda: sp.sweep(SAE, {}), "axes must name at least one axis"),
        (lambda: sp.sweep(SAE, {"seed": (0,)}, at_steps=(1,)), "are for toy models"),
        (lambda: sp.sweep(TOY, {"density": (0.1,)}, at_steps=(1,)), "the one axis is seed"),
        (lambda: sp.sweep(TOY, {"seed": (0, 1)}, start=[]), "the one axis is a seed"),
        (lambda: sp.sweep(TOY, {"seed": (0,)}, start=[1]), "start must be trained toy models"),
        (lambda: sp.evaluate(TOY), "evaluate takes a Trained"),
        (lambda: sp.save(1, "x"), "trained must be .*Trained"),
    ],
)
def test_bad_input_is_refused_by_name(act, said):
    with pytest.raises(ConfigError, match=said):
        act()


def test_a_toy_that_diverges_raises():
    with pytest.raises(TrainingError, match="not finite"):
        sp.fit(replace(TOY, optimizer=sp.AdamW(900.0), model=sp.Linear(6, 2), steps=200))


# --- sweeps


def test_every_grid_point_has_its_own_recipe_and_no_padding():
    axes = {
        "n_hidden": (1, 2),
        "sparsity": (0.5, 0.9),
        "learning_rate": (1e-3, 1e-2),
        "importance_base": (1.0, 0.5),
    }
    toys = sp.sweep(TOY, axes)
    one = toys.at(n_hidden=1, sparsity=0.9, learning_rate=1e-2, importance_base=0.5)
    wanted = sp.ToyRun(
        sp.ReLUOutput(6, 1),
        sp.SparseUniform(sparsity=0.9),
        importance_base=0.5,
        optimizer=sp.AdamW(1e-2),
        steps=40,
        batch_size=32,
    )
    assert one.recipe == wanted
    assert one.W.shape == (1, 6)
    np.testing.assert_allclose(one.W, sp.fit(wanted).W, atol=1e-6)  # another block, other vector lanes
    assert len(list(toys)) == len(toys) == 16
    assert [t.settings for t in toys][-1] == {k: v[-1] for k, v in axes.items()}


def test_best_is_over_seeds_and_asks_for_the_rest():
    toys = sp.sweep(TOY, {"density": (0.1, 0.5), "seed": range(4)})
    loss = toys["loss"].values
    assert toys.best(density=0.5).settings == {"density": 0.5, "seed": int(loss[1].argmin())}
    assert toys.best(over=("density", "seed")).loss == loss.min()
    assert toys[-1].loss == loss[1, 3]
    assert [t.loss for t in toys[1:3]] == list(loss.ravel()[1:3])
    for act, said in (
        (toys.best, "give a label for density"),
        (lambda: toys.best(density=0.2), "no density=0.2; there are"),
        (lambda: toys.best(rate=0.2), "no axis named 'rate'"),
        (lambda: toys.best(over="rate"), "over must name axes"),
        (lambda: toys.at(density=0.1), "give a label for seed"),
    ):
        with pytest.raises(ConfigError, match=said):
            act()
    assert toys.sel(density=0.1).sizes["seed"] == 4  # what only the dataset has
    with pytest.raises(AttributeError, match="neither a Sweep nor its dataset"):
        toys.columns_of  # noqa: B018


def test_the_best_of_a_sweep_is_never_one_that_diverged():
    toys = sp.sweep(
        replace(TOY, model=sp.Linear(6, 2), steps=200), {"learning_rate": (1e-3, 900.0), "seed": (0,)}
    )
    assert toys.best(over=("learning_rate", "seed")).settings["learning_rate"] == 1e-3
    assert "not finite" in toys.at(learning_rate=900.0).fault


def test_paths_and_going_on_are_options():
    path = sp.sweep(TOY, {"seed": (0, 1)}, at_steps=(0, 10, 40))
    assert path["W"].dims == ("seed", "step", "n_hidden", "n_features")
    np.testing.assert_array_equal(path.best(seed=1).W, sp.fit(TOY, seed=1).W)
    assert path.at(seed=0, step=10).loss == float(path["loss"].sel(seed=0, step=10))
    start = [sp.fit(replace(TOY, features=sp.SparseUniform(density=p))) for p in (0.1, 0.5)]
    on = sp.sweep(TOY, {"seed": (0,)}, start=start)
    assert [t.recipe.features.density for t in on] == [0.1, 0.5]
    assert all(after.loss < before.loss for after, before in zip(on, start, strict=True))


def test_saes_of_a_grid_are_labelled_and_padded():
    run = sp.SAERun(sp.TopK(d_sae=8, k=2), X, steps=30, batch_size=32)
    saes = sp.sweep(run, {"width": (4, 8), "seed": (0, 1)})
    assert saes["W_dec"].dims == ("width", "seed", "d_sae", "d_in")
    assert np.isnan(saes["W_dec"].sel(width=4).values[:, 4:]).all()
    np.testing.assert_array_equal(
        saes["W_dec"].sel(width=4, seed=1).values[:4], saes.at(width=4, seed=1).W_dec
    )
    assert saes.best(width=8).loss == np.nanmin(saes.loss[1])
    assert saes.at(width=4, seed=0).recipe.sae.width == 4


# --- files


def test_a_toy_is_read_back_to_the_bit(toy, tmp_path):
    back = sp.load(toy.save(tmp_path / "toy"))
    assert (back.recipe, back.settings, back.loss, back.model) == (
        toy.recipe,
        toy.settings,
        toy.loss,
        toy.model,
    )
    for a, b in zip(jax.tree.leaves(back.params), jax.tree.leaves(toy.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(back.activations().batch(0, 8).x, toy.activations().batch(0, 8).x)
    with pytest.raises(ConfigError, match="exists; give overwrite=True"):
        toy.save(tmp_path / "toy")
    replace(toy, metadata={"note": "two"}).save(tmp_path / "toy", overwrite=True)
    assert sp.load(tmp_path / "toy").metadata == {"note": "two"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy"]


def test_every_damaged_byte_of_a_toys_files_is_found(toy, tmp_path):
    toy.save(tmp_path / "toy")
    for path in (tmp_path / "toy").iterdir():
        good = path.read_bytes()
        for place in range(0, len(good), 37):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            with pytest.raises(CorruptError, match="toy is damaged"):
                sp.load(tmp_path / "toy")
        path.write_bytes(good)
    (tmp_path / "toy" / "params.safetensors").unlink()
    with pytest.raises(StoreError, match="is missing"):
        sp.load(tmp_path / "toy")


def test_an_sae_is_read_back_with_its_recipe_and_what_files_say(sae, tmp_path):
    path = replace(sae, metadata={"hook_name": "hook", "model_name": "m"}).save(tmp_path / "sae")
    back = sp.load(path)
    assert (back.recipe, back.settings, back.metadata["hook_name"]) == (sae.recipe, {"seed": 1}, "hook")
    np.testing.assert_allclose(back.encode(X), sae.encode(X), atol=1e-5)
    again = sp.load(back.save(tmp_path / "again"))
    np.testing.assert_array_equal(again.W_dec, sae.W_dec)


def test_a_store_opens_as_the_sweep_that_wrote_it(tmp_path):
    axes = {"density": (0.1, 0.5), "importance": [(1.0,) * 6, (2.0,) * 6], "seed": (0, 1)}
    toys = sp.sweep(TOY, axes, out=tmp_path / "s.zarr")
    back = sp.load(tmp_path / "s.zarr")
    assert back.axes == toys.axes
    for a, b in zip(back, toys, strict=True):
        assert (a.recipe, a.loss, a.settings) == (b.recipe, b.loss, b.settings)
        np.testing.assert_array_equal(a.W, b.W)
    data = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())
    assert data["attributes"]["config"]


def test_a_store_of_an_optimizer_that_no_file_holds_opens_and_says_so(tmp_path):
    sp.sweep(replace(TOY, optimizer=optax.sgd(0.1)), {"seed": (0,)}, out=tmp_path / "s.zarr")
    recipe = sp.load(tmp_path / "s.zarr")[0].recipe
    with pytest.raises(ConfigError, match="an optax transformation, which no file holds"):
        sp.fit(recipe)


@pytest.mark.parametrize("run", [TOY, SAE])
def test_fit_writes_once_and_reads_what_is_there(run, tmp_path):
    one = sp.fit(run, out=tmp_path / "one", seed=2)
    assert [p.name for p in tmp_path.iterdir()] == ["one"]
    with pytest.raises(ConfigError, match="exists; give resume=True"):
        sp.fit(run, out=tmp_path / "one", seed=2)
    again = sp.fit(run, out=tmp_path / "one", seed=2, resume=True)
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(one.params), strict=True):
        np.testing.assert_array_equal(a, b)
    for other, seed in ((run, 3), (replace(run, steps=31), 2)):
        with pytest.raises(ConfigError, match="was trained with other settings"):
            sp.fit(other, out=tmp_path / "one", seed=seed, resume=True)


# --- evaluation


def test_evaluation_is_the_metrics_of_the_held_out_data(sae):
    numbers = sp.evaluate(sae, X)
    latents, x_hat = sae.reconstruct(X)
    assert numbers["fvu"] == pytest.approx(sp.metrics.fvu(X, np.asarray(x_hat)), rel=1e-5)
    assert numbers["l0"] == pytest.approx(float((np.asarray(latents) > 0).sum(1).mean()))
    assert numbers.firing_rates.shape == (8,)
    assert "mmcs" not in numbers
    assert [line.split()[0] for line in repr(numbers).splitlines()] == list(numbers)
    assert "fvu" in numbers._repr_html_()
    np.testing.assert_allclose(
        sp.evaluate(sae, array_stream(jax.random.key(0), X))["fvu"], numbers["fvu"], rtol=0.5
    )


def test_where_the_truth_is_known_recovery_is_measured_against_it():
    stream = planted_stream(jax.random.key(0), PLANTED["orthogonal"].scaled(8, 8))
    one = sp.fit(sp.SAERun(sp.TopK(d_sae=16, k=2), stream, steps=20, batch_size=64))
    numbers = sp.evaluate(one, stream, examples=2000)
    assert numbers["examples"] == 2000
    assert numbers["mmcs"] == pytest.approx(float(sp.metrics.mmcs(one.params["W_dec"], stream.dictionary)))
    assert set(sp.evaluation.METRICS) >= set(numbers)


def test_a_toy_is_judged_by_its_loss_and_what_it_represents(toy):
    numbers = sp.evaluate(toy)
    assert numbers["loss"] == toy.loss
    assert numbers["represented"] == (np.linalg.norm(toy.W, axis=0) > 0.5).sum()


def test_progress_is_told_to_a_function_and_else_silent(capsys):
    told = []
    sp.fit(TOY, progress=told.append)
    sp.fit(SAE, progress=told.append)
    assert sum(told) == TOY.steps + SAE.steps
    sp.fit(TOY)
    assert capsys.readouterr().err == ""


# --- the run itself


def compiled():
    return loop.advance._cache_size(), toy_module._start._cache_size(), sae_module._start._cache_size()


@pytest.mark.parametrize(
    "run",
    [
        replace(TOY, batch_size=33),
        replace(TOY, batch_size=34, optimizer=sp.AdamW(1e-2, schedule="cosine")),
        replace(SAE, batch_size=33, penalty_warmup=0.3),
        sp.SAERun(sp.ReLU(d_sae=8), X, steps=30, batch_size=34, l0_target=2.0),
    ],
    ids=["toy", "schedule", "sae", "controller"],
)
def test_another_number_of_steps_compiles_nothing(run):
    short = sp.fit(run)
    before = compiled()
    longer = sp.fit(replace(run, steps=run.steps + 1))
    assert compiled() == before
    assert not np.array_equal(jax.tree.leaves(short.params)[0], jax.tree.leaves(longer.params)[0])
    again = sp.fit(run)  # a schedule is that of its own run, whatever ran before
    np.testing.assert_array_equal(jax.tree.leaves(short.params)[0], jax.tree.leaves(again.params)[0])


@dataclass(frozen=True)
class HiddenL1:
    penalty: float = 0.1

    def __call__(self, params, model, batch):
        return self.penalty * jnp.abs(batch @ params.W.T).sum(1).mean()


@pytest.mark.parametrize("n_features", [3, 6])  # models, or examples, in the vector lanes
@pytest.mark.parametrize("sampling", ["plain", "conditional"])
def test_a_term_of_the_loss_is_descended_with_the_loss(n_features, sampling):
    run = replace(
        TOY, model=sp.ReLUOutput(n_features, 2), sampling=sampling, steps=1, optimizer=optax.sgd(1.0)
    )
    free, bound = sp.fit(run), sp.fit(replace(run, loss=HiddenL1()))
    inputs, state = toy_module.Program(toy_module.static_part(run), False).start(_cells(run))
    words = inputs.words[0] if inputs.words.ndim > 1 else inputs.words
    u = uniform(
        words,
        jnp.uint32(0),
        (run.features.n_uniforms(n_features), run.batch_size),
    )
    at = thresholds(run.features.densities(n_features)[:, None])
    x = run.features.transform(u, at, n_features, conditional=sampling == "conditional").T
    start = jax.tree.map(lambda a: a[0], state.params)
    slope = jax.grad(lambda p: HiddenL1()(p, run.model, x))(start)
    share = float(at.any[0]) if sampling == "conditional" else 1.0  # of the other examples the term is 0
    for a, b, g in zip(free.params, bound.params, slope, strict=True):
        np.testing.assert_allclose(np.asarray(a) - np.asarray(b), share * np.asarray(g), atol=2e-6)


def _cells(run):
    return jax.tree.map(jnp.asarray, cells_at(run, [], np.zeros((1, 0), int)))


def test_a_term_that_is_a_recipe_has_axes_and_its_store_says_what_is_lost(tmp_path):
    run = replace(TOY, loss=HiddenL1(), steps=300)
    toys = sp.sweep(run, {"penalty": (0.0, 1.0)}, out=tmp_path / "s.zarr")
    x = jnp.asarray(run.features.sample(jax.random.key(0), run.model.n_features, 10_000))
    terms = [float(HiddenL1(1.0)(one.params, one.model, x)) for one in toys]
    assert terms[1] < terms[0]  # whoever minimises loss + penalty * term has less of the term
    assert toys[1].loss > toys[0].loss  # and, by as much at most, more of the loss
    assert toys[1].loss + terms[1] < toys[0].loss + terms[0]
    assert toys[1].recipe.loss == HiddenL1(1.0)
    with pytest.raises(ConfigError, match="the loss of this run was a function"):
        sp.fit(sp.load(tmp_path / "s.zarr")[0].recipe)
    with pytest.raises(ConfigError, match="loss must be a function"):
        replace(TOY, loss=3)
