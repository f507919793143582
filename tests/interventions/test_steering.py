"""Steering, clamping and ablating latents, and what they do, against float64 numpy and against generation without a cache."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import (
    At,
    Attached,
    From,
    ablate,
    activations_of,
    clamp,
    contrast,
    dose_response,
    effect,
    firing,
    latents_of,
    max_activations,
    splice,
    steer,
)
from superposition.llm import LanguageModel, batches, forward, model
from superposition.llm.packing import Tokens
from superposition.sae import JumpReLU, ReLU, TopK
from tests.oracles import decoder, tiny_models
from tests.oracles.sae_cases import params_of

KEY = jax.random.key(0)
HOOK = "blocks.0.hook_resid_post"
SAES = {
    "gpt2": TopK(d_in=48, d_sae=96, k=9, rescale_acts_by_decoder_norm=True),
    "gemma2": JumpReLU(d_in=64, d_sae=96, threshold=0.4),
    "llama": ReLU(d_in=64, d_sae=96, normalize_activations="layer_norm"),
    "gpt_neox": TopK(d_in=64, d_sae=96, k=9, normalize_activations="constant_norm_rescale"),
}
IDS = tiny_models.TOKENS[:, :12]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A model of a family, an SAE, its parameters, and the residual it reads in float64."""

    @cache
    def of(case):
        folder = tmp_path_factory.mktemp("models") / case
        spec, _ = tiny_models.write(folder, case)
        lm = LanguageModel.from_hf(folder)
        params = params_of(SAES[case])
        return lm, SAES[case], params, decoder.forward(spec, lm.params, IDS)[HOOK]

    return of


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


def bits(array):
    return np.asarray(array).view(np.uint32)


def moved_by(latents, which, change):
    new = latents.copy()
    new[..., which] += change
    return new


# --- the edits, against a forward pass by hand


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


# --- what they do


def test_effects_are_those_of_numpy():
    random = np.random.default_rng(0)
    before, after = 3 * random.normal(size=(2, 4, 30))
    target = np.array([3, 0, 29, 7])
    seen = effect(before, after, target)
    p, q = (np.exp(a) / np.exp(a).sum(-1, keepdims=True) for a in (after, before))
    np.testing.assert_allclose(seen.kl, (p * np.log(p / q)).sum(-1), rtol=1e-4)
    for standing, logits, probability in ((seen.before, before, q), (seen.after, after, p)):
        for row, j in enumerate(target):
            assert standing.rank[row] == list(np.argsort(-logits[row])).index(j)
            assert standing.logit[row] == pytest.approx(logits[row, j], rel=1e-5)
            assert standing.probability[row] == pytest.approx(probability[row, j], rel=1e-4)
            assert standing.log_probability[row] == pytest.approx(np.log(probability[row, j]), rel=1e-4)
    alone = effect(before[0], before[0], 5)
    assert (float(alone.kl), alone.before.rank.shape) == (0, ())


def text(rows=7):
    random = np.random.default_rng(2)
    usable = random.random((rows, 12)) < 0.8
    usable[3] = False
    ids = random.integers(3, 101, (rows, 12))
    return Tokens(ids, usable, np.zeros(rows, np.int32), ("one",))


