"""Our decoder against transformers on torch: tiny random models of every family, saved and read back."""

import copy
import functools
import json

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.llm import LanguageModel
from superposition.llm.families import FAMILIES, parse
from tests.oracles import tiny_models
from tests.oracles.tiny_models import CASES, TOKENS
from tests.support.parity import TOLERANCE, error, parse_case, theirs

pytestmark = pytest.mark.parity


STEPS = 32


BOTH = [(case, init) for case in CASES for init in ("default", "moved")] + [("gemma2", "x30")]


@pytest.fixture(scope="module")
def ours(saved):
    @functools.cache
    def load(case, init="moved", dtype="float32"):
        return LanguageModel.from_hf(saved(case, init)[1], dtype=dtype)

    return load


def family_of(case):
    return FAMILIES[tiny_models.settings(case)[0]]


def residuals(lm, case, inputs, outputs):
    """Every residual, and every block's parts, by the names of hook points."""
    family, found = family_of(case), {}
    second = (
        "ln_2" if case.startswith(("gpt2", "gpt_neo")) and "neox" not in case else "post_attention_layernorm"
    )
    for i in range(lm.spec.n_layers):
        block, at = family.block.format(i), f"blocks.{i}.hook_resid"
        found[f"{at}_pre"], found[f"{at}_post"] = inputs[block], outputs[block]
        if not lm.spec.parallel:
            found[f"{at}_mid"] = inputs[
                f"{block}.{'pre_feedforward_layernorm' if lm.spec.post_norms else second}"
            ]
        # module paths are names of hook points, whose values are what the modules give
        found |= {name: outputs[name] for name in (block, f"{block}.{family.attn}", f"{block}.{family.mlp}")}
    return found


@pytest.mark.parametrize(("case", "init"), BOTH)
def test_logits_and_every_residual(saved, ours, case, init):
    """Against float64: with large weights transformers' own float32 errs by more than TOLERANCE on some processors."""
    model, lm = saved(case, init)[0], ours(case, init)
    single, (logits, *exact) = theirs(model), theirs(copy.deepcopy(model).double())
    expected, near = residuals(lm, case, *exact), residuals(lm, case, *single[1:])
    ours_logits, seen = lm.run_with_cache(TOKENS, list(expected))
    assert error(ours_logits, logits) < max(TOLERANCE, 2 * error(single[0], logits))
    for name, value in expected.items():
        assert error(seen[name], value) < max(TOLERANCE, 2 * error(near[name], value)), name
    assert (
        len([name for name in expected if "hook_resid" in name])
        == (2 if lm.spec.parallel else 3) * lm.spec.n_layers
    )


def test_the_cases_have_what_hides_mistakes():
    specs = {case: spec for case in CASES for _, spec in [parse_case(case)]}
    length = TOKENS.shape[1]
    assert all(layer.window < length for spec in specs.values() for layer in spec.layers if layer.window)
    assert {spec.family for spec in specs.values() if spec.layers[-1].window or spec.layers[0].window} >= {
        "gpt_neo",
        "mistral",
        "qwen2",
        "gemma2",
        "gemma3",
    }
    assert specs["gemma3_text"].n_layers >= 6
    assert sum(spec.d_head * spec.n_heads != spec.d_model for spec in specs.values()) >= 5
    assert sum(1 < spec.n_kv_heads < spec.n_heads for spec in specs.values()) >= 5


@pytest.mark.parametrize("case", CASES)
def test_a_saved_config_in_either_style(saved, case):
    config = json.loads((saved(case)[1] / "config.json").read_text())
    assert parse(config)[1] == parse_case(case)[1] == parse(tiny_models.old_keys(config))[1]


@pytest.mark.parametrize("kind", FAMILIES)
def test_absent_keys_mean_what_they_mean_to_transformers(kind):
    from transformers import AutoConfig

    full = json.loads(AutoConfig.for_model(kind).to_json_string(use_diff=False))
    assert full.keys() > {"model_type"}
    assert parse({"model_type": kind})[1] == parse(full)[1]


