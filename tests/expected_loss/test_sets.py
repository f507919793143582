"""The exact loss of features in sets against numerical integration, sampling, and a mixture of dense models."""

from dataclasses import replace
from functools import partial
from itertools import product

import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.expected_loss import expected_loss, expected_losses, sets
from superposition.features import Anticorrelated, Correlated, FeatureLaw
from superposition.typing import ToyParams
from tests.oracles.exact_loss import rational_losses


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@partial(jax.jit, static_argnames=("activation", "method", "nodes", "law"))
def losses_of(params, density, law=None, **settings):
    """The losses under a law of this density; independent features without one, whose density may be 0."""
    features = density if law is None else replace(law, density=density)
    return expected_losses(params, features, **settings)


def random_params(n, m, seed=0):
    rng = np.random.default_rng(seed)
    return ToyParams(0.7 * rng.normal(size=(m, n)), 0.2 * rng.normal(size=n))


HARD = {
    "random": random_params(4, 2),
    "orthogonal": ToyParams(np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]]), np.full(4, 0.01)),
    "nearly orthogonal": ToyParams(np.array([[1.0, 1e-7, -1, 0.001], [0, 1, 1e-4, -1]]), np.full(4, 1e-3)),
    "collapsed": ToyParams(np.array([[0.71, 0.71, 0, 0], [0, 0, 0.71, 0.71]]), np.zeros(4)),
    "zero": ToyParams(np.zeros((2, 4)), np.array([0.1, -0.1, 0, 0.3])),
}
LAWS = [law(n_sets=2, signed=signed) for law in (Correlated, Anticorrelated) for signed in (False, True)]

BIG = [Correlated(n_sets=2), Anticorrelated(n_sets=5), Correlated(n_sets=2, signed=True)]


def by_quadrature(params, density, law, nodes=2_000):
    """E (x_i - relu(z_i))^2 over every pattern of four features, by midpoints; two dimensions at most are exact."""
    W, b = params
    loss = np.zeros(4)
    members = [(0, 1), (2, 3)]
    choices = []
    for own, p in zip(members, density, strict=True):
        active = [(own, p)] if isinstance(law, Correlated) else [((i,), p / 2) for i in own]
        choices.append([((), 1 - p), *active])
    for (first, p), (second, q) in product(*choices):
        on = list(first + second)
        per_axis = {0: 1, 1: nodes, 2: 400, 4: 28}[len(on)]
        grid = (np.arange(per_axis) + 0.5) / per_axis
        points = np.stack(np.meshgrid(*[grid] * len(on)), -1).reshape(-1, len(on)) if on else np.zeros((1, 0))
        x = np.zeros((len(points), 4))
        x[:, on] = 2 * points - 1 if law.signed else points
        loss += p * q * ((x - np.maximum(x @ W.T @ W + b, 0)) ** 2).mean(0)
    return loss


@pytest.mark.parametrize("kind", ["random", "nearly orthogonal"])
@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_agrees_with_integration_over_every_pattern(kind, law):
    density = np.array([0.3, 0.6])
    losses = losses_of(HARD[kind], density=density, activation="relu", law=law)
    np.testing.assert_allclose(losses, by_quadrature(HARD[kind], density, law), rtol=3e-3, atol=1e-6)


@pytest.mark.parametrize("law", LAWS[:3], ids=repr)
def test_enumeration_and_series_agree(law):
    density = np.array([0.3, 0.02])
    for kind, params in HARD.items():
        by_enumeration, by_series = (
            np.asarray(losses_of(params, density=density, activation="relu", law=law, method=m, nodes=k))
            for m, k in (("enumeration", None), ("series", 8192))
        )
        # The series is the less exact where two slopes differ by 1e4: 1.5e-8.
        np.testing.assert_allclose(by_enumeration, by_series, atol=1e-7 * by_series.max(), err_msg=kind)


@pytest.mark.parametrize("n_sets", [2, 3])
def test_correlated_sets_are_a_mixture_of_dense_models(n_sets):
    # Given which sets fire, features are independent with density 0 or 1: other code, to rounding.
    p, n = np.array([0.2, 0.5, 0.05])[:n_sets], 2 * n_sets
    for kind, params in HARD.items() if n_sets == 2 else {"random": random_params(6, 2, seed=3)}.items():
        mixture = np.zeros(n)
        for fires in product((0.0, 1.0), repeat=n_sets):
            weight = np.prod(np.where(fires, p, 1 - p))
            on = np.repeat(fires, 2)
            alone = losses_of(params, density=on, activation="relu", method="enumeration")
            mixture += weight * np.asarray(alone)
        found = losses_of(params, density=p, activation="relu", law=Correlated(n_sets=n_sets))
        np.testing.assert_allclose(found, mixture, rtol=1e-10, atol=1e-16, err_msg=kind)


@pytest.mark.parametrize("law", [Correlated(n_sets=5), Anticorrelated(n_sets=5)], ids=repr)
@pytest.mark.parametrize("method", ["enumeration", "series"])
def test_sets_of_one_are_independent_features(law, method):
    params, p = random_params(5, 2, seed=1), np.linspace(0.01, 0.8, 5)
    independent = losses_of(params, density=p, activation="relu", method="enumeration")
    found = losses_of(params, density=p, activation="relu", law=law, method=method)
    np.testing.assert_allclose(found, independent, rtol=1e-7)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("law", BIG, ids=repr)
