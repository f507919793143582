"""What files keep of trained models."""

import json
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import superposition as sp
from superposition.errors import ConfigError, CorruptError, StoreError
from tests.support.trained import SAE, TOY, X


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
