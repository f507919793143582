"""Steering, clamping and ablating latents against forward passes by hand and generation without a cache."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.interventions import (
    Attached,
    From,
    ablate,
    clamp,
    latents_of,
    steer,
)
from superposition.llm import forward, model
from superposition.sae import TopK
from tests.oracles import decoder
from tests.oracles.sae_cases import params_of
from tests.support.steering import HOOK, IDS, KEY, SAES, bits


def rest(lm, x):
    """Logits of the blocks after the first on residuals x (batch, pos, d), in float64."""
    spec = replace(lm.spec, layers=lm.spec.layers[1:], learned_positions=False, embed_scale=None, tied=False)
    params = {n.replace("blocks.1.", "blocks.0."): v for n, v in lm.params.items() if "blocks.0." not in n}
    params["unembed.W"] = np.asarray(lm.params["embed.W"]).T if lm.spec.tied else lm.params["unembed.W"]
    rows = [
        decoder.forward(spec, {**params, "embed.W": row}, np.arange(len(row))[None])["logits"] for row in x
    ]
    return np.concatenate(rows)


def by_hand(sae, params, x):
    """Latents, and the function from latents to the reconstruction with x's own scale, in float64."""
    latents = np.asarray(sae.encode(params, jnp.asarray(x, jnp.float32)), np.float64)
    W, b = (np.asarray(params[n], np.float64) for n in ("W_dec", "b_dec"))
    if getattr(sae, "rescale_acts_by_decoder_norm", False):
        W = W / np.linalg.norm(W, axis=1, keepdims=True)
    scale, shift = 1.0, 0.0
    if sae.normalize_activations == "layer_norm":
        scale, shift = x.std(-1, keepdims=True, ddof=1), x.mean(-1, keepdims=True)
    if sae.normalize_activations == "constant_norm_rescale":
        scale = np.linalg.norm(x, axis=-1, keepdims=True) / np.sqrt(x.shape[-1])
    return latents, lambda f: (f @ W + b) * scale + shift


def busiest(latents, n=1):
    return np.argsort(-(latents > 0).sum((0, 1)), kind="stable")[:n]


def moved_by(latents, which, change):
    new = latents.copy()
    new[..., which] += change
    return new


@pytest.mark.parametrize("case", SAES)
def test_edits_are_those_of_a_forward_pass_by_hand(lab, case):
    lm, sae, params, x = lab(case)
    latents, recon = by_hand(sae, params, x)
    pair = [int(j) for j in busiest(latents, 2)]
    error = x - recon(latents)
    every = np.arange(sae.d_sae)
    late = np.isin(np.arange(12), range(4, 10))[:, None]
    own = (Attached(lm, HOOK, sae, params),)

    def held(values):
        new = latents.copy()
        new[..., pair] = values
        return recon(new)

    expected = {
        "steered": (steer(*own, pair[0], -3.0), recon(moved_by(latents, pair[0], -3.0)) + error),
        "two at once": (steer(*own, pair, [1.5, -2.0]), recon(moved_by(latents, pair, [1.5, -2.0])) + error),
        "clamped": (clamp(*own, pair, [2.5, 0.3]), held([2.5, 0.3]) + error),
        "to the mean": (
            ablate(*own, pair, "mean", values=np.arange(sae.d_sae) / 50),
            held(np.array(pair) / 50) + error,
        ),
        "out": (ablate(*own, pair), held(0.0) + error),
        "late": ({HOOK: From(ablate(*own, pair)[HOOK], 4, 9)}, np.where(late, held(0.0) + error, x)),
        "out without the error": (ablate(*own, pair, error_term=False), held(0.0)),
        "all out without the error": (ablate(*own, every, error_term=False), recon(0 * latents)),
    }
    for name, (edits, new) in expected.items():
        assert np.abs(new - x).max() > 0.1 * np.abs(x).max(), name
        seen = lm.run_with_cache(IDS, [HOOK], edits=edits, stop_at_layer=1)[1][HOOK]
        np.testing.assert_allclose(seen, new, rtol=2e-4, atol=2e-4 * np.abs(new).max(), err_msg=name)
    edits, new = expected["late"]
    logits, plain = rest(lm, new), rest(lm, x)
    assert np.abs(logits - plain).max() > 0.05 * np.abs(logits).max()
    np.testing.assert_allclose(lm(IDS, edits=edits), logits, rtol=2e-3, atol=5e-4 * np.abs(logits).max())


@pytest.mark.parametrize("case", ["gemma2", "llama"])
def test_generation_is_that_of_a_loop_without_a_cache(lab, case):
    """Every new token is the likeliest of a whole forward pass with the edit recomputed, left padding and all."""
    lm, sae, params, x = lab(case)
    pair = [int(j) for j in busiest(by_hand(sae, params, x)[0], 2)]
    mask = np.ones((2, 6), int)
    mask[1, :2] = 0
    prompt = np.where(mask, IDS[:, :6], 0)
    pool = np.abs(np.random.default_rng(0).normal(size=(50, 2))) * 4
    last, own = "blocks.1.hook_resid_post", (sae, params)
    (resampled,) = ablate(Attached(lm, HOOK, *own), pair, "resample", values=pool, key=KEY).values()
    if case == "llama":
        edits = {
            HOOK: From(resampled, 3),
            last: From(steer(Attached(lm, last, *own), pair[0], 4.0)[last], 4, 9),
        }
    else:
        edits = {HOOK: From(clamp(Attached(lm, HOOK, *own), pair[0], 5.0)[HOOK], 3, 9)}
        edits |= {last: From(ablate(Attached(lm, last, *own), pair, error_term=False)[last], 4)}
    new = lm.generate(prompt, 8, mask=mask, edits=edits)
    whole = np.concatenate([prompt, new], 1)
    valid = np.concatenate([mask, np.ones_like(new)], 1)
    logits = np.asarray(lm(whole, mask=valid, edits=edits))[:, 5:-1]
    chosen = np.take_along_axis(logits, new[..., None], -1)[..., 0]
    assert (logits.max(-1) - chosen).max() < 1e-4  # 0 but for a tie in float32
    unedited = np.asarray(lm(whole, mask=valid))[:, 5:-1]
    assert (unedited.argmax(-1) != new).any(1).all()


