"""config.json -> Spec: real configurations of the hub, defaults, and both styles of keys."""

import json

import numpy as np
import pytest

from superposition.llm import LanguageModel, Layer, Rotary, hub
from superposition.llm import decoder as decoder_of_ours
from superposition.llm.decoder import shapes
from superposition.llm.families import parse
from tests.oracles import decoder, tiny_models
from tests.support.family_configs import GEMMA_2, GPT2, LLAMA_3, PYTHIA, TINY_STORIES, spec_of

TOLERANCE = 5e-6  # of the largest; 1e-4 would miss the exact GELU in place of the tanh form


QWEN_2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 24,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


GEMMA_3 = {  # 4B: what the text model leaves out are the defaults of its class
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eoi_token_index": 256000,
    "eos_token_id": [1, 106],
    "image_token_index": 262144,
    "initializer_range": 0.02,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0",
    "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
}


def test_gpt2_as_on_the_hub():
    spec = spec_of(GPT2)
    assert (spec.d_model, spec.n_heads, spec.d_head, spec.d_mlp, spec.d_vocab) == (768, 12, 64, 3072, 50257)
    assert spec.layers == (Layer(0.125),) * 12
    assert (spec.norm, spec.norm_eps, spec.activation, spec.tied) == ("layer", 1e-5, "gelu_tanh", True)
    assert spec.learned_positions
    assert (spec.n_ctx, spec.bos, spec.eos) == (1024, 50256, 50256)
    assert (spec.gated, spec.parallel, spec.qk_norm, spec.post_norms) == (False,) * 4
    by_layer = spec_of({**GPT2, "scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False})
    assert [layer.scale for layer in by_layer.layers[:3]] == [1, 1 / 2, 1 / 3]


def test_gpt_neo_is_local_in_every_other_layer_and_unscaled():
    spec = spec_of(TINY_STORIES)
    assert spec.layers == (Layer(1.0), Layer(1.0, 256)) * 4
    assert (spec.d_mlp, spec.d_head, spec.qkv_bias, spec.out_bias, spec.mlp_bias) == (
        256,
        4,
        False,
        True,
        True,
    )


def test_pythia_turns_a_quarter_of_each_head_beside_its_mlp():
    spec = spec_of(PYTHIA)
    assert spec.layers == (Layer(0.125, None, Rotary(10000.0, 16)),) * 6
    assert spec.parallel
    assert (spec.activation, spec.tied, spec.bos, spec.eos) == ("gelu", False, 0, 0)
    again = {**PYTHIA, "rope_theta": 10000, "partial_rotary_factor": 0.25, "rope_scaling": None}
    assert spec_of(again) == spec  # how transformers 4.57 writes it


def test_llama_3_with_its_scaled_rotation():
    spec = spec_of(LLAMA_3)
    rotary = Rotary(500000.0, 64, ("llama3", 32.0, 1.0, 4.0, 8192.0))
    assert spec.layers == (Layer(0.125, None, rotary),) * 16
    assert (spec.n_kv_heads, spec.d_head, spec.norm, spec.norm_eps, spec.tied) == (8, 64, "rms", 1e-5, True)
    assert (spec.bos, spec.eos) == (128000, 128001)


def test_windows_of_mistral_and_qwen():
    assert {layer.window for layer in spec_of({"model_type": "mistral"}).layers} == {
        4096
    }  # absent is not null
    assert {layer.window for layer in spec_of({"model_type": "mistral", "sliding_window": None}).layers} == {
        None
    }
    spec = spec_of(QWEN_2)
    assert (spec.qkv_bias, spec.out_bias, spec.d_head, spec.bos) == (True, False, 64, 151643)
    assert {layer.window for layer in spec.layers} == {None}
    windows = [
        layer.window
        for layer in spec_of({**QWEN_2, "use_sliding_window": True, "max_window_layers": 21}).layers
    ]
    assert windows == [None] * 21 + [32768] * 3


def test_qwen_3_has_heads_of_its_own_size():
    spec = spec_of(
        {"model_type": "qwen3", "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8}
    )
    assert (spec.d_head, spec.layers[0].scale, spec.qk_norm, spec.qkv_bias) == (128, 128**-0.5, True, False)


def test_gemma_says_gelu_and_means_the_tanh_form():
    for said in ({"hidden_act": "gelu"}, {"hidden_act": "gelu", "hidden_activation": None}, {}):
        spec = spec_of({"model_type": "gemma", **said})
        assert (spec.activation, spec.norm, spec.embed_scale) == ("gelu_tanh", "rms_unit_offset", 3072**0.5)
    assert spec_of({"model_type": "gemma2", "hidden_activation": "gelu"}).activation == "gelu"


def test_gemma_2_alternates_caps_and_scales_by_its_own_number():
    spec = spec_of(GEMMA_2)
    rotary = Rotary(10000.0, 256)
    assert spec.layers == (Layer(224**-0.5, 4096, rotary), Layer(224**-0.5, None, rotary)) * 21
    assert (spec.attention_softcap, spec.logit_softcap, spec.post_norms, spec.tied) == (
        50.0,
        30.0,
        True,
        True,
    )
    assert spec_of({**GEMMA_2, "attn_logit_softcapping": None}).attention_softcap is None


def test_gemma_3_inside_its_multimodal_wrapper():
    spec = spec_of(GEMMA_3)
    full = Layer(1 / 16, None, Rotary(1e6, 256, ("linear", 8.0)))
    sliding = Layer(1 / 16, 1024, Rotary(1e4, 256))
    assert spec.layers == ((*(sliding,) * 5, full) * 6)[:34]
    assert (spec.n_heads, spec.n_kv_heads, spec.d_head, spec.d_vocab) == (8, 4, 256, 262208)
    assert (spec.bos, spec.eos, spec.tied, spec.logit_softcap) == (2, 1, True, None)


@pytest.mark.parametrize("case", tiny_models.CASES)
def test_both_styles_of_keys_mean_the_same(case):
    kind, arguments = tiny_models.settings(case)
    config = {"model_type": kind, **arguments}
    assert spec_of(tiny_models.old_keys(config)) == spec_of(config)
    assert tiny_models.old_keys(config) != config


@pytest.mark.parametrize("case", tiny_models.CASES)
def test_every_parameter_of_the_decoder_has_a_source_of_its_shape(case):
    kind, arguments = tiny_models.settings(case)
    family, spec = parse({"model_type": kind, **arguments})
    sources = family.tensors(spec)
    taken = {name: source.take(np.zeros(source.shape)).shape for name, source in sources.items()}
    assert taken == shapes(spec)


@pytest.mark.parametrize("case", [case for case in tiny_models.CASES if case != "gemma3"])
def test_logits_and_residuals_agree_with_the_oracle_and_with_transformers(case, tmp_path):
    tiny_models.write(tmp_path, case)
    model = LanguageModel.from_hf(tmp_path)
    residuals = [name for name in model.hook_names() if "hook_resid" in name]
    logits, seen = model.run_with_cache(tiny_models.TOKENS, residuals)
    params = hub.read(tmp_path, "float32", lambda name, array: array)[2]
    expected = decoder.forward(model.spec, params, tiny_models.TOKENS)
    assert expected.keys() == {"logits", *residuals}
    for name, value in {**seen, "logits": logits}.items():
        error = np.abs(value - expected[name]).max() / np.abs(expected[name]).max()
        assert error < TOLERANCE, (name, error)
    golden = json.loads(tiny_models.GOLDENS.read_text())[case]
    assert (
        np.abs(np.asarray(logits)[tiny_models.SPOTS] - golden["logits"]).max() < TOLERANCE * golden["largest"]
    )


def test_a_layer_norm_keeps_its_digits_beside_a_large_mean():
    spec = spec_of({"model_type": "gpt2", "n_embd": 64, "n_head": 4})
    x = np.random.default_rng(0).normal(1000, 1, (50, 64)).astype(np.float32)
    exact = x.astype(np.float64) - x.mean(-1, keepdims=True, dtype=np.float64)
    exact /= np.sqrt((exact**2).mean(-1, keepdims=True) + spec.norm_eps)
    given = decoder_of_ours.Parameters({"w": np.ones(64, np.float32), "b": np.zeros(64, np.float32)})
    # E[x^2] - E[x]^2 in float32 errs by 1.0 here, two passes by 2e-4
    assert np.abs(decoder_of_ours.normalise(spec, given, x) - exact).max() < 1e-3