@pytest.mark.parametrize("cells", [2**25, 101 * 12 * 2])
def test_firing_is_that_of_all_usable_tokens_at_once(lab, monkeypatch, cells):
    monkeypatch.setattr(batches, "CELLS", cells)  # the second: two rows at a time, seven rows
    lm, sae, params, _ = lab("gpt2")
    tokens = text()
    x = lm.run_with_cache(tokens.tokens, [HOOK])[1][HOOK]
    latents = np.asarray(sae.encode(params, x))
    np.testing.assert_allclose(
        latents_of(Attached(lm, HOOK, sae, params), tokens.tokens), latents, rtol=1e-4, atol=1e-5
    )
    used = latents[tokens.usable]
    seen = firing(Attached(lm, HOOK, sae, params), tokens)
    assert used.max(0).min() == 0 < used.max()  # some never fire
    np.testing.assert_allclose(seen.largest, used.max(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.mean, used.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.density, (used != 0).mean(0), rtol=1e-6)
    assert seen.tokens == tokens.usable.sum()
    np.testing.assert_array_equal(max_activations(Attached(lm, HOOK, sae, params), tokens), seen.largest)
    some = activations_of(Attached(lm, HOOK, sae, params), tokens, [7, 2])
    np.testing.assert_allclose(some, used[:, [7, 2]], rtol=1e-4, atol=1e-5)
    nothing = tokens._replace(usable=np.zeros_like(tokens.usable))
    with pytest.raises(ConfigError, match="no usable position"):
        firing(Attached(lm, HOOK, sae, params), nothing)


def test_latents_of_an_edited_run(lab):
    lm, sae, params, _ = lab("gemma2")
    later, edits = "blocks.1.hook_resid_post", steer(Attached(lm, HOOK, sae, params), 5, 4.0)
    x = lm.run_with_cache(IDS, [later], edits=edits)[1][later]
    got = latents_of(Attached(lm, later, sae, params), IDS, edits=edits)
    np.testing.assert_allclose(got, sae.encode(params, x), rtol=1e-4, atol=1e-4)
    assert np.abs(got - latents_of(Attached(lm, later, sae, params), IDS)).max() > 0.1


def test_contrast_lists_what_differs_most():
    a = np.zeros((2, 3, 6))
    b = np.zeros((1, 4, 6))
    a[..., 4], b[..., 1], a[0, 0, 2], b[..., 5], a[..., 5] = 2.0, 5.0, 6.0, 9.0, 9.0
    found = contrast(a, b, 3)
    assert found.latents.tolist() == [1, 4, 2]
    np.testing.assert_allclose(found.difference, [-5, 2, 1])
    np.testing.assert_allclose(found.a, [0, 2, 1])
    np.testing.assert_allclose(found.b, [5, 0, 0])
    with pytest.raises(ConfigError, match=r"a has 6 latents, b 5"):
        contrast(a, b[..., :5])


@pytest.mark.parametrize("cells", [2**25, 101 * 12 * 3])
def test_dose_response_is_that_of_runs_by_hand(lab, monkeypatch, cells):
    monkeypatch.setattr(batches, "CELLS", cells)
    lm, sae, params, _ = lab("llama")
    tokens, sets, amounts = text(), [[5, 17, 80], [3]], [-4.0, 0.0, 0.5, 4.0]
    seen = dose_response(Attached(lm, HOOK, sae, params), tokens, 6, amounts, sets)
    rows = [r for r in range(7) if r != 3]
    clean = np.asarray(jax.nn.log_softmax(lm(tokens.tokens)), np.float64)
    for a, amount in enumerate(amounts):
        edits = {HOOK: At(steer(Attached(lm, HOOK, sae, params), 6, amount)[HOOK], tokens.usable)}
        new = np.asarray(jax.nn.log_softmax(lm(tokens.tokens, edits=edits)), np.float64)
        apart = (np.exp(new) * (new - clean)).sum(-1)
        kl = [apart[r][tokens.usable[r]].mean() for r in rows]
        np.testing.assert_allclose(seen.kl.rows[a], kl, rtol=2e-3, atol=1e-6)
        assert seen.kl.mean[a] == pytest.approx(np.mean(kl), rel=2e-3, abs=1e-6)
        assert seen.kl.error[a] == pytest.approx(np.std(kl, ddof=1) / np.sqrt(6), rel=2e-3, abs=1e-6)
        for s, own in enumerate(sets):
            mass = np.exp(new[..., own]).sum(-1)
            by_row = [mass[r][tokens.usable[r]].mean() for r in rows]
            logs = [np.log(mass[r][tokens.usable[r]]).mean() for r in rows]
            np.testing.assert_allclose(seen.probability.rows[a, s], by_row, rtol=1e-3)
            np.testing.assert_allclose(seen.log_probability.rows[a, s], logs, rtol=1e-3)
            error = np.std(by_row, ddof=1) / np.sqrt(6)
            assert seen.probability.error[a, s] == pytest.approx(error, rel=1e-2)
    assert seen.kl.mean[1] == 0 < seen.kl.mean[2] < seen.kl.mean[3]
    assert seen.probability.mean.shape == (4, 2)


# --- what is refused


def test_what_cannot_be_done_is_refused_by_name(lab):
    lm, sae, params, _ = lab("gpt2")
    own = (Attached(lm, HOOK, sae, params),)
    for wrong, said in (
        (96, "no latent 96: the SAE has latents 0 to 95"),
        (-1, "no latent -1"),
        ([3, 99], "no latent 99"),
        ([3, 4, 3], "latent 3 is given twice"),
        (1.0, "a latent is an integer"),
        ([], "a latent is an integer"),
        (np.ones(96, bool), "a latent is an integer"),
    ):
        for act in (
            lambda j: steer(*own, j, 1.0),
            lambda j: clamp(*own, j, 1.0),
            lambda j: ablate(*own, j),
            lambda j: dose_response(*own, text(), j, [1.0], [[3]]),
            lambda j: activations_of(*own, text(), j),
        ):
            with pytest.raises(ConfigError, match=said):
                act(wrong)
    for arguments, options, said in (
        ((3, "median"), {}, "to must be one of zero, mean, resample"),
        ((3, "mean"), {}, "to='mean' needs values"),
        ((3, "zero"), {"values": np.zeros(96)}, "to='zero' takes no values"),
        ((3, "mean"), {"values": np.zeros(96), "key": KEY}, "to='mean' takes no key"),
        ((3, "resample"), {"values": np.zeros((2, 96))}, "needs key"),
        ((3, "mean"), {"values": np.zeros(7)}, r"\(96\) or \(1\) to mean; got shape \(7,\)"),
        ((3, "resample"), {"values": np.zeros((0, 1)), "key": KEY}, r"\(n, 96\) or \(n, 1\)"),
    ):
        with pytest.raises(ConfigError, match=said):
            ablate(*own, *arguments, **options)
    with pytest.raises(ConfigError, match="amount must be one number or 2"):
        steer(*own, [1, 2], [1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="amount must be finite"):
        steer(*own, 1, float("nan"))
    with pytest.raises(ConfigError, match=r"value must be one number or 2; got shape \(3,\)"):
        clamp(*own, [1, 2], [1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="amounts must be finite numbers"):
        dose_response(*own, text(), 3, [], [[3]])
    for sets, said in (
        ([], "at least one set"),
        ([[]], "at least one and each"),
        ([[4, 4]], "once"),
        ([[101]], "101"),
    ):
        with pytest.raises(ConfigError, match=said):
            dose_response(*own, text(), 3, [1.0], sets)
    narrow = TopK(d_in=7, d_sae=9, k=2)
    with pytest.raises(ConfigError, match="the SAE reads 7 numbers"):
        Attached(lm, HOOK, narrow, params_of(narrow))


def test_a_splice_without_edits_is_an_ablation_of_nothing_that_fires(lab):
    lm, sae, params, _ = lab("gpt2")
    latents = np.asarray(latents_of(Attached(lm, HOOK, sae, params), IDS))
    silent = np.flatnonzero(latents.max((0, 1)) == 0)
    assert len(silent)
    np.testing.assert_array_equal(
        bits(lm(IDS, edits=ablate(Attached(lm, HOOK, sae, params), silent))), bits(lm(IDS))
    )
    alone = lm(IDS, edits=ablate(Attached(lm, HOOK, sae, params), silent, error_term=False))
    np.testing.assert_allclose(
        alone, lm(IDS, edits=splice(Attached(lm, HOOK, sae, params))), rtol=1e-5, atol=1e-5
    )