@pytest.mark.parametrize("case", ["gpt2", "llama"])
def test_no_amount_changes_no_bit_and_a_latents_own_value_hardly_one(lab, case):
    lm, sae, params, _ = lab(case)
    latents = latents_of(Attached(lm, HOOK, sae, params), IDS)
    one, two = (int(j) for j in busiest(np.asarray(latents), 2))
    plain = lm.run_with_cache(IDS, [HOOK])
    negative = jnp.where(jnp.arange(IDS.size * sae.d_in).reshape(*IDS.shape, -1) % 3 == 0, -0.0, 1.5)
    for zero in (0.0, -0.0):
        edits = steer(Attached(lm, HOOK, sae, params), one, zero)
        logits, seen = lm.run_with_cache(IDS, [HOOK], edits=edits)
        np.testing.assert_array_equal(bits(logits), bits(plain[0]))
        np.testing.assert_array_equal(bits(seen[HOOK]), bits(plain[1][HOOK]))
        new = jax.jit(lambda edit, x: edit(x, None))(edits[HOOK], negative)
        np.testing.assert_array_equal(bits(new), bits(negative))
    for edits in (
        clamp(Attached(lm, HOOK, sae, params), one, latents[..., one]),
        clamp(Attached(lm, HOOK, sae, params), [one, two], latents[..., jnp.array([one, two])]),
    ):
        seen = lm.run_with_cache(IDS, [HOOK], edits=edits, stop_at_layer=1)[1][HOOK]
        np.testing.assert_allclose(seen, plain[1][HOOK], atol=1e-6 * np.abs(seen).max())


def test_generation_steered_by_nothing_is_the_same(lab):
    lm, sae, params, _ = lab("gpt2")
    options = {"key": KEY, "temperature": 1.0}
    tokens = lm.generate(IDS[:, :6], 8, **options)
    for amount, same in ((0.0, True), (9.0, False)):
        new = lm.generate(IDS[:, :6], 8, edits=steer(Attached(lm, HOOK, sae, params), 3, amount), **options)
        assert (new == tokens).all() == same


def test_heads_are_flattened_for_the_sae(lab):
    lm, *_ = lab("llama")
    hook = "blocks.1.attn.hook_z"
    sae = TopK(d_in=lm.width(hook), d_sae=40, k=5)
    params = params_of(sae)
    plain = np.asarray(lm.run_with_cache(IDS, [hook])[1][hook])
    got = lm.run_with_cache(IDS, [hook], edits=steer(Attached(lm, hook, sae, params), 3, 2.0))[1][hook]
    along = 2 * np.asarray(params["W_dec"])[3].reshape(plain.shape[2:])
    assert plain.ndim == 4
    np.testing.assert_allclose(got, plain + along, rtol=1e-5, atol=1e-6)
    assert latents_of(Attached(lm, hook, sae, params), IDS).shape == (*IDS.shape, 40)


def test_new_latents_amounts_and_positions_compile_nothing(lab):
    lm, sae, params, _ = lab("gpt2")

    def run(latent, amount, first):
        edit = clamp(Attached(lm, HOOK, sae, params), latent, amount)[HOOK]
        lm(IDS, edits=steer(Attached(lm, HOOK, sae, params), latent, amount))
        lm(IDS, edits={HOOK: From(edit, first, first + 3)})

    run(3, 1.0, 2)
    before = forward.run._cache_size()
    run(7, -4.5, 5)
    assert forward.run._cache_size() == before


def test_resampling_gives_each_token_one_row_of_the_pool(lab):
    lm, sae, params, _ = lab("gemma2")
    pool = np.stack([np.arange(1.0, 31), 100 + np.arange(1.0, 31)], 1)
    wide = np.zeros((30, sae.d_sae))
    wide[:, [5, 9]] = pool

    def values(key, pool=pool):
        (edit,) = ablate(Attached(lm, HOOK, sae, params), [5, 9], "resample", values=pool, key=key).values()
        context = model.hooks.Context(HOOK, jnp.arange(12)[None], None)
        return np.asarray(edit.values(context, (2, 12)))

    drawn = values(KEY)
    np.testing.assert_array_equal(drawn[..., 1], drawn[..., 0] + 100)  # of one row
    assert len(np.unique(drawn[..., 0])) > 12
    assert (drawn[0] != drawn[1]).any()
    np.testing.assert_array_equal(drawn, values(KEY))
    np.testing.assert_array_equal(drawn, values(KEY, wide))  # of all latents, or of these
    assert (drawn != values(jax.random.key(1))).any()
    np.testing.assert_array_less(0, drawn[..., 0])


def test_gradients_flow_to_the_amount(lab):
    lm, sae, params, x = lab("llama")
    _, recon = by_hand(sae, params, x)
    v = np.random.default_rng(0).normal(size=x.shape)

    def along(amount):
        (edit,) = steer(Attached(lm, HOOK, sae, params), 4, amount).values()
        return (edit(jnp.asarray(x, jnp.float32), None) * v).sum()

    one = np.zeros((*x.shape[:2], sae.d_sae))
    one[..., 4] = 1
    expected = ((recon(one) - recon(0 * one)) * v).sum()
    assert jax.grad(along)(0.0) == pytest.approx(expected, rel=1e-3)
