"""A trained model as a value: what it holds and how it acts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superposition as sp
from superposition.errors import ConfigError
from tests.support.trained import SAE, TOY, X


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