def test_agrees_with_sampling_beyond_enumeration(law, activation):
    params = random_params(20, 10, seed=2)._replace(b=np.full(20, -0.05))
    params = params._replace(W=params.W / 3)
    p = np.linspace(0.1, 0.4, law.n_sets)
    x = np.asarray(replace(law, density=tuple(p)).sample(jax.random.key(0), 20, 60_000), np.float64)
    z = x @ params.W.T @ params.W + params.b
    each = (x - (np.maximum(z, 0) if activation == "relu" else z)) ** 2
    found = np.asarray(losses_of(params, density=p, activation=activation, law=law, nodes=256))
    error = each.std(0) / np.sqrt(len(x))
    assert (error < 0.1 * each.mean(0)).all()  # or the comparison has no power
    assert np.abs((found - each.mean(0)) / error).max() < 4.5


def test_importance_weighs_and_gradients_are_slopes():
    params, importance, p, law = HARD["random"], np.arange(1.0, 5), np.array([0.2, 0.1]), Correlated(n_sets=2)

    def loss(W, b, density):
        return expected_loss(ToyParams(W, b), importance, replace(law, density=density), activation="relu")

    losses = np.asarray(losses_of(params, density=p, activation="relu", law=law))
    arguments = (params.W, params.b, p)
    value, slopes = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*arguments)
    assert float(value) == pytest.approx(float(importance @ losses), rel=1e-12)
    rng, evaluate = np.random.default_rng(0), jax.jit(loss)
    along = [rng.normal(size=a.shape) for a in arguments]
    ends = [
        float(evaluate(*(a + h * d for a, d in zip(arguments, along, strict=True)))) for h in (1e-5, -1e-5)
    ]
    slope = sum(float((np.asarray(s) * d).sum()) for s, d in zip(slopes, along, strict=True))
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-6)


def test_known_losses():
    # Anticorrelated partners opposite each other lose nothing; correlated ones lose E min(x, y)^2 p each way.
    pair = ToyParams(np.array([[1.0, -1.0]]), np.zeros(2))
    anti = losses_of(pair, density=0.3, activation="relu", law=Anticorrelated(n_sets=1))
    np.testing.assert_allclose(anti, 0, atol=1e-15)
    together = losses_of(pair, density=0.3, activation="relu", law=Correlated(n_sets=1))
    np.testing.assert_allclose(together, 0.3 / 6, rtol=1e-12)


def test_six_features_in_one_set_agree_with_exact_rational_arithmetic():
    # Given that the set fires its features are dense. Equal small slopes, of which rounding allows only some to be
    # integrated by their corners, and slopes all different.
    eps, rng = 1e-5, np.random.default_rng(5)
    equal = ToyParams(np.array([[1, *[eps] * 5]]), np.array([-0.2, *[-0.3 * eps] * 5]))
    random = ToyParams(0.7 * rng.normal(size=(2, 6)), 0.2 * rng.normal(size=6))
    for params in (equal, random):
        on, off = (rational_losses(*params, d) for d in (1.0, 0.0))
        found = losses_of(
            params, density=0.5, activation="relu", law=Correlated(n_sets=1), method="enumeration"
        )
        largest = 1 + (np.abs(params.W.T @ params.W).sum(1) + np.abs(params.b)) ** 2
        assert (np.abs(found - (on + off) / 2) <= 1e-8 * largest).all()


def test_a_pair_off_balance_by_a_millionth_costs_its_square():
    # Feature 1 reads (1 + e)^2 x: far below rounding of E x^2, from which the loss must not be subtracted.
    e = 1e-6
    pair = ToyParams(np.array([[1 + e, -1.0]]), np.zeros(2))
    found = losses_of(pair, density=0.3, activation="relu", law=Anticorrelated(n_sets=1))
    np.testing.assert_allclose(found, [0.3 / 6 * ((1 + e) ** 2 - 1) ** 2, 0], rtol=1e-8, atol=1e-20)


def test_corners_count_every_pattern():
    assert sets.corners(Correlated(n_sets=2).independent_sets(4)) == 1 + 2 * 4 + 16
    assert sets.corners(Anticorrelated(n_sets=2).independent_sets(4)) == 1 + 4 * 2 + 4 * 4


class Unknown(FeatureLaw):
    n_uniforms = constants = draw = mean = second_moment = None


class Inherited(Correlated):
    """A subclass may be another distribution, so that it is not exact until it says so."""


def test_refusals_name_what_is_accepted():
    loss = partial(expected_loss, activation="relu")
    small, big = random_params(4, 2), random_params(20, 3)
    with pytest.raises(
        ConfigError, match=r"Unknown has no exact .*SparseUniform, Correlated and Anticor.*sample"
    ):
        loss(small, np.ones(4), Unknown())
    with pytest.raises(ConfigError, match="Inherited has no exact expected loss"):
        loss(small, np.ones(4), Inherited())
    with pytest.raises(ConfigError, match="signed goes with a density"):
        loss(small, np.ones(4), Correlated(density=0.1), signed=True)
    with pytest.raises(ConfigError, match="multiple of n_sets=3"):
        loss(small, np.ones(4), Correlated(n_sets=3, density=0.1))
    with pytest.raises(ConfigError, match="use method='series'"):
        loss(big, np.ones(20), Correlated(n_sets=2, density=0.1), method="enumeration")