@pytest.mark.parametrize("case", [case for case in CASES if case != "gemma3"])
def test_goldens_are_what_transformers_gives(tmp_path, case):
    tiny_models.write(tmp_path, case)
    golden = json.loads(tiny_models.GOLDENS.read_text())[case]
    logits = tiny_models.logits_by_transformers(tmp_path)
    assert np.abs(logits[tiny_models.SPOTS] - golden["logits"]).max() < 1e-6 * golden["largest"]


def mask_of(side):
    mask = np.ones(TOKENS.shape, int)
    mask[0, :9] = 0  # more than a window
    mask[1, :3] = 0
    return mask if side == "left" else mask[:, ::-1].copy()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("case", CASES)
def test_padding(saved, ours, case, side):
    mask = mask_of(side)
    positions = np.maximum(np.cumsum(mask, 1) - 1, 0)
    expected, _, outputs = theirs(saved(case)[0], mask=mask, positions=positions)
    last = f"blocks.{ours(case).spec.n_layers - 1}.hook_resid_post"
    logits, seen = ours(case).run_with_cache(TOKENS, [last], mask=mask)
    residual = outputs[family_of(case).block.format(ours(case).spec.n_layers - 1)]
    real = mask.astype(bool)
    assert error(np.asarray(logits)[real], expected[real]) < TOLERANCE
    assert error(np.asarray(seen[last])[real], residual.numpy()[real]) < TOLERANCE
    other = np.where(real, TOKENS, 3 + (TOKENS + 1) % 90)  # what the padding says is of no account
    assert np.array_equal(np.asarray(ours(case)(other, mask=mask))[real], np.asarray(logits)[real])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("init", ["default", "moved"])
def test_bfloat16_errs_at_most_twice_as_far(saved, ours, case, init):
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    model, folder = saved(case, init)
    exact = theirs(model)[0]
    cls = AutoModelForImageTextToText if case == "gemma3" else AutoModelForCausalLM
    half = cls.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager").eval()
    lm = ours(case, init, "bfloat16")
    logits = lm(TOKENS)
    assert logits.dtype == jnp.bfloat16
    expected, _, outputs = theirs(half)
    assert error(logits.astype(jnp.float32), exact) <= 2 * error(expected, exact)
    name = next(n for n in outputs if n.endswith(("embed_tokens", "wte", "embed_in")))
    embedded = lm.run_with_cache(TOKENS, ["hook_embed"])[1]["hook_embed"].astype(jnp.float32)
    np.testing.assert_array_equal(embedded, outputs[name].float().numpy())  # with Gemma's scale, to the bit


@pytest.mark.parametrize("case", CASES)
def test_greedy_tokens_with_and_without_cache(saved, ours, case):
    import torch

    model, lm = saved(case, "varied")[0], ours(case, "varied")
    prompt = TOKENS[:, :12]

    def generated(use_cache, mask):
        return model.generate(
            input_ids=torch.tensor(prompt),
            attention_mask=torch.tensor(mask),
            max_new_tokens=STEPS,
            min_new_tokens=STEPS,
            eos_token_id=None,
            do_sample=False,
            use_cache=use_cache,
        )[:, 12:].numpy()

    everyone = np.ones(prompt.shape, int)
    expected = generated(True, everyone)
    assert expected.shape == (2, STEPS)
    np.testing.assert_array_equal(generated(False, everyone), expected)
    np.testing.assert_array_equal(lm.generate(prompt, STEPS), expected)
    row = np.zeros((2, 12 + STEPS), int)  # without a cache: the whole row again for every token
    row[:, :12] = prompt
    for t in range(12, 12 + STEPS):
        mask = np.arange(12 + STEPS)[None] < t
        row[:, t] = np.asarray(lm(row, mask=np.broadcast_to(mask, row.shape)))[:, t - 1].argmax(-1)
    np.testing.assert_array_equal(row[:, 12:], expected)
    left = everyone.copy()
    left[0, :7] = 0
    np.testing.assert_array_equal(lm.generate(prompt, STEPS, mask=left), generated(True, left))
    assert len(np.unique(expected)) >= 10  # no constant, which any model would give
