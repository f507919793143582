"""The model of computation in superposition: its gradients, its start, and what two neurons a feature can do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.expected_loss.stratified import stratified_loss
from superposition.features import SparseUniform
from superposition.theory.computation import dedicated_loss
from superposition.toy import AbsoluteValue
from superposition.typing import ComputationParams


def drawn(seed, n, m):
    rng = np.random.default_rng(seed)
    shapes = (m, n), (n, m), (n,)
    return ComputationParams(*(jnp.array(rng.normal(size=s), jnp.float32) for s in shapes))


@pytest.mark.parametrize(("n", "m"), [(3, 6), (7, 4), (1, 1)])
def test_gradients_equal_autodiff(n, m):
    model, params, importance = AbsoluteValue(n, m), drawn(n, n, m), jnp.array(0.7 ** np.arange(n))
    x = SparseUniform(density=0.5, signed=True).sample(jax.random.key(0), n, 64).T

    def mean(p):
        return jnp.mean(jax.vmap(model.loss, in_axes=(None, 1, None))(p, x, importance))

    for got, want in zip(model.gradient(params, importance, x), jax.grad(mean)(params), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-6)
    silent = jax.grad(model.loss)(params, jnp.zeros(n), importance)
    for got, want in zip(model.gradient_at_zero(params, importance), silent, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_two_neurons_a_feature_compute_the_absolute_value():
    n = 4
    W_in = jnp.concatenate([jnp.eye(n), -jnp.eye(n)])
    params = ComputationParams(W_in, W_in.T * jnp.sign(W_in.T), jnp.zeros(n))
    model, x = AbsoluteValue(n, 2 * n), jnp.array([-0.5, 0.25, 0.0, -1.0])
    np.testing.assert_array_equal(model.apply(params, x), jnp.abs(x))
    np.testing.assert_array_equal(model.encode(params, x), [0, 0.25, 0, 0, 0.5, 0, 0, 1])
    got = stratified_loss(model, params, np.ones(n), 0.4, key=jax.random.key(0), signed=True, examples=100)
    assert got.loss == 0
    # A neuron less leaves one sign of one feature out: p/2 E x^2 of it, whatever else is active.
    lost = params._replace(W_in=params.W_in.at[0].set(0))
    got = stratified_loss(model, lost, np.ones(n), 0.4, key=jax.random.key(0), signed=True)
    assert abs(got.loss - 0.4 / 6) < 4 * got.standard_error


def test_every_output_starts_open_for_either_sign_of_its_feature():
    x = jnp.eye(30)
    for seed in range(3):
        for init, closed in (("open", 0), ("xavier", 5)):
            model = AbsoluteValue(30, 12, init=init)
            params = model.init_params(jax.random.key(seed))
            own = [jnp.diagonal(jax.vmap(model.apply, (None, 0))(params, s * x)) for s in (1, -1)]
            shut = int((jnp.minimum(*own) <= 0).sum())
            if init == "open":
                np.testing.assert_array_equal(params.W_out, np.abs(params.W_in).T / 4)
            assert shut == 0 if closed == 0 else shut > closed
            assert not np.array_equal(params.W_in, model.init_params(jax.random.key(seed + 1)).W_in)


def test_unknown_start_is_refused():
    with pytest.raises(ConfigError, match="init must be one of open, xavier"):
        AbsoluteValue(3, 2, init="kaiming")


def test_dedicated_loss_is_that_of_the_model_it_describes():
    n, m, p = 6, 4, 0.4
    importance = np.array([0.2, 1.0, 0.1, 0.9, 0.3, 0.4])
    W_in, b = np.zeros((m, n)), np.full(n, p / 2)
    for k, (i, sign) in enumerate([(1, 1), (1, -1), (3, 1), (3, -1)]):  # the two most important features
        W_in[k, i], b[i] = sign, 0
    params = ComputationParams(*(jnp.array(a, jnp.float32) for a in (W_in, np.abs(W_in.T), b)))
    got = stratified_loss(
        AbsoluteValue(n, m), params, importance, p, key=jax.random.key(1), signed=True, examples=200_000
    )
    expected = dedicated_loss(importance, [p, 1.0], m)
    assert abs(got.loss - expected[0]) < 4 * got.standard_error
    assert expected[1] == pytest.approx(1.0 / 12)
    assert dedicated_loss(importance, p, m + 1) == expected[0]  # one neuron more is of no use
    for c in (0.9, 1.1):  # no other constant is better
        worse = params._replace(b=params.b * c)
        more = stratified_loss(
            AbsoluteValue(n, m), worse, importance, p, key=jax.random.key(1), signed=True, examples=200_000
        )
        assert more.loss > got.loss
