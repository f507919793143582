"""The direct path against the whole model: what is linear, what is left out, where it is all there is."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import At, Replace
from superposition.llm import LanguageModel
from superposition.llm.direct import (
    direct_effect,
    has_direct_path,
    is_only_direct,
    logit_weights,
    next_token_loss,
    post_scale_hook,
    to_residual,
)
from tests.oracles import tiny_lm, tiny_models

RANDOM = np.random.default_rng(0)
CASES = ["gpt2", "gpt_neox", "llama", "gemma2"]  # each norm, parallel, post-norms


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def get(case):
        if case not in made:
            folder = tmp_path_factory.mktemp(case)
            tiny_models.write(folder, case)
            made[case] = LanguageModel.from_hf(folder)
        return made[case]

    return get


def tiny(layers=1, **options):
    spec = tiny_lm.spec(layers, vocab=40, **options)
    return LanguageModel.of(spec, tiny_lm.params(spec))


def final(lm, ids, edits=None):
    last = f"blocks.{lm.spec.n_layers - 1}.hook_resid_post"
    return np.asarray(lm.run_with_cache(ids, [last], edits=edits)[1][last])


def losses(lm, ids, edits=None):
    logp = np.asarray(jax.nn.log_softmax(lm(ids, edits=edits)[:, :-1]))
    return -np.take_along_axis(logp, np.asarray(ids)[:, 1:, None], -1)[..., 0]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Less:
    """An edit that takes `change` (width,) away at one position; a pytree, so that a new change compiles nothing."""

    change: Any
    at: Any

    def __call__(self, x, context):
        return x.at[:, self.at].add(-self.change.reshape(x.shape[2:]).astype(x.dtype))


def without(hook, change, at):
    return {hook: Less(jnp.asarray(change), jnp.asarray(at))}


@pytest.mark.parametrize("case", CASES)
def test_what_a_hook_writes_to_the_residual_is_its_part_of_the_residual(models, case):
    """The last block's outputs differ by exactly what the map says, where nothing but a post-norm's scale is between."""
    lm = models(case)
    i = lm.spec.n_layers - 1
    ids = RANDOM.integers(3, lm.spec.d_vocab, (2, 9))
    for inside, out in (("attn.hook_z", "hook_attn_out"), ("mlp.hook_post", "hook_mlp_out")):
        hook, target = f"blocks.{i}.{inside}", f"blocks.{i}.{out}"
        scale_hook = post_scale_hook(lm.spec, hook)
        assert (scale_hook is None) == (not lm.spec.post_norms)
        wanted = [hook, target, *([scale_hook] if scale_hook else [])]
        _, seen = lm.run_with_cache(ids, wanted)
        x = seen[hook].reshape(2, 9, -1)
        scale = seen[scale_hook] if scale_hook else None
        written = to_residual(lm.spec, lm.params, hook, x, scale)
        zero = to_residual(lm.spec, lm.params, hook, jnp.zeros_like(x[:1, :1]), None)
        assert not np.asarray(zero).any()
        bias = "b_O" if inside == "attn.hook_z" else "b_out"
        room = f"blocks.{i}.{'attn' if bias == 'b_O' else 'mlp'}.{bias}"
        add = np.asarray(lm.params[room]) if room in lm.params else 0.0
        np.testing.assert_allclose(np.asarray(written) + add, seen[target], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_logit_weights_are_the_gradient_of_the_logits_but_for_the_final_scale(models, case):
    """Linear model: with the scales held fixed, logits move along the weights, up to a constant over the vocabulary."""
    lm = models(case)
    i = lm.spec.n_layers - 1
    hooks = [f"blocks.{i}.{h}" for h in ("hook_resid_post", "mlp.hook_post")]
    cap = lm.spec.logit_softcap
    for hook in hooks:
        direction = RANDOM.normal(size=lm.width(hook)).astype(np.float32)
        ids = RANDOM.integers(3, lm.spec.d_vocab, (1, 5))
        got = np.asarray(logit_weights(lm, hook, direction))
        assert got.shape == (1, lm.spec.d_vocab)
        np.testing.assert_allclose(got.mean(), 0, atol=1e-5)
        scales = ["ln_final.hook_scale"]
        if post_scale_hook(lm.spec, hook):
            scales.append(post_scale_hook(lm.spec, hook))
        logits, seen = lm.run_with_cache(ids, scales)
        frozen = {name: Replace(seen[name]) for name in scales}
        moved = lm(ids, edits=without(hook, -0.1 * direction, 4) | frozen)

        def uncapped(x):
            x = np.asarray(x[0, 4], np.float64)
            return x if cap is None else cap * np.arctanh(x / cap)

        change = (uncapped(moved) - uncapped(logits)) * 10
        for name in scales:
            change = change * float(seen[name][0, 4, 0])
        np.testing.assert_allclose(change - change.mean(), got[0], rtol=1e-2, atol=1e-2 * np.abs(got).max())
        assert np.corrcoef(change, got[0])[0, 1] > 0.9999


def test_logit_weights_by_hand():
    lm = tiny()
    hook = "mlp.hook_post"
    d = RANDOM.normal(size=(3, 24)).astype(np.float32)
    p = {k: np.asarray(v, np.float64) for k, v in lm.params.items()}
    r = d @ p["blocks.0.mlp.W_out"]
    r = (r - r.mean(-1, keepdims=True)) * p["ln_final.w"]
    logits = r @ p["embed.W"].T
    np.testing.assert_allclose(
        logit_weights(lm, hook, d), logits - logits.mean(-1, keepdims=True), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_mid", "blocks.0.hook_attn_out", "hook_embed"])
def test_what_is_added_to_the_stream_passes_as_it_is(hook):
    x = jnp.asarray(RANDOM.normal(size=(2, 3, 16)), jnp.float32)
    assert (to_residual(tiny_lm.spec(), {}, hook, x) == x).all()


@pytest.mark.parametrize(
    "hook", ["blocks.0.attn.hook_q", "blocks.0.mlp.hook_pre", "ln_final.hook_normalized"]
)
def test_a_hook_point_off_the_stream_is_refused_by_name(hook):
    assert not has_direct_path(hook)
    with pytest.raises(ConfigError, match=rf"{hook} has no direct path.*hook_mlp_out"):
        to_residual(tiny_lm.spec(), {}, hook, jnp.zeros((1, 16)))
    with pytest.raises(ConfigError, match="no direct path"):
        logit_weights(tiny(), hook, np.zeros(tiny().width(hook)))


def test_next_token_loss_is_the_models_loss(models):
    for lm in (tiny(2), models("gemma2"), models("gpt_neox")):
        ids = RANDOM.integers(3, lm.spec.d_vocab, (2, 9))
        got = next_token_loss(lm.spec, lm.params, final(lm, ids)[:, :-1], ids[:, 1:])
        np.testing.assert_allclose(got, losses(lm, ids), rtol=1e-4, atol=1e-5)


def effects(lm, hook, ids, at, change):
    """Rise of the loss of the token after `at`: by the whole model, and by the direct path."""
    edits = without(hook, change, at)
    full = losses(lm, ids, edits)[:, at] - losses(lm, ids)[:, at]
    written = to_residual(lm.spec, lm.params, hook, jnp.asarray(change)[None])
    direct = direct_effect(lm.spec, lm.params, final(lm, ids)[:, at], written, ids[:, at + 1])
    return full, np.asarray(direct)


@pytest.mark.parametrize("last", ["mlp.hook_post", "hook_mlp_out", "hook_resid_post"])
def test_behind_the_last_attention_the_direct_path_is_the_whole_effect(last):
    """A theorem: nothing reads the last MLP but the final norm at the same token."""
    shipped = LanguageModel.from_hf()
    for lm, scale in ((shipped, 0.5), (tiny(2), 1.0)):
        hook = f"blocks.{lm.spec.n_layers - 1}.{last}"
        assert is_only_direct(lm.spec, hook)
        ids = RANDOM.integers(3, lm.spec.d_vocab, (4, 12))
        change = scale * RANDOM.normal(size=lm.width(hook)).astype(np.float32)
        full, direct = effects(lm, hook, ids, 6, change)
        assert np.abs(full).max() > 0.02
        np.testing.assert_allclose(direct, full, atol=1e-5)


def test_elsewhere_it_is_not():
    lm = tiny(2)
    ids = RANDOM.integers(1, 40, (4, 12))
    for hook in ("blocks.0.mlp.hook_post", "blocks.1.attn.hook_z", "blocks.1.hook_resid_mid"):
        assert not is_only_direct(lm.spec, hook)
        change = RANDOM.normal(size=lm.width(hook)).astype(np.float32)
        full, direct = effects(lm, hook, ids, 6, change)
        assert np.abs(full - direct).max() > 5e-3


def test_side_by_side_attention_is_direct_in_the_last_block(models):
    lm = models("gpt_neox")
    assert lm.spec.parallel
    hook = f"blocks.{lm.spec.n_layers - 1}.attn.hook_z"
    assert is_only_direct(lm.spec, hook)
    ids = RANDOM.integers(3, lm.spec.d_vocab, (3, 9))
    full, direct = effects(lm, hook, ids, 4, RANDOM.normal(size=lm.width(hook)).astype(np.float32))
    assert np.abs(full).max() > 1e-3
    np.testing.assert_allclose(direct, full, atol=1e-5)
    assert not is_only_direct(
        models("gemma2").spec, f"blocks.{models('gemma2').spec.n_layers - 1}.mlp.hook_post"
    )


def test_an_effect_at_the_previous_token_alone_is_all_there_is_in_one_layer():
    """One layer: ablating neurons everywhere changes a token's loss exactly as the token before alone does."""
    lm = LanguageModel.from_hf()
    hook = "blocks.0.mlp.hook_post"
    ids = RANDOM.integers(1, lm.spec.d_vocab, (2, 20))
    usable = np.ones(ids.shape, bool)
    x = np.asarray(lm.run_with_cache(ids, [hook])[1][hook])
    everywhere = losses(lm, ids, {hook: At(Replace(0.0), jnp.asarray(usable))}) - losses(lm, ids)
    written = to_residual(lm.spec, lm.params, hook, jnp.asarray(x))
    direct = direct_effect(lm.spec, lm.params, final(lm, ids)[:, :-1], written[:, :-1], ids[:, 1:])
    assert np.abs(everywhere).max() > 0.1
    np.testing.assert_allclose(direct, everywhere, atol=1e-5)
