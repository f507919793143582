"""Attacks on toy models, against closed forms, brute force and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.theory.adversarial import along_rows, by_ascent, mean_input_norm, vulnerability
from superposition.toy import Linear, ReLUHidden, ReLUOutput
from superposition.typing import ToyParams

KEY = jax.random.key(0)


def _model(seed=0, n=6, m=3):
    rng = np.random.default_rng(seed)
    params = ToyParams(jnp.asarray(rng.normal(size=(m, n)) * 0.7), jnp.asarray(rng.normal(size=n) * 0.2))
    x = jnp.asarray((rng.random((9, n)) < 0.4) * rng.random((9, n)))
    return ReLUOutput(n, m), params, x, jnp.asarray(0.5 + rng.random(n))


def _loss(params, x, change, importance):
    W, b = (np.asarray(p, np.float64) for p in params)
    outputs = np.maximum((np.asarray(x) + change) @ (W.T @ W) + b, 0)
    return ((np.asarray(x) - outputs) ** 2) @ np.asarray(importance, np.float64)


def test_the_analytic_attack_is_the_worst_row_of_the_gram_matrix():
    model, params, x, importance = _model()
    found = along_rows(model, params, x, importance, 0.3)
    A = np.asarray(params.W.T @ params.W)
    rows = A / np.linalg.norm(A, axis=1, keepdims=True)
    every = np.stack([_loss(params, x, s * 0.3 * row, importance) for row in rows for s in (1, -1)])
    np.testing.assert_allclose(found.loss, every.max(0), rtol=1e-5)
    np.testing.assert_allclose(
        _loss(params, x, np.asarray(found.change), importance), every.max(0), rtol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(found.change, axis=1), 0.3, rtol=1e-5)


def test_any_model_is_attacked_along_the_slopes_of_its_outputs():
    """With h = ReLU(W x) the slopes depend on x: W^T times the rows of W whose hidden unit is on."""
    _, params, x, importance = _model(1)
    found = along_rows(ReLUHidden(6, 3), params, x, importance, 0.1)
    W, b = np.asarray(params.W), np.asarray(params.b)
    for one, loss in zip(np.asarray(x), found.loss, strict=True):
        slopes = W.T @ (W * (W @ one > 0)[:, None])
        unit = slopes / np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-12)
        losses = [
            np.asarray(importance)
            @ (one - np.maximum(W.T @ np.maximum(W @ (one + s * 0.1 * u), 0) + b, 0)) ** 2
            for u in unit
            for s in (1, -1)
        ]
        assert loss == pytest.approx(max(losses), rel=1e-5)


def test_ascent_finds_the_worst_of_a_fine_circle_and_stays_in_the_ball():
    model, params, x, importance = _model(2, n=2, m=1)
    found = by_ascent(model, params, x, importance, 0.4, key=KEY)
    angles = np.linspace(0, 2 * np.pi, 4000)
    every = [_loss(params, x, 0.4 * np.array([np.cos(t), np.sin(t)]), importance) for t in angles]
    np.testing.assert_allclose(found.loss, np.max(every, 0), rtol=1e-4)
    assert (np.linalg.norm(found.change, axis=1) <= 0.4 * (1 + 1e-5)).all()
    np.testing.assert_allclose(_loss(params, x, np.asarray(found.change), importance), found.loss, rtol=1e-5)


def test_without_superposition_both_attacks_cost_the_square_of_their_norm():
    """A linear model that keeps every feature answers x + d, whatever d; error ||d||^2, at every x."""
    model, params = Linear(4, 4), ToyParams(jnp.eye(4), jnp.zeros(4))
    for ascent in (False, True):
        found = vulnerability(model, params, 1.0, 0.3, 0.2, key=KEY, examples=50, ascent=ascent)
        assert found.clean == pytest.approx(0, abs=1e-6)
        assert found.attacked == pytest.approx(0.04, rel=1e-4)


def test_ascent_does_at_least_as_much_harm_as_the_rows():
    model, params, x, importance = _model(3)
    rows = along_rows(model, params, x, importance, 0.05).loss
    climbed = by_ascent(model, params, x, importance, 0.05, key=KEY).loss
    assert (climbed >= rows * (1 - 1e-4)).all()
    clean = _loss(params, x, 0, importance)
    assert ((climbed - clean) > 1.01 * (rows - clean)).any()


def test_vulnerability_weighs_the_silent_input_by_its_probability():
    model, params, _, importance = _model(4, n=3, m=2)
    density, norm = 0.2, 0.1
    found = vulnerability(model, params, importance, density, norm, key=KEY, examples=20_000)
    rng = np.random.default_rng(0)
    x = (rng.random((20_000, 3)) < density) * rng.random((20_000, 3))
    attacked = np.asarray(along_rows(model, params, jnp.asarray(x), importance, norm).loss)
    clean = _loss(params, x, 0, importance)
    spread = np.std(attacked - clean) / np.sqrt(len(x))
    assert found.attacked - found.clean == pytest.approx((attacked - clean).mean(), abs=5 * spread)
    assert found.clean == pytest.approx(clean.mean(), abs=5 * clean.std() / np.sqrt(len(x)))
    assert 0.3 * spread < found.standard_error < 2 * spread


@pytest.mark.parametrize(("density", "conditional"), [(0.05, 1 - 0.95**6), (1.0, 1.0)])
def test_the_standard_error_is_the_spread_of_all_examples_drawn(density, conditional):
    model, params, _, importance = _model(4)
    found = vulnerability(model, params, importance, density, 0.1, key=KEY, examples=20_000)
    rng = np.random.default_rng(0)
    x = (rng.random((100_000, 6)) < density) * rng.random((100_000, 6))
    x = x[x.any(1)][:20_000]
    attacked = np.asarray(along_rows(model, params, jnp.asarray(x), importance, 0.1).loss)
    clean, zero = _loss(params, x, 0, importance), jnp.zeros((1, 6))
    silent = float(along_rows(model, params, zero, importance, 0.1).loss[0])
    spread = conditional * np.std(attacked - clean) / np.sqrt(len(x))
    assert 0.8 < found.standard_error / spread < 1.25
    mean = conditional * attacked.mean() + (1 - conditional) * silent
    assert found.attacked == pytest.approx(mean, abs=5 * conditional * attacked.std() / np.sqrt(len(x)))


def test_of_two_equally_long_changes_the_one_against_the_output_is_taken():
    # x' = .25 x at x = 1: pushing x down by .1 leaves more of it missing.
    found = along_rows(Linear(1, 1), ToyParams([[0.5]], [0.0]), jnp.ones((1, 1)), 1.0, 0.1)
    assert found.change[0, 0] == pytest.approx(-0.1)


def test_whole_numbers_are_attacked_as_the_same_floats():
    params = ToyParams(np.array([[1, -1]]), np.array([0, 0]))
    for x in (np.eye(2, dtype=int), np.eye(2)):
        found = along_rows(ReLUOutput(2, 1), params, x, 0.5, 0.3)
        np.testing.assert_allclose(np.linalg.norm(found.change, axis=1), 0.3, rtol=1e-6)
        np.testing.assert_allclose(found.loss, 0.5 * (0.3 * 2**0.5) ** 2, rtol=1e-5)


@pytest.mark.parametrize(("density", "n"), [(1.0, 3), (0.3, 20), (0.004, 50)])
def test_the_mean_input_norm_is_that_of_a_sample(density, n):
    rng = np.random.default_rng(1)
    norms = np.linalg.norm((rng.random((40_000, n)) < density) * rng.random((40_000, n)), axis=1)
    assert mean_input_norm(density, n) == pytest.approx(norms.mean(), abs=5 * norms.std() / 200)


def test_the_mean_input_norm_of_one_feature_is_half_its_density():
    assert mean_input_norm(0.3, 1) == pytest.approx(0.15, rel=1e-8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm": 0.0}, "norm must be > 0"),
        ({"norm": -1.0}, "norm must be > 0"),
        ({"x": jnp.zeros((4, 5))}, "one column a feature"),
        ({"x": jnp.zeros(6)}, "one column a feature"),
        ({"norm": jnp.asarray(-0.1)}, "norm must be > 0"),
        ({"importance": (1.0, 2.0)}, "importance"),
        ({"importance": -1.0}, "importance"),
        ({"params": ToyParams(jnp.ones((3, 5)), jnp.ones(5))}, "params of this ReLUOutput"),
    ],
)
def test_what_is_not_accepted_is_named(change, words):
    model, params, x, importance = _model()
    given = {"params": params, "x": x, "importance": importance, "norm": 0.1} | change
    for attack, more in ((along_rows, {}), (by_ascent, {"key": KEY})):
        with pytest.raises(ConfigError, match=words):
            attack(model, **given, **more)


def test_counts_and_densities_out_of_range_are_refused():
    model, params, x, importance = _model()
    with pytest.raises(ConfigError, match="starts"):
        by_ascent(model, params, x, importance, 0.1, key=KEY, starts=0)
    with pytest.raises(ConfigError, match="examples"):
        vulnerability(model, params, importance, 0.1, 0.1, key=KEY, examples=1)
    with pytest.raises(ConfigError, match="density"):
        mean_input_norm(0.0, 3)
    for several in ([0.1, 0.2], np.array([0.1, 0.2])):
        with pytest.raises(ConfigError, match="density must be a number"):
            mean_input_norm(several, 6)
        with pytest.raises(ConfigError, match="density must be a number"):
            vulnerability(model, params, importance, several, 0.1, key=KEY)
