import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superposition.errors import ConfigError
from superposition.features import SparseUniform
from superposition.toy import TOY_MODELS, Linear, ReLUOutput, gradient
from superposition.typing import ToyParams

SHAPES = st.sampled_from([(1, 1), (2, 1), (3, 2), (6, 2), (9, 2), (20, 5)])  # (9, 2) has n > 4 m


def random_cells(model, seed, cells=3):
    keys = jax.random.split(jax.random.key(seed), cells)
    params = jax.vmap(model.init_params)(keys)
    b = 0.3 * jax.random.normal(jax.random.key(seed + 1), params.b.shape)
    importance = jax.random.uniform(jax.random.key(seed + 2), params.b.shape)
    x = jnp.stack([SparseUniform(density=0.4).sample(k, model.n_features, 40).T for k in keys])
    return ToyParams(params.W, b), importance, x


@pytest.mark.parametrize("name", TOY_MODELS)
@given(SHAPES, st.integers(0, 1000))
def test_both_layouts_equal_autodiff_of_the_single_example_loss(name, shape, seed):
    model = TOY_MODELS[name](n_features=shape[0], n_hidden=shape[1])
    params, importance, x = random_cells(model, seed)

    def mean_loss(p, i, xs):
        return jax.vmap(model.loss, in_axes=(None, 1, None))(p, xs, i).mean()

    expected = jax.vmap(jax.grad(mean_loss))(params, importance, x)
    wide = gradient.many_wide(model.activation, params, importance, x)
    narrow = gradient.narrow(model.activation, params, importance, list(jnp.moveaxis(x, 0, -1)))
    for got in (wide, narrow):
        np.testing.assert_allclose(got.W, expected.W, rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(got.b, expected.b, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", TOY_MODELS)
def test_silent_gradient_is_the_gradient_at_zero(name):
    model = TOY_MODELS[name](n_features=4, n_hidden=2)
    params, importance, _ = random_cells(model, 0)
    zero = jnp.zeros(4)
    expected = jax.vmap(jax.grad(lambda p, i: model.loss(p, zero, i)))(params, importance)
    got = gradient.silent_bias_gradient(model.activation, params, importance)
    np.testing.assert_allclose(got, expected.b, rtol=1e-6)
    np.testing.assert_allclose(expected.W, 0, atol=1e-7)


def test_apply_is_the_papers_equation():
    params = ToyParams(jnp.array([[1.0, -1.0, 0.5]]), jnp.array([0.1, 0.2, -0.3]))
    x = np.array([1.0, 0.5, 0.0])
    z = params.W.T @ (params.W @ x) + params.b
    np.testing.assert_allclose(Linear(3, 1).apply(params, x), z, rtol=1e-6)
    np.testing.assert_allclose(ReLUOutput(3, 1).apply(params, x), np.maximum(z, 0), rtol=1e-6)
    importance = np.array([1.0, 2.0, 3.0])
    expected = (importance * (x - np.maximum(z, 0)) ** 2).sum()
    np.testing.assert_allclose(ReLUOutput(3, 1).loss(params, x, importance), expected, rtol=1e-6)


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
        ({"init": "he"}, "xavier, anthropic"),
    ],
)
def test_bad_sizes_are_refused_by_name(settings, said):
    for model in TOY_MODELS.values():
        with pytest.raises(ConfigError, match=said):
            model(**settings)
