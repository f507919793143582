from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel, Layer, Rotary, Spec, sharding
from superposition.llm.decoder import shapes
from superposition.llm.generation import choose
from superposition.llm.hooks import stop_after
from tests.support.processes import environment, python

PLAIN = Spec("gpt2", 32, 4, 4, 8, 64, 50, 40, (Layer(8**-0.5),) * 3, learned_positions=True, qkv_bias=True,
             out_bias=True, mlp_bias=True)  # fmt: skip
MODERN = Spec("gemma2", 32, 4, 2, 16, 48, 50, 40,
              tuple(Layer(0.25, window=6 if i % 2 else None, rotary=Rotary(1e4, 16)) for i in range(3)),
              norm="rms_unit_offset", gated=True, post_norms=True, qk_norm=True, embed_scale=32**0.5,
              attention_softcap=20.0, logit_softcap=10.0, tied=False)  # fmt: skip
PARALLEL = Spec("gpt_neox", 32, 4, 4, 8, 64, 50, 40, (Layer(8**-0.5, rotary=Rotary(1e4, 4)),) * 3,
                parallel=True, qkv_bias=True, out_bias=True, mlp_bias=True, tied=False)  # fmt: skip
SPECS = {"plain": PLAIN, "modern": MODERN, "parallel": PARALLEL}


def model(spec, seed=0):
    """Random weights under which no part is idle: text varies, and an edit changes it."""
    r = np.random.default_rng(seed)

    def draw(name, shape):
        if len(shape) > 1:
            return 0.5 * r.normal(size=shape)
        return 0.1 * r.normal(size=shape) + (name.endswith(".w") and spec.norm != "rms_unit_offset")

    return LanguageModel.of(spec, {n: draw(n, s).astype(np.float32) for n, s in shapes(spec).items()})


def tokens(batch=3, length=20, seed=1):
    return np.random.default_rng(seed).integers(0, 50, (batch, length))


@pytest.fixture(params=SPECS, ids=str)
def lm(request):
    return model(SPECS[request.param])


def greedy(lm, ids, n, edits):
    """Continuation by whole forward passes; what lies to the right is not seen, so one length does for all."""
    start, grown = ids.shape[1], np.pad(ids, ((0, 0), (0, n)))
    for at in range(start, start + n):
        grown[:, at] = np.argmax(lm(grown, edits=edits)[:, at - 1], -1)
    return grown[:, start:]


def test_every_hook_point_fires_with_the_shape_it_promises(lm):
    logits, seen = lm.run_with_cache(tokens(), lambda name: True)
    assert set(seen) == set(lm.hook_names())
    for name, x in seen.items():
        sizes = {"batch": 3, "pos": 20, "query": 20, "key": 20}
        assert x.shape == tuple(sizes.get(n, n) for n in lm.shape(name)), name
    assert logits.shape == (3, 20, 50)


