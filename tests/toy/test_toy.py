from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superposition.errors import ConfigError
from superposition.features import SparseUniform
from superposition.toy import TOY_MODELS, AbsoluteValue, Linear, ReLUHidden, ReLUOutput, require_tied
from superposition.typing import ComputationParams, ToyParams

SHAPES = st.sampled_from([(1, 1), (2, 1), (3, 2), (6, 2), (9, 2), (20, 5), (20, 9)])  # n > 4 m; m > 8


def random_cells(model, seed, cells=3, signed=False):
    keys = jax.random.split(jax.random.key(seed), cells)
    params = jax.vmap(model.init_params)(keys)
    b = 0.3 * jax.random.normal(jax.random.key(seed + 1), params.b.shape)
    importance = jax.random.uniform(jax.random.key(seed + 2), params.b.shape)
    law = SparseUniform(density=0.4, signed=signed)
    x = jnp.stack([law.sample(k, model.n_features, 40).T for k in keys])
    return params._replace(b=b), importance, x


@cache
def gradients_of(name, shape):
    """The model, its gradient by automatic differentiation, and by every layout; compiled once a shape."""
    model = TOY_MODELS[name](n_features=shape[0], n_hidden=shape[1])

    def mean_loss(p, i, xs):
        return jax.vmap(model.loss, in_axes=(None, 1, None))(p, xs, i).mean()

    def layouts(params, importance, x):
        found = [jax.vmap(model.gradient)(params, importance, x)]
        if model.narrow:
            found.append(model.narrow_gradient(params, importance, list(jnp.moveaxis(x, 0, -1))))
        return found

    return model, jax.jit(jax.vmap(jax.grad(mean_loss))), jax.jit(layouts)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", TOY_MODELS)
@given(SHAPES, st.integers(0, 1000))
def test_every_layout_equals_autodiff_of_the_single_example_loss(name, signed, shape, seed):
    model, expected_gradient, layouts = gradients_of(name, shape)
    params, importance, x = random_cells(model, seed, signed=signed)
    expected = expected_gradient(params, importance, x)
    for got in layouts(params, importance, x):
        assert set(got._fields) == set(model.shapes)
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", TOY_MODELS)
def test_the_gradient_at_zero_is_that_of_the_loss_there(name):
    model = TOY_MODELS[name](n_features=4, n_hidden=2)
    params, importance, _ = random_cells(model, 0)
    zero = jnp.zeros(4)
    expected = jax.vmap(jax.grad(lambda p, i: model.loss(p, zero, i)))(params, importance)
    got = jax.vmap(model.gradient_at_zero)(params, importance)
    assert float(jnp.abs(got.b).max()) > 0.01
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", TOY_MODELS)
def test_parameters_have_the_shapes_the_model_names(name):
    model = TOY_MODELS[name](n_features=7, n_hidden=3)
    params = model.init_params(jax.random.key(0))
    assert params._fields == tuple(model.shapes)
    for value, axes in zip(params, model.shapes.values(), strict=True):
        assert value.shape == tuple(getattr(model, axis) for axis in axes)


def test_apply_is_the_papers_equation():
    params = ToyParams(jnp.array([[1.0, -1.0, 0.5]]), jnp.array([0.1, 0.2, -0.3]))
    x = np.array([1.0, 0.5, 0.0])
    z = params.W.T @ (params.W @ x) + params.b
    np.testing.assert_allclose(Linear(3, 1).apply(params, x), z, rtol=1e-6)
    np.testing.assert_allclose(ReLUOutput(3, 1).apply(params, x), np.maximum(z, 0), rtol=1e-6)
    importance = np.array([1.0, 2.0, 3.0])
    expected = (importance * (x - np.maximum(z, 0)) ** 2).sum()
    np.testing.assert_allclose(ReLUOutput(3, 1).loss(params, x, importance), expected, rtol=1e-6)


def test_models_with_a_hidden_layer_are_the_papers_equations():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 3)
    W, b = rng.normal(size=(2, 3)), rng.normal(size=3)
    got = ReLUHidden(3, 2).apply(ToyParams(W, b), x)
    np.testing.assert_allclose(got, np.maximum(W.T @ np.maximum(W @ x, 0) + b, 0), rtol=1e-5)
    out = rng.normal(size=(3, 2))
    model, params = AbsoluteValue(3, 2), ComputationParams(W, out, b)
    y = np.maximum(out @ np.maximum(W @ x, 0) + b, 0)
    np.testing.assert_allclose(model.apply(params, x), y, rtol=1e-5)
    importance = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        model.loss(params, x, importance), (importance * (abs(x) - y) ** 2).sum(), rtol=1e-5
    )


def test_two_neurons_compute_an_absolute_value():
    params = ComputationParams(jnp.array([[1.0], [-1.0]]), jnp.array([[1.0, 1.0]]), jnp.zeros(1))
    x = jnp.linspace(-1, 1, 9)[:, None]
    np.testing.assert_array_equal(jax.vmap(AbsoluteValue(1, 2).apply, (None, 0))(params, x), abs(x))


def test_a_model_whose_columns_are_no_dictionary_is_refused_by_name():
    assert require_tied(Linear(3, 2), "this") == Linear(3, 2)
    with pytest.raises(ConfigError, match=r"this takes a model with tied weights .*; got ReLUHidden"):
        require_tied(ReLUHidden(3, 2), "this")


def test_init_spread_and_independence_of_the_batch():
    model = ReLUOutput(400, 30)
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(model.init_params)(keys).W
    for cell in range(3):
        np.testing.assert_array_equal(together[cell], model.init_params(keys[cell]).W)
    assert abs(float(together.std()) / np.sqrt(2 / 430) - 1) < 0.02
    # The released notebook: 10 instances of (5, 2) start with std 0.258, 100 of (400, 30) with 0.0115.
    for n, m, instances, std in ((5, 2, 10, 0.258), (400, 30, 100, 0.0115)):
        notebook = ReLUOutput(n, m, init="anthropic", notebook_instances=instances)
        W = jax.vmap(notebook.init_params)(jax.random.split(jax.random.key(1), 200)).W
        assert abs(float(W.std()) / std - 1) < 0.05


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_features": 0}, "n_features"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"n_hidden": -3}, "n_hidden"),
        ({"n_features": 2.5}, "n_features"),
        ({"n_features": True}, "n_features"),
    ],
)
def test_bad_sizes_are_refused_by_name(settings, said):
    for model in TOY_MODELS.values():
        with pytest.raises(ConfigError, match=said):
            model(**settings)


def test_an_unknown_init_is_refused():
    with pytest.raises(ConfigError, match="xavier, anthropic"):
        ReLUOutput(init="he")
