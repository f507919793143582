"""Weights as TransformerLens processes them: the same logits, other activations, and which."""

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.processing import centred, with_folded_value_biases
from superposition.llm.spec import Layer, Rotary
from tests.oracles import tiny_lm
from tests.support.processed import model

IDS = np.array([[0, 5, 9, 120, 7, 200, 33, 4]])


NEOX = {
    "learned_positions": False, "parallel": True, "tied": False,
    "layers": (Layer(8**-0.5, rotary=Rotary(10000.0, 4)),) * 2,
}  # fmt: skip


def values(lm, names):
    logits, seen = lm.run_with_cache(IDS, names)
    return np.asarray(logits), {name: np.asarray(x) for name, x in seen.items()}


@pytest.mark.parametrize("changes", [{}, {"tied": False}, NEOX], ids=["tied", "untied", "parallel"])
def test_a_centred_model_has_the_same_logits_and_no_mean_in_what_it_writes(changes):
    lm = model(**changes)
    names = lm.hook_names()
    (logits, plain), (same, got) = values(lm, names), values(centred(lm), names)
    assert np.allclose(logits, same, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    for name in names:
        written = name.endswith(("hook_embed", "pos_embed", "attn_out", "mlp_out")) or "resid" in name
        wanted = plain[name] - plain[name].mean(-1, keepdims=True) if written else plain[name]
        assert np.abs(got[name] - wanted).max() < 2e-5 * max(1, np.abs(plain[name]).max()), name
        if written:
            assert np.abs(plain[name].mean(-1)).max() > 0.01, name  # there is a mean to take out


@pytest.mark.parametrize("kv", [2, 1])
def test_folded_value_biases_move_values_alone(kv):
    lm = model(n_kv_heads=kv)
    names = [n for n in lm.hook_names() if "pattern" not in n]
    (logits, plain), (same, got) = values(lm, names), values(with_folded_value_biases(lm), names)
    assert np.allclose(logits, same, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    for i in range(2):
        bias = np.asarray(lm.params[f"blocks.{i}.attn.b_V"]).reshape(kv, 8)
        v, z = f"blocks.{i}.attn.hook_v", f"blocks.{i}.attn.hook_z"
        assert np.allclose(got[v], plain[v] - bias, atol=1e-5)
        assert np.allclose(got[z], plain[z] - np.repeat(bias, 2 // kv, 0), atol=1e-5)
        out = f"blocks.{i}.hook_attn_out"
        assert np.allclose(got[out], plain[out], atol=1e-4)


def test_folding_gives_a_model_without_a_bias_of_the_output_one():
    lm = model(out_bias=False)
    folded = with_folded_value_biases(lm)
    assert np.allclose(np.asarray(lm(IDS)), np.asarray(folded(IDS)), rtol=1e-3, atol=1e-3)
    assert folded.spec.out_bias


def test_a_model_with_rms_norm_is_refused_by_name():
    lm = model(norm="rms")
    with pytest.raises(
        ConfigError, match=r"center_writing_weights is for .* LayerNorm, and scratch has RMSNorm"
    ):
        centred(lm)


def test_the_name_the_folder_and_the_tokenizer_stay(tmp_path):
    lm = LanguageModel.from_hf(tiny_lm.write_model(tmp_path / "model"))
    assert centred(lm).tokenizer("the sea")["input_ids"] == lm.tokenizer("the sea")["input_ids"]
    assert centred(lm).tokenizer is lm.tokenizer
    assert (centred(lm).name, centred(lm).folder) == (lm.name, lm.folder)
