"""What a sweep of trained models gives."""

from dataclasses import replace

import numpy as np
import pytest

import superposition as sp
from superposition.errors import ConfigError
from tests.support.trained import TOY, X


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
