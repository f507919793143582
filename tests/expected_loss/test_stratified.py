"""Stratified expected loss, against quadrature, plain Monte Carlo, and the exact loss where there is one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.expected_loss.stratified import stratified_loss, two_or_more
from superposition.toy import AbsoluteValue, Linear, ReLUHidden, ReLUOutput
from superposition.typing import ComputationParams, ToyParams

KEY = jax.random.key(7)
EXAMPLES = 100_000
estimate = jax.jit(stratified_loss, static_argnames=("model", "examples", "signed"))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def tied(seed, n, m):
    rng = np.random.default_rng(seed)
    return ToyParams(jnp.array(rng.normal(size=(m, n)) * 0.8), jnp.array(rng.normal(size=n) * 0.3))


def untied(seed, n, m):
    rng = np.random.default_rng(seed)
    W_in, W_out = rng.normal(size=(m, n)), rng.normal(size=(n, m)) * 0.6
    return ComputationParams(jnp.array(W_in), jnp.array(W_out), jnp.array(rng.normal(size=n) * 0.3))


def losses_by_numpy(params, x, importance):
    """sum_i I_i (target_i - y_i)^2 of examples x (k, n), written again in numpy."""
    relu = lambda z: np.maximum(z, 0)  # noqa: E731
    if isinstance(params, ComputationParams):
        W_in, W_out, b = (np.asarray(a) for a in params)
        target = np.abs(x)
    else:
        W_in, b = (np.asarray(a) for a in params)
        W_out, target = W_in.T, x
    return (target - relu(relu(x @ W_in.T) @ W_out.T + b)) ** 2 @ importance


CASES = [
    pytest.param(AbsoluteValue, untied, True, id="absolute-value"),
    pytest.param(AbsoluteValue, untied, False, id="absolute-value-unsigned"),
    pytest.param(ReLUHidden, tied, False, id="relu-hidden"),
    pytest.param(ReLUHidden, tied, True, id="relu-hidden-signed"),
]


@pytest.mark.parametrize(("model", "draw", "signed"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_no_and_one_active_feature_are_exact(model, draw, signed, seed):
    n, m = 3, 4
    params, importance = draw(seed, n, m), np.array([1.0, 0.7, 0.3])
    p = 1e-9  # two at once count for 1e-18
    got = estimate(
        model(n, m), params, importance, np.full(n, p), key=KEY, examples=EXAMPLES, signed=signed
    ).loss
    silent = losses_by_numpy(params, np.zeros((1, n)), importance)[0]

    t = (np.arange(100_000) + 0.5) / 100_000
    t = 2 * t - 1 if signed else t
    single = sum(losses_by_numpy(params, t[:, None] * np.eye(n)[[i]], importance).mean() for i in range(n))
    # To first order in p: what is left over when the silent examples are taken out.
    assert float(got - (1 - n * p) * silent) / p == pytest.approx(single, abs=2e-6)


@pytest.mark.parametrize(("model", "draw", "signed"), CASES)
@pytest.mark.parametrize("density", [(0.9, 0.9), (0.5, 0.1), (0.3, 0.6, 0.2), (0.02, 0.05, 0.03)])
def test_agrees_with_quadrature(model, draw, signed, density):
    n, m = len(density), 4
    params, importance = draw(n, n, m), 0.8 ** np.arange(n)
    # A fine midpoint rule: the squared errors are continuous and piecewise quadratic.
    points = {1: 4000, 2: 500, 3: 80}
    exact = 0.0
    for active in itertools.product((False, True), repeat=n):
        on = np.flatnonzero(active)
        if len(on) == 0:
            x = np.zeros((1, n))
        else:
            t = (np.arange(points[len(on)]) + 0.5) / points[len(on)]
            t = 2 * t - 1 if signed else t
            mesh = np.stack([g.ravel() for g in np.meshgrid(*[t] * len(on))], 1)
            x = np.zeros((len(mesh), n))
            x[:, on] = mesh
        weight = np.prod([p if a else 1 - p for p, a in zip(density, active, strict=True)])
        exact += weight * losses_by_numpy(params, x, importance).mean()
    got = estimate(
        model(n, m), params, importance, np.array(density), key=KEY, examples=EXAMPLES, signed=signed
    )
    assert abs(got.loss - exact) < 4 * got.standard_error + 2e-4 * exact * np.prod(density) ** 0.5
    assert 0 < got.standard_error < 0.01 * exact


def test_agrees_with_plain_monte_carlo_of_a_wide_model():
    n, m, p = 20, 12, 0.1
    params, importance = untied(3, n, m), 0.9 ** np.arange(n)
    rng = np.random.default_rng(0)
    x = np.where(rng.random((300_000, n)) < p, rng.uniform(-1, 1, (300_000, n)), 0.0)
    plain = losses_by_numpy(params, x, importance)
    error = plain.std() / np.sqrt(len(plain))
    got = estimate(AbsoluteValue(n, m), params, importance, p, key=KEY, signed=True)
    assert abs(got.loss - plain.mean()) < 4 * np.hypot(error, got.standard_error)


@pytest.mark.parametrize(
    ("model", "density", "signed"),
    [(Linear, 0.3, True), (ReLUOutput, 1.0, False), (ReLUOutput, 0.3, True), (ReLUOutput, 0.01, False)],
)
def test_the_standard_error_is_honest_where_the_loss_is_known(model, density, signed):
    n, m = 3, 2
    params, importance = tied(1, n, m), 0.9 ** np.arange(n)
    exact = reference_loss(params, importance, density, activation=model.activation, signed=signed)
    loss = jax.jit(
        jax.vmap(
            lambda key: stratified_loss(
                model(n, m), params, importance, density, key=key, examples=2_000, signed=signed
            )
        )
    )
    got = loss(jax.random.split(KEY, 64))
    z = np.asarray((got.loss - exact) / got.standard_error)
    assert abs(z.mean()) < 4 / 8
    assert 0.7 < z.std() < 1.35


def test_nothing_is_cut_where_no_hidden_unit_can_be_negative():
    n, m = 6, 3
    params = tied(5, n, m)
    params = params._replace(W=jnp.abs(params.W))
    hidden, plain = (
        estimate(model(n, m), params, np.ones(n), 0.2, key=KEY) for model in (ReLUHidden, ReLUOutput)
    )
    np.testing.assert_allclose(hidden.loss, plain.loss, rtol=1e-12)
    assert hidden.loss > 0


def test_models_under_one_key_meet_the_same_examples():
    n, m = 5, 3
    params = [untied(seed, n, m) for seed in range(3)]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *params)
    density = jnp.array([0.1, 0.4, 0.9])

    def loss(p, d):
        return estimate(AbsoluteValue(n, m), p, np.ones(n), d, key=KEY, examples=500, signed=True)

    together = jax.jit(jax.vmap(loss))(stacked, density)
    alone = [loss(p, d) for p, d in zip(params, density, strict=True)]
    np.testing.assert_allclose(together.loss, [a.loss for a in alone], rtol=1e-12)
    np.testing.assert_allclose(together.standard_error, [a.standard_error for a in alone], rtol=1e-9)


def test_one_feature_needs_no_sampling():
    params = untied(0, 1, 2)
    got = estimate(AbsoluteValue(1, 2), params, 1.0, 0.4, key=KEY, examples=10, signed=True)
    t = np.linspace(-1, 1, 2_000_001)
    one = losses_by_numpy(params, t[:, None], np.ones(1))
    silent = losses_by_numpy(params, np.zeros((1, 1)), np.ones(1))[0]
    assert got.standard_error == 0
    assert float(got.loss) == pytest.approx(0.6 * silent + 0.4 * integrate.trapezoid(one, t) / 2, rel=1e-9)


def test_two_or_more_draws_every_pattern_as_often_as_it_should():
    p, count = np.array([0.9, 0.02, 0.3, 0.1]), 200_000
    x, chance = two_or_more(KEY, jnp.array(p), count, signed=True)
    active = np.asarray(x) != 0
    patterns = [a for a in itertools.product((0, 1), repeat=4) if sum(a) >= 2]
    weights = np.array([np.prod(np.where(a, p, 1 - p)) for a in patterns])
    assert float(chance) == pytest.approx(weights.sum(), rel=1e-12)
    assert active.sum(1).min() == 2
    seen = np.array([(active == np.array(a)).all(1).sum() for a in patterns])
    assert stats.chisquare(seen, weights / weights.sum() * count).pvalue > 1e-3
    for i in range(4):
        assert stats.kstest(np.asarray(x)[active[:, i], i], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    both = np.asarray(x)[active[:, 0] & active[:, 2]]
    assert abs(np.corrcoef(both[:, 0], both[:, 2])[0, 1]) < 4 / np.sqrt(len(both))


@pytest.mark.parametrize("p", [1.0, 1e-6])
def test_two_or_more_at_the_ends_of_the_scale(p):
    with jax.enable_x64(False):
        x, chance = two_or_more(KEY, jnp.full(100, p, jnp.float32), 4096)
        count = np.asarray(x > 0).sum(1)
    assert count.min() >= (100 if p == 1 else 2)
    assert float(chance) == pytest.approx(1 if p == 1 else 4950 * p**2, rel=1e-4)
    if p < 1:
        assert count.max() == 2
        first = np.asarray(x > 0).argmax(1)
        # The first of two out of 100 features: (99 - i) pairs start at feature i.
        expected = np.arange(99, 0, -1) / 4950 * 4096
        grouped = [a.sum() for a in np.array_split(np.bincount(first, minlength=99), 9)]
        assert stats.chisquare(grouped, [a.sum() for a in np.array_split(expected, 9)]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"examples": 1}, "examples"),
        ({"density": 1.5}, "density"),
        ({"density": [0.1, 0.2]}, "density"),
        ({"importance": [1.0, 2.0]}, "importance"),
        ({"importance": -1.0}, "importance"),
    ],
)
def test_bad_input_is_refused_by_name(change, said):
    given = {"importance": 1.0, "density": 0.1, "examples": 10} | change
    with pytest.raises(ConfigError, match=said):
        stratified_loss(AbsoluteValue(3, 2), untied(0, 3, 2), key=KEY, **given)
