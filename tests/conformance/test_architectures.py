"""Every architecture keeps the same contract: shapes, encode and decode, norms, constraints, dead latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from superposition.errors import ConfigError
from superposition.sae import ARCHITECTURES, JumpReLU, Matryoshka, ReLU, TopK
from superposition.sae._base import COUNTER_CAP
from superposition.sae._parts import geometric_median
from tests.oracles.sae_cases import BATCH, CASES, D_IN, D_SAE, TRAINED, data, params_of, recipe, state_of

SIGNED = [name for name, kind in ARCHITECTURES.items() if kind.signed]
KEY = jax.random.key(0)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_shapes_signs_and_reconstruct_is_decode_of_encode(name, kind):
    sae = recipe(name, kind)
    x, y = data(sae, rows=6)
    params = sae.init_params(KEY, x, y)
    assert params["W_dec"].shape == (sae.d_sae, sae.target_width)
    assert params["b_dec"].shape == (sae.target_width,)
    assert ("W_skip" in params) == sae.skip
    assert all(a.dtype == jnp.float32 for a in params.values())
    params = params_of(sae)
    for shape in ((sae.d_in,), (6, sae.d_in), (2, 3, sae.d_in)):
        inputs = x.reshape(-1)[: int(np.prod(shape))].reshape(shape)
        latents, y_hat = sae.reconstruct(params, inputs)
        assert latents.shape == (*shape[:-1], sae.d_sae)
        assert y_hat.shape == (*shape[:-1], sae.target_width)
        np.testing.assert_array_equal(latents, sae.encode(params, inputs))
        np.testing.assert_array_equal(y_hat, sae.decode(params, latents, inputs))
        flat = sae.encode(params, inputs.reshape(-1, sae.d_in)).reshape(latents.shape)
        np.testing.assert_allclose(latents, flat, rtol=1e-5, atol=1e-6)
        assert name in SIGNED or (latents >= 0).all()
    assert (sae.encode(params, x) != 0).any()


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("kind", ["sae", "transcoder"])
def test_unit_rows_after_every_constrain_and_gradients_orthogonal_to_them(name, kind):
    sae = recipe(name, kind)
    params = sae.constrain({k: 3 * v for k, v in params_of(sae).items()}, state_of(sae))
    if "threshold" in params and name == "jumprelu":
        lowered = sae.constrain({**params, "threshold": -params["threshold"]}, state_of(sae))
        np.testing.assert_array_equal(lowered["threshold"], 0)
    unit = sae.unit_norm
    assert unit == (name != "relu" and not (name == "matching-pursuit" and kind == "transcoder"))
    if name == "matching-pursuit" and kind == "transcoder":  # what pursues has unit rows
        np.testing.assert_allclose(jnp.linalg.norm(params["W_enc"], axis=0), 1, rtol=1e-6)
    grads = {k: v + 1.0 for k, v in params_of(sae, 5).items()}
    projected = sae.project(params, grads)
    if not unit:
        assert projected is grads
        return
    np.testing.assert_allclose(jnp.linalg.norm(params["W_dec"], axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(jnp.sum(projected["W_dec"] * params["W_dec"], -1), 0, atol=1e-6)
    removed = grads["W_dec"] - projected["W_dec"]
    along = jnp.sum(removed * params["W_dec"], -1, keepdims=True) * params["W_dec"]
    np.testing.assert_allclose(removed, along, atol=1e-5)
    assert all((projected[k] == grads[k]).all() for k in grads if k != "W_dec")


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("norm", ["layer_norm", "constant_norm_rescale"])
def test_run_time_norms_are_applied_and_undone(name, norm):
    sae, plain = recipe(name, normalize_activations=norm), recipe(name)
    params = params_of(sae)
    x = 7 * np.random.default_rng(3).normal(size=(BATCH, D_IN)) + 2
    if norm == "layer_norm":
        mean, std = x.mean(-1, keepdims=True), x.std(-1, keepdims=True, ddof=1)
        inside, scale, shift = (x - mean) / (std + 1e-5), std, mean
    else:
        scale, shift = np.linalg.norm(x, axis=-1, keepdims=True) / np.sqrt(D_IN), 0.0
        inside = x / scale
    latents, y_hat = plain.reconstruct(params, jnp.asarray(inside, jnp.float32))
    got, undone = sae.reconstruct(params, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, latents, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(undone, y_hat * scale + shift, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_bfloat16_products_stay_close_and_parameters_stay_float32(name):
    sae, low = recipe(name, d_sae=D_SAE), recipe(name, matmul_dtype="bfloat16")
    params, state = params_of(sae), state_of(sae)
    x, y = data(sae, rows=64)
    values, grads = [], []
    for one in (sae, low):
        value, gradient = jax.value_and_grad(lambda p, o=one: o.loss(p, state, x, y, KEY)[0])(params)
        values.append(float(value))
        grads.append(np.concatenate([np.ravel(g) for g in gradient.values()]))
        assert all(g.dtype == jnp.float32 for g in gradient.values())
    assert values[0] != values[1]  # the flag does something
    np.testing.assert_allclose(values[1], values[0], rtol=0.03)
    assert np.linalg.norm(grads[1] - grads[0]) < 0.25 * np.linalg.norm(grads[0])
    assert all(a.dtype == jnp.float32 for a in low.init_params(KEY, x, y).values())
    assert low.reconstruct(params, x)[1].dtype == jnp.float32


@pytest.mark.parametrize("name", TRAINED)
def test_silence_is_counted_in_samples_and_never_overflows(name):
    sae = recipe(name, width=6)
    params = params_of(sae)
    x, y = data(sae)
    state = {**sae.init_state(), "silent": jnp.arange(D_SAE, dtype=jnp.int32) * 3}
    _, (after, info) = sae.loss(params, state, x, y, KEY)
    assert not info.fired[6:].any()
    expected = np.where(info.fired, 0, np.arange(D_SAE) * 3 + BATCH)
    np.testing.assert_array_equal(after["silent"], expected)
    for old in (COUNTER_CAP - 2 * BATCH, COUNTER_CAP - BATCH + 1, COUNTER_CAP):
        full = {**state, "silent": jnp.full(D_SAE, old, jnp.int32)}
        _, (after, info) = sae.loss(params, full, x, y, KEY)
        np.testing.assert_array_equal(
            np.asarray(after["silent"])[~np.asarray(info.fired)], min(old + BATCH, COUNTER_CAP)
        )


@pytest.mark.parametrize("name", TRAINED)
def test_latents_beyond_a_width_never_fire_and_get_no_gradient(name):
    sae = recipe(name, width=5)
    params, state = params_of(sae), state_of(sae, dead=(1, 7))
    x, y = data(sae)
    assert not sae.encode(params, x)[:, 5:].any()
    grads, (_, info) = jax.grad(lambda p: sae.loss(p, state, x, y, KEY), has_aux=True)(params)
    assert not info.fired[5:].any()
    assert info.fired[:5].any()
    for key, g in grads.items():
        beyond = {"W_enc": lambda g: g[:, 5:], "b_dec": lambda g: g[:0], "W_skip": lambda g: g[:0]}
        assert not beyond.get(key, lambda g: g[5:] if g.ndim else g)(g).any(), key

    def traced(width):
        one = recipe(name, width=width)
        return one.loss(params, state, x, y, KEY)[0]

    widths = jnp.array([5, D_SAE, 3])
    together = jax.jit(jax.vmap(traced))(widths)
    np.testing.assert_allclose(together, [traced(int(w)) for w in widths], rtol=1e-5)
    np.testing.assert_allclose(together[1], recipe(name).loss(params, state, x, y, KEY)[0], rtol=1e-5)


def test_geometric_median_is_the_least_sum_of_distances():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) + np.array([1.0, -2.0, 0.5])
    x[:9] += 40.0  # outliers move the mean, not the median

    def cost(m):
        return np.linalg.norm(x - m, axis=-1).sum()

    best = minimize(cost, x.mean(0), method="BFGS", options={"gtol": 1e-4})
    got = np.asarray(geometric_median(jnp.asarray(x, jnp.float32)))
    np.testing.assert_allclose(got, best.x, atol=2e-3)
    for name in ("topk", "batch-topk", "matryoshka", "bricken"):
        sae = recipe(name, d_in=3)
        b_dec = sae.init_params(KEY, jnp.asarray(x, jnp.float32))["b_dec"]
        np.testing.assert_allclose(b_dec, best.x, atol=2e-3)


def test_dead_latents_join_from_exactly_dead_after_samples():
    sae = recipe("topk", dead_after=500)
    params, (x, y) = params_of(sae), data(sae)
    for silent, counts in ((499, False), (500, True)):
        state = {"silent": jnp.full(D_SAE, silent, jnp.int32)}
        aux = sae.loss(params, state, x, y, KEY)[1][1].terms["auxk"]
        assert (float(aux) > 0) == counts


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TopK(4, 8, k=9), "k must be at most d_sae=8.*got 9"),
        (lambda: TopK(4, 8, k=0), "k must lie in .*got 0"),
        (lambda: TopK(4, 8, k=-1), "k must lie in .*got -1"),
        (lambda: ReLU(0, 8), "d_in must be an integer >= 1; got 0"),
        (lambda: ReLU(4, 2.5), "d_sae must be an integer >= 1; got 2.5"),
        (lambda: ReLU(4, 8, penalty=-1.0), "penalty must lie in .*got -1"),
        (lambda: ReLU(4, 8, penalty=float("nan")), "penalty must be finite; got nan"),
        (lambda: ReLU(4, 8, skip=True), "give d_out"),
        (lambda: ReLU(4, 8, width=9), r"width must be an integer in \[1, 9\); got 9"),
        (lambda: ReLU(4, 8, matmul_dtype="half"), "float32, bfloat16; got 'half'"),
        (lambda: ReLU(4, 8, normalize_activations="batch"), "none, layer_norm.*got 'batch'"),
        (lambda: ReLU(4, 8, d_out=3, normalize_activations="layer_norm"), "transcoder takes"),
        (lambda: JumpReLU(4, 8, sparsity_loss="l1"), "step, tanh, quadratic; got 'l1'"),
        (lambda: JumpReLU(4, 8, sparsity_loss="quadratic"), "needs l0_target"),
        (lambda: JumpReLU(4, 8, bandwidth=0.0), "bandwidth must lie in"),
        (lambda: Matryoshka(4, 8, k=2, prefixes=(2, 4)), "end in d_sae=8; got"),
        (lambda: Matryoshka(4, 8, k=2, prefixes=(4, 2, 8)), "increase"),
        (lambda: Matryoshka(4, 8, k=2, prefixes=()), "end in d_sae=8"),
        (lambda: Matryoshka(4, 8, k=2, prefixes=(0, 8)), "prefixes must be an integer"),
        (lambda: ARCHITECTURES["identity"](4, 8), "d_sae=4; got 8"),
        (lambda: ARCHITECTURES["pca"](4, 8), "at most d_in=4 components; got d_sae=8"),
        (lambda: ARCHITECTURES["pca"](4, 2).init_params(KEY), "give init_params a sample"),
        (lambda: ARCHITECTURES["pca"](4, 2, d_out=3), "leave d_out out"),
        (
            lambda: recipe("relu", "skip").decode(params_of(recipe("relu", "skip")), jnp.zeros(D_SAE)),
            "give x",
        ),
    ],
)
def test_bad_settings_are_refused_with_what_was_got_and_what_to_do(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