def test_the_residual_is_what_its_parts_add_up_to():
    lm = model(PLAIN)
    seen = lm.run_with_cache(tokens(), lambda name: True)[1]
    np.testing.assert_allclose(seen["blocks.0.hook_resid_pre"], seen["hook_embed"] + seen["hook_pos_embed"])
    for i in range(3):
        b = f"blocks.{i}.hook_"
        np.testing.assert_allclose(
            seen[f"{b}resid_mid"], seen[f"{b}resid_pre"] + seen[f"{b}attn_out"], rtol=1e-6
        )
        np.testing.assert_allclose(
            seen[f"{b}resid_post"], seen[f"{b}resid_mid"] + seen[f"{b}mlp_out"], rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(seen["blocks.1.attn.hook_pattern"].sum(-1), 1, rtol=1e-6)
    assert (np.triu(np.asarray(seen["blocks.1.attn.hook_pattern"]), 1) == 0).all()


def test_no_token_sees_a_later_one(lm):
    one, other = tokens(), tokens()
    other[:, 12:] = (other[:, 12:] + 7) % 50
    a, b = lm(one), lm(other)
    np.testing.assert_array_equal(a[:, :12], b[:, :12])
    assert np.abs(a[:, 12:] - b[:, 12:]).max() > 1e-3


def test_padding_on_either_side_changes_no_real_token(lm):
    ids = tokens()
    clean = lm(ids)
    pad = np.full((3, 5), 9)
    for left in (True, False):
        mask = np.ones((3, 25), bool)
        mask[:, :5] = not left
        mask[:, 20:] = left
        padded = np.concatenate([pad, ids] if left else [ids, pad], 1)
        got = lm(padded, mask=mask)[:, 5:] if left else lm(padded, mask=mask)[:, :20]
        np.testing.assert_allclose(got, clean, rtol=2e-5, atol=2e-5)
        assert np.isfinite(lm(padded, mask=mask)).all()


def test_cached_generation_is_the_greedy_continuation_with_and_without_edits_and_padding(lm):
    ids, steer = tokens(2, 8), 3 * np.random.default_rng(5).normal(size=32).astype(np.float32)
    plain = None
    for edits in ({}, {"blocks.1.hook_resid_post": lambda x, context: x + steer}):
        grown = greedy(lm, ids, 10, edits)
        np.testing.assert_array_equal(lm.generate(ids, 10, edits=edits), grown)
        mask = np.arange(11)[None].repeat(2, 0) >= 3
        left = np.concatenate([np.zeros((2, 3), int), ids], 1)
        np.testing.assert_array_equal(lm.generate(left, 10, mask=mask, edits=edits), grown)
        plain = grown if plain is None else plain
    assert (plain != grown).any()  # the edit acts


def test_an_edit_by_absolute_position_acts_at_that_position_alone_in_prefill_and_in_decoding():
    lm = model(MODERN)

    def at_nine(x, context):
        return jnp.where((context.positions == 9)[..., None], 0.0, x)

    def always(x, context):
        return x

    edits = {"blocks.0.hook_resid_post": at_nine}
    ids = tokens(1, 8)
    np.testing.assert_array_equal(lm.generate(ids, 6, edits=edits), greedy(lm, ids, 6, edits))
    # The prompt does not reach position 9, so its next token is that of the unedited model.
    assert lm.generate(ids, 1, edits=edits)[0, 0] == lm.generate(ids, 1, edits={"hook_embed": always})[0, 0]


def test_drawn_tokens_follow_the_model_and_nucleus_sampling_keeps_the_least_set():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    logits = jnp.log(jnp.asarray(p))[None].repeat(20_000, 0)

    def drawn(top_p, temperature=1.0):
        chosen = choose(jax.random.key(0), logits, temperature, top_p, greedy=False)
        return np.bincount(np.asarray(chosen), minlength=4) / 20_000

    np.testing.assert_allclose(drawn(None), p, atol=0.015)
    np.testing.assert_allclose(drawn(0.79), [0.625, 0.375, 0, 0], atol=0.015)
    np.testing.assert_allclose(drawn(0.81), [*p[:3] / 0.95, 0], atol=0.015)
    np.testing.assert_allclose(drawn(0.4), [1, 0, 0, 0])
    hot = p**0.5 / (p**0.5).sum()
    np.testing.assert_allclose(drawn(None, 2.0), hot, atol=0.015)


def test_a_seed_gives_the_same_text_and_a_row_that_ends_stays_ended():
    lm = model(PLAIN)
    one = lm.generate(tokens(), 8, key=jax.random.key(3), temperature=1.0)
    np.testing.assert_array_equal(one, lm.generate(tokens(), 8, key=jax.random.key(3), temperature=1.0))
    assert (one != lm.generate(tokens(), 8, key=jax.random.key(4), temperature=1.0)).any()
    end = int(one[0, 2])
    ended = lm.generate(tokens(), 8, key=jax.random.key(3), temperature=1.0, end=end)
    first = int(np.argmax(one[0] == end))
    np.testing.assert_array_equal(ended[0, : first + 1], one[0, : first + 1])
    assert (ended[0, first:] == end).all()


def test_stopping_early_gives_the_same_activations_and_no_logits(lm):
    names = ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_pre"]
    logits, seen = lm.run_with_cache(tokens(), names, stop_at_layer=2)
    assert logits is None
    whole = lm.run_with_cache(tokens(), names)[1]
    for name in names:
        np.testing.assert_allclose(seen[name], whole[name], rtol=1e-5, atol=1e-6)
    assert stop_after(names, 3) == 2
    assert stop_after(["hook_embed"], 3) == 0
    assert stop_after(["ln_final.hook_scale"], 3) is None


def test_a_new_vector_in_an_edit_compiles_nothing():
    from superposition.interventions import Replace
    from superposition.llm.forward import run

    lm = model(PLAIN)
    lm(tokens(), edits={"blocks.0.hook_mlp_out": Replace(jnp.zeros(32))})
    before = run._cache_size()
    changed = lm(tokens(), edits={"blocks.0.hook_mlp_out": Replace(jnp.ones(32))})
    assert run._cache_size() == before
    assert np.abs(changed - lm(tokens())).max() > 1e-3


def test_names_that_are_unknown_or_never_fire_are_errors_with_near_names(lm):
    with pytest.raises(ConfigError, match=r"did you mean .*blocks\.2\.hook_resid_post"):
        lm.run_with_cache(tokens(), ["blocks.2.hook_resid_pots"])
    with pytest.raises(ConfigError, match=r"blocks\.\{0\.\.2\}\.hook_resid_post"):
        lm.run_with_cache(tokens(), ["hook_resid_post"])
    with pytest.raises(ConfigError, match="never fired"):
        lm.run_with_cache(tokens(), ["blocks.2.hook_resid_post"], stop_at_layer=1)
    with pytest.raises(ConfigError, match="never fired"):
        lm.run_with_cache(tokens(), [], stop_at_layer=1, edits={"blocks.2.hook_mlp_out": lambda x, c: x})
    with pytest.raises(ConfigError, match="accepts no hook point"):
        lm.run_with_cache(tokens(), lambda name: False)
    if lm.spec.parallel:
        with pytest.raises(ConfigError, match="no hook point named"):
            lm.shape("blocks.0.hook_resid_mid")


def test_bad_tokens_masks_and_edits_are_refused():
    lm = model(PLAIN)
    with pytest.raises(ConfigError, match="row 1, position 2 is 50"):
        lm(np.array([[1, 2, 3], [4, 5, 50]]))
    with pytest.raises(ConfigError, match=r"tokens must be integers \(batch, pos\)"):
        lm(np.array([1, 2, 3]))
    with pytest.raises(ConfigError, match="mask must have the shape"):
        lm(tokens(), mask=np.ones((3, 4)))
    with pytest.raises(ConfigError, match="40 positions; got 41"):
        lm(tokens(1, 41))
    with pytest.raises(ConfigError, match="40 positions; got 20 and 21 to come"):
        lm.generate(tokens(), 21)
    with pytest.raises(ConfigError, match="padded on the left"):
        lm.generate(tokens(), 2, mask=np.arange(20)[None].repeat(3, 0) < 10)
    with pytest.raises(ConfigError, match="needs a key"):
        lm.generate(tokens(), 2, temperature=1.0)
    with pytest.raises(ConfigError, match="keep the shape"):
        lm(tokens(), edits={"hook_embed": lambda x, c: x[..., :3]})
    named = replace(lm, aliases={"other": "hook_embed"})
    with pytest.raises(ConfigError, match="two edits"):
        named(tokens(), edits={"hook_embed": lambda x, c: x, "other": lambda x, c: x})


def test_parameters_lie_over_a_mesh_and_give_the_same_logits():
    code = """
import jax, numpy as np
from tests.llm.test_model import SPECS, model, tokens
from superposition.llm import LanguageModel, sharding
mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(1, 4), ("data", "model"))
for spec in SPECS.values():
    lm = model(spec)
    spread = LanguageModel.of(spec, {n: sharding.put(mesh, n, np.asarray(a)) for n, a in lm.params.items()})
    W = spread.params["blocks.0.mlp.W_in"]
    assert len(W.sharding.device_set) == 4 and W.addressable_shards[0].data.shape[1] == W.shape[1] // 4
    a, b = np.asarray(lm(tokens())), np.asarray(spread(tokens()))
    assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max(), np.abs(a - b).max()
print("same")
"""
    done = python("-c", code, env=environment(XLA_FLAGS="--xla_force_host_platform_device_count=4"))
    assert done.stdout.strip() == "same", done.stderr[-2000:]


def test_a_mesh_without_the_axis_or_of_explicit_axes_is_refused():
    device = np.array(jax.devices()[:1])
    with pytest.raises(ConfigError, match='needs an axis "model"'):
        sharding.put(jax.sharding.Mesh(device, ("data",)), "pos.W", np.zeros((2, 2)))
    explicit = jax.sharding.Mesh(device, ("model",), axis_types=(jax.sharding.AxisType.Explicit,))
    with pytest.raises(ConfigError, match="Auto"):
        sharding.put(explicit, "pos.W", np.zeros((2, 2)))


def test_wrong_parameters_are_all_named():
    spec = PLAIN
    params = {n: np.zeros(s, np.float32) for n, s in shapes(spec).items()}
    del params["pos.W"]
    params["extra"] = np.zeros(3)
    params["ln_final.w"] = np.zeros(3)
    with pytest.raises(ConfigError, match=r"extra.*ln_final\.w.*pos\.W"):
        LanguageModel.of(spec, params)
