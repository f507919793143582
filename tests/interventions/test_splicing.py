"""Splices, ablations and what they cost, against numpy and against what must not change."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition import metrics
from superposition.errors import ConfigError
from superposition.interventions import At, Attached, Replace, ablations, evaluate, splice
from superposition.llm import LanguageModel, batches
from superposition.llm.packing import Tokens
from superposition.sae import ARCHITECTURES, PCA, Identity, JumpReLU, ReLU, TopK
from tests.oracles import decoder, tiny_lm
from tests.oracles.sae_cases import D_SAE, params_of, recipe

KEY = jax.random.key(0)
LAST = "blocks.0.hook_resid_post"
SPEC = tiny_lm.spec(vocab=40)
PARAMS = tiny_lm.params(SPEC)
LM = LanguageModel.of(SPEC, PARAMS)
HOOKS = ("hook_embed", "blocks.0.attn.hook_z", "blocks.0.mlp.hook_post", LAST)
RANDOM = np.random.default_rng(0)
IDS = RANDOM.integers(1, 40, (12, 1))
for _ in range(9):  # text that the model is good at, so that ablating hurts
    LOGITS = decoder.forward(SPEC, PARAMS, IDS)["logits"][:, -1]
    IDS = np.concatenate([IDS, (4 * LOGITS + RANDOM.gumbel(size=LOGITS.shape)).argmax(-1, keepdims=True)], 1)


def text(ids=IDS):
    """Rows of two sources, their first positions and a few others not usable."""
    usable = np.ones(ids.shape, bool)
    usable[:, 0] = False
    usable[3, 4:7] = usable[7, 9] = False
    return Tokens(ids, usable, np.array([0] * 5 + [1] * 7, np.int32), ("one", "two"))


def sae_of(name, width, **fields):
    """An SAE with random numbers, and its parameters."""
    sae = recipe(name, d_in=width, **({"d_sae": width} if name == "identity" else {}), **fields)
    return sae, params_of(sae)


@cache
def plain():
    return LM.run_with_cache(IDS, HOOKS)


def bits(array):
    return np.asarray(array).view(np.uint32)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_unedited_splice_with_its_error_changes_no_bit(name):
    """Neither without an edit nor with one that gives the latents back."""
    edits = {}
    for hook, edit in zip(HOOKS, (None, lambda f: 1.0 * f, None, lambda f: 1.0 * f), strict=True):
        edits |= splice(Attached(LM, hook, *sae_of(name, LM.width(hook))), edit, error_term=True)
    assert set(edits) == set(HOOKS)
    logits, seen = LM.run_with_cache(IDS, HOOKS, edits=edits)
    np.testing.assert_array_equal(bits(logits), bits(plain()[0]))
    for hook in HOOKS:
        np.testing.assert_array_equal(bits(seen[hook]), bits(plain()[1][hook]))


@pytest.mark.parametrize("edit", [None, lambda f: 1.0 * f], ids=["none", "identity"])
def test_not_even_a_negative_zero_changes(edit):
    x = jnp.asarray(np.where(np.arange(32).reshape(1, 2, 16) % 3 == 0, -0.0, 1.5), jnp.float32)
    (one,) = splice(Attached(LM, LAST, *sae_of("relu", 16)), edit, error_term=True).values()
    for new in (one(x, None), jax.jit(lambda one, x: one(x, None))(one, x)):
        np.testing.assert_array_equal(bits(new), bits(x))


def test_an_unedited_splice_changes_no_generated_token_and_an_edited_one_does():
    saes = {hook: sae_of("topk", LM.width(hook)) for hook in HOOKS}
    options = {"key": KEY, "temperature": 1.0}
    tokens = LM.generate(IDS[:, :5], 12, **options)
    same = {
        k: v for hook in HOOKS for k, v in splice(Attached(LM, hook, *saes[hook]), error_term=True).items()
    }
    np.testing.assert_array_equal(LM.generate(IDS[:, :5], 12, edits=same, **options), tokens)
    hook = HOOKS[-1]
    silent = splice(Attached(LM, hook, *saes[hook]), lambda f: 0 * f, error_term=True)
    assert (LM.generate(IDS[:, :5], 12, edits=silent, **options) != tokens).any()


def test_a_run_time_norm_is_applied_and_undone():
    sae, params = sae_of("relu", 16, normalize_activations="layer_norm")
    x = jnp.asarray(7 * RANDOM.normal(size=(2, 3, 16)) + 2, jnp.float32)
    (one,) = splice(Attached(LM, LAST, sae, params)).values()
    np.testing.assert_allclose(one(x, None), sae.reconstruct(params, x)[1], rtol=1e-5)
    (one,) = splice(Attached(LM, LAST, sae, params), lambda f: 2 * f, error_term=True).values()
    latents = sae.encode(params, x)
    std = x.std(-1, keepdims=True, ddof=1)
    np.testing.assert_allclose(one(x, None), x + std * (latents @ params["W_dec"]), rtol=1e-3, atol=1e-3)


def test_a_splice_is_the_reconstruction_and_an_edit_moves_along_the_decoder():
    hook = "blocks.0.attn.hook_z"  # heads flattened for the SAE
    sae, params = sae_of("jumprelu", LM.width(hook))
    x = np.asarray(LM.run_with_cache(IDS, [hook])[1][hook])
    latents, x_hat = sae.reconstruct(params, jnp.asarray(x.reshape(-1, 16)))
    got = LM.run_with_cache(IDS, [hook], edits=splice(Attached(LM, hook, sae, params)))[1][hook]
    np.testing.assert_allclose(got, np.asarray(x_hat).reshape(x.shape), rtol=1e-5, atol=1e-6)
    unit = int(np.argmax(np.asarray(latents > 0).sum(0)))
    edits = splice(Attached(LM, hook, sae, params), lambda f: f.at[..., unit].multiply(3.0), error_term=True)
    moved = np.asarray(LM.run_with_cache(IDS, [hook], edits=edits)[1][hook]).reshape(-1, 16)
    along = 2 * np.asarray(latents)[:, unit, None] * np.asarray(params["W_dec"])[unit]
    assert np.abs(along).max() > 0.1
    np.testing.assert_allclose(moved, x.reshape(-1, 16) + along, rtol=1e-4, atol=1e-5)


def test_gradients_flow_through_the_activation_and_the_latents():
    sae, params = sae_of("relu", 16)
    x = jnp.asarray(RANDOM.normal(size=(1, 3, 16)), jnp.float32)

    def total(x, v):
        (one,) = splice(
            Attached(LM, LAST, sae, params),
            jax.tree_util.Partial(lambda v, f: f + v[None, None], v),
            error_term=True,
        ).values()
        return one(x, None).sum()

    by_x, by_v = jax.grad(total, (0, 1))(x, jnp.zeros(D_SAE))
    np.testing.assert_allclose(by_x, 1.0, atol=1e-5)
    np.testing.assert_allclose(by_v, 3 * np.asarray(params["W_dec"]).sum(1), rtol=1e-4)


def test_edits_at_positions_leave_the_others_as_they_are():
    where = np.zeros(IDS.shape, bool)
    where[2, 3:5] = True
    hook = "blocks.0.attn.hook_z"
    plain = np.asarray(LM.run_with_cache(IDS, [hook])[1][hook])
    new = LM.run_with_cache(IDS, [hook], edits={hook: At(Replace(jnp.arange(16.0).reshape(2, 8)), where)})[1]
    expected = np.where(where[..., None, None], np.arange(16.0).reshape(2, 8), plain)
    np.testing.assert_array_equal(new[hook], expected)


# --- what it costs, against float64 numpy: the last residual is all that the logits depend on


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def logits_of(residual):
    w, b, table = (PARAMS[n].astype(float) for n in ("ln_final.w", "ln_final.b", "embed.W"))
    centred = residual - residual.mean(-1, keepdims=True)
    return (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w + b) @ table.T


def expected_costs(x, x_hat, usable, rows):
    """CE clean, spliced, zeroed, at the mean; and KL: nats a scored token of the rows."""
    mean = x[usable].mean(0)
    scored = usable[:, 1:] & rows[:, None]
    at = np.nonzero(scored)
    picked = (*at, IDS[:, 1:][at])

    def logp(new):
        return log_softmax(logits_of(np.where(usable[..., None], new, x)))[:, :-1]

    clean, spliced = logp(x), logp(x_hat)
    losses = [-p[picked].mean() for p in (clean, spliced, logp(np.zeros_like(x)), logp(mean))]
    kl = (np.exp(clean) * (clean - spliced)).sum(-1)[at].mean()
    return (*losses, kl)


@pytest.mark.parametrize("cells", [2**25, 10 * 40 * 5])
def test_costs_are_those_of_numpy_in_float64_whole_and_by_source(monkeypatch, cells):
    monkeypatch.setattr(batches, "CELLS", cells)  # the second: five rows at a time, 12 rows
    tokens = text()
    sae, params = sae_of("topk", 16)
    floor = ablations(LM, LAST, tokens)
    measured = evaluate(Attached(LM, LAST, sae, params), tokens, floor)
    x = decoder.forward(SPEC, PARAMS, IDS)[LAST]
    latents, x_hat = (np.asarray(a) for a in sae.reconstruct(params, jnp.asarray(x, jnp.float32)))
    np.testing.assert_allclose(floor.mean, x[tokens.usable].mean(0), rtol=1e-4, atol=1e-5)
    names = ("ce", "ce_spliced", "ce_zero", "ce_mean", "kl")
    every = [(measured.numbers, np.ones(12, bool))]
    every += [(measured.by_source[n], tokens.source == i) for i, n in enumerate(tokens.sources)]
    for numbers, rows in every:
        expected = expected_costs(x, x_hat, tokens.usable, rows)
        np.testing.assert_allclose([numbers[n] for n in names], expected, rtol=2e-4)
        ce, spliced, zero, mean, _ = expected
        assert min(zero, mean) > ce + 0.1
        for name, worst in (("ce_recovered", zero), ("ce_recovered_mean", mean)):
            assert numbers[name] == pytest.approx((worst - spliced) / (worst - ce), rel=1e-3)
        assert numbers["tokens"] == tokens.usable[rows, 1:].sum()
    parts = measured.by_source.values()
    for name in names:  # the sources add up to the whole
        whole = sum(part[name] * part["tokens"] for part in parts) / sum(part["tokens"] for part in parts)
        assert whole == pytest.approx(measured.numbers[name], rel=1e-12)
    used = tokens.usable
    assert measured.numbers["fvu"] == pytest.approx(metrics.fvu(x[used], x_hat[used]), rel=1e-4)
    assert measured.numbers["l0"] == pytest.approx(metrics.l0(latents[used]))
    np.testing.assert_allclose(measured.densities, (latents[used] != 0).mean(0))


def test_the_identity_recovers_everything_and_nothing_recovers_nothing():
    hook, tokens = LAST, text()
    floor, width = ablations(LM, hook, tokens), LM.width(hook)

    def numbers_of(sae, params):
        return evaluate(Attached(LM, hook, sae, params), tokens, floor).numbers

    off = ReLU(d_in=width, d_sae=4)
    zero = {"W_enc": jnp.zeros((width, 4)), "b_enc": jnp.zeros(4), "W_dec": jnp.zeros((4, width))}
    numbers = numbers_of(off, {**zero, "b_dec": jnp.zeros(width)})
    assert numbers["ce_recovered"] == pytest.approx(0, abs=1e-6)
    assert (numbers["l0"], numbers["dead_fraction"]) == (0, 1)
    assert numbers["fvu"] > 1
    numbers = numbers_of(off, {**zero, "b_dec": jnp.asarray(floor.mean).reshape(-1)})
    assert numbers["ce_recovered_mean"] == pytest.approx(0, abs=1e-6)
    assert numbers["fvu"] == pytest.approx(1, abs=1e-5)
    whole = Identity(d_in=width, d_sae=width)
    numbers = numbers_of(whole, whole.init_params(KEY))
    assert numbers["ce_recovered"] == pytest.approx(1, abs=1e-6)
    assert numbers["ce_recovered_mean"] == pytest.approx(1, abs=1e-6)
    assert numbers["kl"] == pytest.approx(0, abs=1e-6)
    assert numbers["fvu"] < 1e-10


def test_what_does_not_fit_is_refused_by_name():
    sae, params = sae_of("topk", 24)
    tokens = text()
    with pytest.raises(
        ConfigError, match=r"reads 24 numbers, .*resid_post has 16; .* width: blocks.0.mlp.hook_pre"
    ):
        Attached(LM, LAST, sae, params)
    with pytest.raises(ConfigError, match=r"reads 7 numbers.*no hook point has that width"):
        Attached(LM, LAST, TopK(d_in=7, d_sae=8, k=2), {})
    with pytest.raises(ConfigError, match="a transcoder"):
        Attached(LM, LAST, JumpReLU(d_in=16, d_sae=4, d_out=16), {})
    with pytest.raises(ConfigError, match="no activation per token"):
        Attached(LM, "blocks.0.attn.hook_pattern", PCA(d_in=10, d_sae=4), {})
    floor = ablations(LM, LAST, tokens)
    elsewhere = Attached(LM, "hook_embed", *sae_of("topk", 16))
    with pytest.raises(ConfigError, match=f"the ablations are at {LAST}, the SAE at hook_embed"):
        evaluate(elsewhere, tokens, floor)
    with pytest.raises(ConfigError, match="ablations are of 12 rows, tokens have 5"):
        evaluate(Attached(LM, LAST, *sae_of("topk", 16)), tokens.of("one"), floor)
    with pytest.raises(ConfigError, match="no usable next token"):
        ablations(LM, LAST, tokens._replace(usable=np.zeros(IDS.shape, bool)))
