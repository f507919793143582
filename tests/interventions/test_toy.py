"""Acts on toy models: the linear theorem, the geometry of interference, errors by hand, and what is refused."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.features import SparseUniform
from superposition.interventions.toy import ablation_error, partners, steering_error
from superposition.sae import Identity, ReLU
from superposition.toy import Linear, ReLUOutput
from superposition.typing import ToyParams

N, M = 7, 3
RANDOM = np.random.default_rng(0)
MODEL = ReLUOutput(N, M)
PARAMS = ToyParams(jnp.asarray(RANDOM.normal(size=(M, N)) / 2), jnp.asarray(RANDOM.normal(size=N) / 5))
W, B = (np.asarray(v, np.float64) for v in PARAMS)
X = np.asarray(SparseUniform(density=0.3).sample(jax.random.key(0), N, 200), np.float64)
ROWS = W.T[[2, 0, 5, 6]] * [[2.0], [0.3], [1.0], [4.0]] + 0.1 * RANDOM.normal(size=(4, M))
OF = np.array([2, 0, 5, 6])


def out(h, relu=True):
    z = h @ W + B
    return np.maximum(z, 0) if relu else z


def by_hand(directions, amounts, deltas, feature):
    """Changes by the latent and truly, (k, batch, n), in plain numpy from the model's equation."""
    h = X @ W.T
    steered = [out(h + a[:, None] * d) - out(h) for a, d in zip(amounts, directions, strict=True)]
    true = [out(h + t[:, None] * W[:, i]) - out(h) for t, i in zip(deltas, feature, strict=True)]
    return np.stack(steered), np.stack(true)


def test_every_number_equals_one_worked_out_by_hand():
    e = steering_error(MODEL, PARAMS, ROWS, X, delta=0.4, feature=OF)
    amount = 0.4 * (W[:, OF] ** 2).sum(0) / (ROWS * W[:, OF].T).sum(1)
    constant = np.ones((4, len(X)))
    change, true = by_hand(ROWS, amount[:, None] * constant, 0.4 * constant, OF)
    np.testing.assert_allclose(e.amount, amount)
    np.testing.assert_allclose(e.predicted, amount[:, None] * ROWS @ W)
    np.testing.assert_allclose(e.realised, change.mean(1), atol=1e-12)
    np.testing.assert_allclose(e.absolute, np.abs(change).mean(1), atol=1e-12)
    error = np.sqrt(((change - true) ** 2).sum((1, 2)) / (true**2).sum((1, 2)))
    np.testing.assert_allclose(e.error, error)
    own = np.abs(change).sum(1)[np.arange(4), OF]
    np.testing.assert_allclose(e.selectivity, own / np.abs(change).sum((1, 2)))
    assert (e.error > 0.01).all()
    before, after = out(X @ W.T) > 0, out(X @ W.T + amount[1] * ROWS[1]) > 0
    np.testing.assert_allclose(e.open[1], (before & after).mean(0))


def test_where_the_relu_is_open_the_prediction_is_exact_and_elsewhere_it_is_not():
    e = steering_error(MODEL, PARAMS, ROWS, X, feature=OF)
    assert (e.linear_error < 1e-12).all()
    seen = e.open > 0
    assert seen.any()
    np.testing.assert_allclose(e.realised_open[seen], e.predicted[seen], atol=1e-12)
    assert np.abs(e.realised - e.predicted).max() > 0.05
    line = steering_error(Linear(N, M), PARAMS, ROWS, X, feature=OF)
    assert (line.open == 1).all()
    np.testing.assert_allclose(line.realised, line.predicted, atol=1e-12)


def test_the_matched_preactivation_moves_as_much_as_intended_and_hidden_error_is_the_angle():
    e = steering_error(MODEL, PARAMS, ROWS, X, delta=0.4, feature=OF)
    np.testing.assert_allclose(e.predicted[np.arange(4), OF], 0.4 * (W[:, OF] ** 2).sum(0))
    hidden = np.linalg.norm(e.amount[:, None] * ROWS - 0.4 * W[:, OF].T, axis=1)
    tangent = np.tan(np.arccos(e.cosine))
    np.testing.assert_allclose(hidden / (0.4 * np.linalg.norm(W[:, OF], axis=0)), tangent)


def test_the_feature_itself_has_no_error_whatever_its_length_and_sign():
    e = steering_error(MODEL, PARAMS, -3 * W.T, X, feature=np.arange(N))
    assert (e.error < 1e-7).all()
    np.testing.assert_allclose(e.amount, -0.5 / 3)
    twice = steering_error(MODEL, PARAMS, W.T, X, feature=np.arange(N), amount=np.full(N, 1.0))
    assert (twice.error > 0.5).all()


def test_partners_mind_the_sign_of_antipodal_features():
    pair = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    latents = pair[[1, 0]] + 0.01
    np.testing.assert_array_equal(partners(latents, pair), [1, 0])
    np.testing.assert_array_equal(partners(pair[:1], pair[1:2]), [-1])
    np.testing.assert_array_equal(partners(np.zeros((1, 2)), pair), [-1])
    more = partners(np.concatenate([latents, latents, latents]), pair)
    assert sorted(more.tolist()) == [-1, -1, -1, 0, 1, 2]


