import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate
from scipy.special import erf

from superposition import ToyParams, theory
from superposition.errors import ConfigError
from superposition.expected_loss import LEAK, expected_loss, expected_losses, quadrature, reference_loss
from superposition.features import Correlated

ORACLES = {
    "relu": lambda z: max(z, 0.0),
    "leaky-relu": lambda z: z if z > 0 else LEAK * z,
    "gelu": lambda z: z * (1 + erf(z / 2**0.5)) / 2,
    "softplus": lambda z: float(np.logaddexp(0, z)),
    "square": lambda z: z * z,
    "tanh": lambda z: float(np.tanh(z)),
}
PARAMS = [
    ToyParams(np.array([[1.3, -0.9]]), np.array([0.3, -0.5])),
    ToyParams(np.array([[0.8, 0.7], [0.2, -0.6]]), np.array([-0.2, 0.1])),
]


def _oracle(params, density, activation, low):
    """Every loss by adaptive quadrature over the four sets of active features, split at the kink."""
    A, b = params.W.T @ params.W, params.b
    f, width = ORACLES[activation], 1 - low
    options = {"epsabs": 1e-11, "epsrel": 1e-11}

    def split(intercept, slope):
        kink = -intercept / slope if slope else low
        return [kink] if low < kink < 1 else None

    def loss(i):
        def error(x, y):
            return ((x, y)[i] - f(A[i, 0] * x + A[i, 1] * y + b[i])) ** 2

        def inner(x):
            at = split(b[i] + A[i, 0] * x, A[i, 1])
            return integrate.quad(lambda y: error(x, y), low, 1, points=at, **options)[0]

        x_alone = integrate.quad(lambda x: error(x, 0), low, 1, points=split(b[i], A[i, 0]), **options)[0]
        both = integrate.quad(inner, low, 1, limit=200, epsabs=1e-10, epsrel=1e-10)[0]
        p = density
        return (
            (1 - p) ** 2 * error(0, 0) + p * (1 - p) * (x_alone + inner(0)) / width + p**2 * both / width**2
        )

    return [loss(i) for i in range(2)]


@pytest.mark.parametrize("activation", sorted(ORACLES))
@pytest.mark.parametrize("signed", [False, True])
def test_losses_agree_with_adaptive_integration(activation, signed):
    for params in PARAMS[signed:]:
        truth = _oracle(params, 0.4, activation, -1 if signed else 0)
        importance = [1.0, 0.7]
        exact = reference_loss(params, importance, 0.4, activation=activation, signed=signed)
        np.testing.assert_allclose(exact, np.dot(importance, truth), rtol=1e-9)
        with jax.enable_x64(True):
            default = expected_losses(params, 0.4, activation=activation, signed=signed)
            np.testing.assert_allclose(default, truth, rtol=1e-8)


def _three():
    rng = np.random.default_rng(0)
    return ToyParams(rng.normal(size=(2, 3)), rng.normal(size=3) / 3), np.array([0.2, 0.5, 1.0])


@pytest.mark.parametrize("activation", sorted(quadrature.SMOOTH))
def test_three_features_agree_with_sampling(activation):
    params, density = _three()
    rng = np.random.default_rng(1)
    x = rng.random((300_000, 3)) * (rng.random((300_000, 3)) < density)
    z = x @ (params.W.T @ params.W) + params.b
    error = (x - np.vectorize(ORACLES[activation])(z)) ** 2
    with jax.enable_x64(True):
        exact = np.asarray(expected_losses(params, density, activation=activation))
    assert (np.abs(error.mean(0) - exact) < 4.5 * error.std(0) / len(x) ** 0.5).all()


def test_a_polynomial_is_exact_from_few_nodes():
    params, density = _three()
    with jax.enable_x64(True):
        few, many = (expected_losses(params, density, activation="square", nodes=k) for k in (3, 16))
    np.testing.assert_allclose(few, many, rtol=1e-12)


def test_the_law_has_the_moments_of_sparse_features(monkeypatch):
    monkeypatch.setitem(quadrature.SMOOTH, "zero", jnp.zeros_like)
    for signed in (False, True):
        losses = quadrature.losses(jnp.eye(2), jnp.zeros(2), jnp.array([0.3, 1.0]), "zero", signed, 4)
        np.testing.assert_allclose(losses, [0.1, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("activation", ["gelu", "leaky-relu"])
def test_gradients_are_those_of_the_loss(activation):
    params = PARAMS[1]
    with jax.enable_x64(True):

        @jax.jit
        def both(W):
            def loss(W):
                return expected_loss(ToyParams(W, params.b), np.ones(2), 0.3, activation=activation)

            return jax.value_and_grad(loss)(W)

        step = np.zeros_like(params.W)
        step[1, 0] = 1e-6
        difference = (both(params.W + step)[0] - both(params.W - step)[0]) / 2e-6
        np.testing.assert_allclose(both(params.W)[1][1, 0], difference, rtol=1e-6)


def test_relu_and_linear_are_untouched_by_the_leak():
    params, density = _three()
    with jax.enable_x64(True):
        losses = {
            a: np.asarray(expected_losses(params, density, activation=a))
            for a in ("linear", "relu", "leaky-relu")
        }
    # What a leak changes is of order LEAK, and vanishes where z never is negative.
    assert (np.abs(losses["leaky-relu"] - losses["relu"]) > 0).any()
    positive = ToyParams(np.abs(params.W), np.abs(params.b))
    with jax.enable_x64(True):
        same = [np.asarray(expected_losses(positive, density, activation=a)) for a in losses]
    np.testing.assert_allclose(same[1], same[0], rtol=1e-12)
    np.testing.assert_allclose(same[2], same[0], rtol=1e-12)


def test_minima_of_other_activations_tanh_keeps_one_feature_softplus_two():
    importance, density = np.array([[1.0, 0.7], [1.0, 0.7]]), np.array([0.1, 0.9])
    for activation, sparse_sign in (("tanh", 0), ("softplus", -1)):
        best = theory.exact_minimum(
            activation, importance, density, 1, key=jax.random.key(0), restarts=16, steps=200
        )
        product = best.W[:, 0].prod(-1)
        assert best.gradient.max() < 1e-6
        assert abs(product[1]) < 1e-5
        assert product[0] < -0.5 if sparse_sign else abs(product[0]) < 1e-5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activation": "swish"}, "activation must be one of"),
        ({"activation": "gelu", "method": "series"}, "method='auto'"),
        ({"activation": "gelu", "nodes": 0}, "nodes must be an integer >= 1"),
        ({"activation": "gelu", "features": Correlated(n_sets=1, density=0.5)}, "linear and relu only"),
    ],
)
def test_what_cannot_be_integrated_is_refused(options, words):
    params = ToyParams(np.ones((1, 2)), np.zeros(2))
    with pytest.raises(ConfigError, match=words):
        expected_losses(**{"params": params, "features": 0.5} | options)
    with pytest.raises(ConfigError, match="at most 3 features"):
        expected_losses(ToyParams(np.ones((1, 4)), np.zeros(4)), 0.5, activation="gelu")
