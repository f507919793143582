"""What edits do: effects, firing, contrast, and dose-response, against numpy."""

import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import (
    At,
    Attached,
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
from superposition.llm import batches
from superposition.llm.packing import Tokens
from superposition.sae import TopK
from tests.oracles.sae_cases import params_of
from tests.support.steering import HOOK, IDS, KEY, bits


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