def test_what_has_no_feature_is_left_alone_and_nothing_is_nan():
    dead = np.asarray(W).copy()
    dead[:, 3] = 0
    rows = np.concatenate([W.T, np.zeros((1, M))])
    e = steering_error(MODEL, PARAMS._replace(W=jnp.asarray(dead)), rows, X, feature=[*range(N), -1])
    for name, values in e._asdict().items():
        assert np.isfinite(values).all(), name
    none = e.feature < 0
    np.testing.assert_array_equal(np.flatnonzero(none), [3, N])
    assert (e.error[none] == 1).all()
    assert not e.amount[none].any()
    assert not e.absolute[none].any()
    assert not e.selectivity[none].any()
    shut = PARAMS._replace(b=jnp.full(N, -100.0))
    closed = steering_error(MODEL, shut, W.T, X, feature=np.arange(N))
    assert (closed.error == 1).all()
    assert (closed.selectivity == 0).all()
    assert (closed.feature >= 0).all()


def reading(scale=1.0):
    """An SAE that reads off each feature exactly where no more than three, with independent columns, are there."""
    params = {
        "W_enc": jnp.asarray(np.linalg.inv(W[:, :M]).T, jnp.float32),
        "b_enc": jnp.zeros(M),
        "W_dec": jnp.asarray(scale * W[:, :M].T, jnp.float32),
        "b_dec": jnp.zeros(M),
    }
    return ReLU(d_in=M, d_sae=M), params


def test_ablating_a_perfect_latent_is_ablating_its_feature():
    x = X.copy()
    x[:, M:] = 0
    sae, params = reading()
    e = ablation_error(MODEL, PARAMS, sae, params, x)
    np.testing.assert_array_equal(e.feature, range(M))
    assert (e.error < 1e-5).all()
    np.testing.assert_allclose(e.amount, -x[:, :M].mean(0), rtol=1e-5)
    weak = ablation_error(MODEL, PARAMS, *reading(scale=0.5), x)
    assert (weak.error > 0.2).all()


def test_ablation_equals_what_is_worked_out_by_hand_and_counts_false_firing():
    sae, params = reading()
    e = ablation_error(MODEL, PARAMS, sae, params, X)
    f = np.asarray(sae.encode(params, jnp.asarray(X @ W.T, jnp.float32)), np.float64)
    change, true = by_hand(W[:, :M].T, -f.T, -X[:, :M].T, range(M))
    error = np.sqrt(((change - true) ** 2).sum((1, 2)) / (true**2).sum((1, 2)))
    np.testing.assert_allclose(e.error, error, rtol=1e-5)
    np.testing.assert_allclose(e.realised, change.mean(1), atol=1e-6)
    assert (e.error > 0.1).all()


@pytest.mark.parametrize("norm", ["none", "constant_norm_rescale", "layer_norm"])
def test_ablation_takes_away_what_the_latent_gave_under_a_run_time_norm(norm):
    sae = Identity(d_in=M, d_sae=M, normalize_activations=norm)
    params = sae.init_params(jax.random.key(0))
    x = X[X.any(1)]
    h = jnp.asarray(x @ W.T, jnp.float32)
    inside, undo = sae.norm_in(h)
    latents = sae.encode(params, h)
    less = undo(sae.decode(params, latents.at[:, 1].set(0), inside)) - undo(
        sae.decode(params, latents, inside)
    )
    e = ablation_error(MODEL, PARAMS, sae, params, x, feature=[-1, 4, -1])
    direction = np.asarray(params["W_dec"][1], np.float64)
    np.testing.assert_allclose(e.amount[1] * direction, less.mean(0), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": X[:, :4]}, "7 features in 3 dimensions"),
        ({"directions": ROWS[:, :2]}, "7 features in 3 dimensions"),
        ({"directions": np.full((2, M), np.nan)}, "directions must be finite"),
        ({"x": np.full((2, N), np.inf)}, "x must be finite"),
        ({"delta": 0}, "delta must not be 0"),
        ({"delta": float("nan")}, "delta must be finite"),
        ({"feature": [0, 1]}, "feature must be 4 integers"),
        ({"feature": [0, 1, 2, N]}, "feature must be 4 integers"),
        ({"amount": [1.0]}, "amount must be 4 finite"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    given = {"directions": ROWS, "x": X, "feature": OF} | change
    with pytest.raises(ConfigError, match=words):
        steering_error(MODEL, PARAMS, **given)


def test_an_sae_of_something_else_is_refused():
    sae, params = reading()
    with pytest.raises(ConfigError, match="read and write the 3 hidden numbers"):
        ablation_error(MODEL, PARAMS, SimpleNamespace(d_in=M, d_out=N), params, X)
    wide = {**params, "W_dec": jnp.zeros((M, M + 1))}
    with pytest.raises(ConfigError, match="7 features in 3 dimensions"):
        ablation_error(MODEL, PARAMS, sae, wide, X)
