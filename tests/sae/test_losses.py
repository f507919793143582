"""Losses and gradients of every architecture against their equations in numpy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.sae import ARCHITECTURES, BatchTopK, Matryoshka, TopK
from tests.oracles import sae_loss
from tests.oracles.sae_cases import CASES, D_IN, D_SAE, data, params_of, recipe, state_of

KEY = jax.random.key(0)
DEAD = (1, 4, 6)
AUXK = [name for name, kind in ARCHITECTURES.items() if hasattr(kind, "aux_coefficient")]


def graded(sae, params, state, x, y, key=KEY):
    """(value, terms, gradient) in one compilation."""

    @jax.jit
    def both(p):
        return jax.value_and_grad(lambda p: sae.loss(p, state, x, y, key), has_aux=True)(p)

    (value, (_, info)), grads = both(params)
    return value, info, grads


def matches_oracle(name, sae, state=None, seed=0, rows=12, rtol=2e-3, atol=2e-4):
    params, (x, y) = params_of(sae, seed), data(sae, seed, rows)
    state = state_of(sae) if state is None else state
    value, info, grads = graded(sae, params, state, x, y)
    terms = sae_loss.loss(name, sae, params, x, y, state)
    assert set(info.terms) <= set(terms)
    for term, expected in terms.items():
        np.testing.assert_allclose(info.terms.get(term, 0.0), expected, rtol=2e-5, atol=1e-6, err_msg=term)
    np.testing.assert_allclose(value, sum(terms.values()), rtol=2e-5)
    expected = sae_loss.gradient(name, sae, params, x, y, state)
    for key, g in expected.items():
        np.testing.assert_allclose(grads[key], g, rtol=rtol, atol=atol, err_msg=key)
    return grads


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] != "jumprelu"])
def test_loss_and_gradient_are_those_of_the_equations(name, kind):
    sae = recipe(name, kind)
    matches_oracle(name, sae, state_of(sae, DEAD if name in AUXK else ()))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("relu", {"apply_b_dec_to_input": False}),
        ("topk", {"rescale_acts_by_decoder_norm": True}),
        ("batch-topk", {"rescale_acts_by_decoder_norm": True}),
        ("matryoshka", {"rescale_acts_by_decoder_norm": True, "k_aux": 1}),
        ("topk", {"k_aux": 1}),  # more dead than k_aux
        ("topk", {"k": D_SAE}),
        ("batch-topk", {"k": 8.99}),  # more than there are positive ones
        ("matching-pursuit", {"stop_on_duplicate_support": False, "residual_threshold": 0.0}),
        ("matching-pursuit", {"max_iterations": 12, "residual_threshold": 0.8}),
        ("matching-pursuit", {"max_iterations": 1}),
    ],
)
def test_variants_are_those_of_the_equations(name, fields):
    sae = recipe(name, **fields)
    matches_oracle(name, sae, state_of(sae, DEAD if name in AUXK else ()))


@pytest.mark.parametrize("kind", ["sae", "skip"])
@pytest.mark.parametrize("to_input", [False, True])
@pytest.mark.parametrize("sparsity_loss", ["step", "tanh", "quadratic"])
def test_jumprelu_follows_the_straight_through_gradient(sparsity_loss, to_input, kind):
    sae = recipe(
        "jumprelu", kind, sparsity_loss=sparsity_loss, to_input=to_input, pre_act_penalty=0.2, l0_target=3.0
    )
    params, (x, y) = params_of(sae), data(sae)
    z = sae_loss.pre_acts(sae, sae_loss.doubles(params), np.asarray(x))
    threshold = np.asarray(params["threshold"])
    window = np.abs(z - threshold) < sae.bandwidth / 2
    assert (window & (z > threshold)).any()
    assert (window & (z <= threshold)).any()  # both sides of it
    value, info, grads = graded(sae, params, state_of(sae), x, y)
    terms = sae_loss.loss("jumprelu", sae, params, x, y, None)
    for term, expected in terms.items():
        np.testing.assert_allclose(info.terms[term], expected, rtol=2e-5, err_msg=term)
    np.testing.assert_allclose(value, sum(terms.values()), rtol=2e-5)
    expected = sae_loss.jumprelu_gradient(
        sae, sae_loss.doubles(params), np.asarray(x, float), np.asarray(y, float)
    )
    assert grads.keys() == expected.keys()
    for key, g in expected.items():
        np.testing.assert_allclose(grads[key], g, rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("kind", ["sae", "transcoder", "skip"])
def test_the_gates_own_term_never_pulls_at_the_decoder(kind):
    sae = recipe("gated", kind)
    params, (x, y) = params_of(sae), data(sae)
    grads = jax.grad(lambda p: sae.loss(p, state_of(sae), x, y, KEY)[1][1].terms["gate_aux"])(params)
    assert not grads["W_dec"].any()
    assert grads["b_gate"].any()
    assert not grads["b_mag"].any()
    if kind == "sae":  # b_dec is taken off the input: only that path is left
        np.testing.assert_allclose(grads["b_dec"], -params["W_enc"] @ grads["b_gate"], rtol=1e-4, atol=1e-6)
    else:
        assert not grads["b_dec"].any()
    if kind == "skip":
        assert not grads["W_skip"].any()


@pytest.mark.parametrize("name", AUXK)
def test_auxk_has_no_scale_and_reaches_dead_latents_alone(name):
    sae = recipe(name, k=2)
    params, (x, y) = params_of(sae), data(sae)

    def aux(p, scale, dead):
        moved = {k: v * (scale if k in ("b_enc", "b_dec", "threshold") else 1.0) for k, v in p.items()}
        info = sae.loss(moved, state_of(sae, dead), x * scale, y * scale, KEY)[1][1]
        return info.terms["auxk"]

    value, grads = jax.value_and_grad(aux)(params, 1.0, DEAD)
    assert value > 0
    np.testing.assert_allclose(aux(params, 10.0, DEAD), value, rtol=1e-4)
    np.testing.assert_allclose(aux(params, 1e-3, DEAD), value, rtol=1e-4)
    alive = np.setdiff1d(np.arange(D_SAE), DEAD)
    assert not np.asarray(grads["W_enc"])[:, alive].any()
    assert not np.asarray(grads["b_enc"])[alive].any()
    assert not np.asarray(grads["W_dec"])[alive].any()
    for latent in DEAD:
        assert grads["W_enc"][:, latent].any()
        assert grads["W_dec"][latent].any()
    assert aux(params, 1.0, ()) == 0
    assert not any(g.any() for g in jax.grad(aux)(params, 1.0, ()).values())


@pytest.mark.parametrize("fields", [{}, {"rescale_acts_by_decoder_norm": True}])
@pytest.mark.parametrize("dead", [0, 3, 700])
def test_auxk_of_wide_saes_agrees_with_the_dense_formula(dead, fields):
    sae = TopK(8, 1100, k=4, k_aux=3, dead_after=100, **fields)
    params, (x, y) = params_of(sae), data(sae, rows=20)
    state = state_of(sae, np.random.default_rng(1).permutation(1100)[:dead])
    _, info, grads = graded(sae, params, state, x, y)
    expected = sae_loss.loss("topk", sae, params, x, y, state)
    np.testing.assert_allclose(info.terms["auxk"], expected["auxk"], rtol=1e-4)
    np.testing.assert_allclose(info.terms["mse_normalized"], expected["mse_normalized"], rtol=1e-4)
    p, frozen = sae_loss.doubles(params), params
    rng = np.random.default_rng(2)
    way = {k: rng.normal(size=v.shape) for k, v in params.items()}  # 18 000 entries: one direction
    ends = [
        sum(
            sae_loss.loss(
                "topk", sae, {k: v + h * way[k] for k, v in p.items()}, x, y, state, frozen
            ).values()
        )
        for h in (1e-7, -1e-7)
    ]
    slope = sum(float((np.asarray(grads[k], float) * way[k]).sum()) for k in grads)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-7, rtol=2e-3)


def test_auxk_off_or_on_a_perfect_reconstruction():
    sae = recipe("topk", aux_coefficient=0.0)
    x, y = data(sae)
    assert "auxk" not in sae.loss(params_of(sae), state_of(sae, DEAD), x, y, KEY)[1][1].terms
    sae = recipe("topk")
    zero = {k: jnp.zeros_like(v) for k, v in params_of(sae).items()}
    value, info, grads = graded(sae, zero, state_of(sae, DEAD), jnp.zeros_like(x), jnp.zeros_like(y))
    assert value == 0
    assert info.l0 == 0
    assert all(jnp.isfinite(g).all() for g in grads.values())


def test_one_prefix_is_batch_topk_and_prefixes_are_averaged():
    one, plain = recipe("matryoshka", prefixes=(D_SAE,)), recipe("batch-topk")
    params, (x, y) = params_of(plain), data(plain)
    state = state_of(plain, DEAD)
    for a, b in zip(
        graded(one, params, state, x, y)[::2], graded(plain, params, state, x, y)[::2], strict=True
    ):
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-5, atol=1e-6), a, b)
    assert Matryoshka(D_IN, 64, k=2).prefixes == (4, 8, 16, 32, 64)


def test_sampled_prefixes_follow_their_law_and_include_the_whole():
    d_sae, power, n = 64, 0.5, 4
    sae = Matryoshka(d_sae, d_sae, k=d_sae, n_sampled=n, sampled_power=power, aux_coefficient=0.0)
    # Every latent carries one coordinate of size 1, so that the error of prefix m is 1 - m / d_sae.
    eye, zero = jnp.eye(d_sae), jnp.zeros(d_sae)
    params = {"W_enc": eye, "b_enc": zero, "W_dec": eye, "b_dec": zero, "threshold": jnp.float32(0)}
    x = jnp.concatenate([jnp.ones((1, d_sae)), jnp.zeros((1, d_sae))])
    spread = d_sae / 2

    def kept(key):  # sum of the sampled widths
        mse = sae.loss(params, sae.init_state(), x, x, key)[1][1].terms["mse_normalized"]
        return n * d_sae - mse * (n + 1) * spread

    sums = np.asarray(jax.jit(jax.vmap(kept))(jax.random.split(KEY, 4000)))
    np.testing.assert_allclose(sums, np.round(sums), atol=0.05)
    assert sums.min() >= n - 0.1
    assert sums.max() <= n * d_sae + 0.1
    # width = floor(w), P(w >= m) = (m^-power - d_sae^-power) / (1 - d_sae^-power); means are sums of tails.
    m, last = np.arange(1, d_sae), d_sae**-power
    tail = (m**-power - last) / (1 - last)
    second = ((2 * m - 1) * tail).sum()
    mean = tail.sum()
    sd = np.sqrt((second - mean**2) / n / len(sums))
    assert abs(sums.mean() / n - mean) < 4 * sd
    assert abs((sums / n).var() * n / (second - mean**2) - 1) < 0.15


def test_batch_topk_threshold_is_the_running_least_kept():
    sae = BatchTopK(D_IN, D_SAE, k=2.4, threshold_rate=0.25)
    params, state, expected = params_of(sae), sae.init_state(), None
    for seed in range(4):
        x, y = data(sae, seed)
        z = sae_loss.pre_acts(sae, sae_loss.doubles(params), np.asarray(x, float)).ravel()
        least = np.sort(z)[::-1][: int(2.4 * len(x))].min()
        expected = least if expected is None else 0.75 * expected + 0.25 * least
        _, (state, info) = sae.loss(params, state, x, y, KEY)
        assert info.l0 * len(x) == int(2.4 * len(x))
        np.testing.assert_allclose(state["threshold"], expected, rtol=1e-5)
    params = sae.constrain(params, state)
    final, used = sae.finish(params)
    np.testing.assert_array_equal(final.encode(used, x), sae.encode(params, x))
    silent = {**params, "b_enc": params["b_enc"] - 100}
    _, (after, info) = sae.loss(silent, state, x, y, KEY)  # keeps nothing: the mean stays
    assert after["threshold"] == state["threshold"]
    assert info.l0 == 0
