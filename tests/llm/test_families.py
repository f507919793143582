"""config.json -> Spec: real configs of the hub, defaults, both styles of keys, and what is refused by name.

The logits of a tiny model of every family agree with a float64 oracle and with numbers that transformers gave.
"""

import json

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel, Layer, Rotary, hub
from superposition.llm import decoder as decoder_of_ours
from superposition.llm.decoder import shapes
from superposition.llm.families import FAMILIES, parse
from tests.oracles import decoder, tiny_models

TOLERANCE = 5e-6  # of the largest; 1e-4 would miss the exact GELU in place of the tanh form

# As they are on the hub, keys of transformers 4 included.
GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
TINY_STORIES = {
    "architectures": ["GPTNeoForCausalLM"],
    "activation_function": "gelu_new",
    "attention_dropout": 0,
    "attention_layers": ["global", "local"] * 4,
    "attention_types": [[["global", "local"], 4]],
    "bos_token_id": 50256,
    "embed_dropout": 0,
    "eos_token_id": 50256,
    "gradient_checkpointing": False,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": None,
    "layer_norm_epsilon": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "gpt_neo",
    "num_heads": 16,
    "num_layers": 8,
    "resid_dropout": 0,
    "torch_dtype": "float32",
    "transformers_version": "4.28.1",
    "use_cache": True,
    "vocab_size": 50257,
    "window_size": 256,
}
PYTHIA = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": 512,
    "initializer_range": 0.02,
    "intermediate_size": 2048,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "gpt_neox",
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 50304,
}
LLAMA_3 = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0.dev0",
    "use_cache": True,
    "vocab_size": 128256,
}
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
GEMMA_2 = {
    "architectures": ["Gemma2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 3584,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "model_type": "gemma2",
    "num_attention_heads": 16,
    "num_hidden_layers": 42,
    "num_key_value_heads": 8,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 224,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "sliding_window_size": 4096,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.45.2",
    "use_cache": True,
    "vocab_size": 256000,
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


def spec_of(config):
    return parse(config)[1]


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


ROPE = {"rope_type": "yarn", "factor": 4.0}
REFUSED = [
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention is True"),
    ("gpt2", {"activation_function": "quick_gelu"}, "activation_function is 'quick_gelu'"),
    ("gpt2", {"n_head": 7}, "n_embd is 768; accepted: a multiple of n_head = 7"),
    ("gpt2", {"is_encoder_decoder": True}, "is_encoder_decoder is True"),
    ("gpt2", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
    ("gpt2", {"quantization_config": {"bits": 4}}, "quantization_config"),
    ("gpt2", {"architectures": ["GPT2ForSequenceClassification"]}, "architectures is"),
    ("gpt2", {"auto_map": {"AutoModel": "modeling.Mine"}}, "auto_map asks for code"),
    ("gpt2", {"tie_word_embeddings": 1}, "tie_word_embeddings is 1; accepted: true or false"),
    ("gpt2", {"n_layer": 10**6}, "n_layer is 1000000"),
    ("gpt_neo", {"num_layers": 3, "attention_types": [[["global"], 2]]}, "attention_types is"),
    ("gpt_neo", {"num_layers": 1, "attention_types": [[["banded"], 1]]}, "attention_types is"),
    ("gpt_neo", {"attention_layers": ["global"] * 24}, "attention_layers is"),
    ("gpt_neox", {"rope_scaling": {"type": "dynamic", "factor": 2}}, "rope_scaling.rope_type is 'dynamic'"),
    ("gpt_neox", {"rotary_pct": 0.3, "hidden_size": 640}, "even number"),
    ("gpt_neox", {"rope_theta": 5000.0}, "rope_theta is 5000.0; accepted: 10000.0"),
    ("llama", {"rope_parameters": ROPE}, "rope_parameters.rope_type is 'yarn'"),
    ("llama", {"rope_scaling": {"type": "longrope", "factor": 2}}, "rope_type is 'longrope'"),
    ("llama", {"rope_parameters": {"rope_type": "linear"}}, "rope_parameters.factor is None"),
    ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
    ("llama", {"rope_parameters": {"mystery": 1}}, "rope_parameters.mystery is not a key"),
    ("llama", {"rope_scaling": ROPE, "rope_parameters": ROPE}, "null beside rope_parameters"),
    ("llama", {"rope_interleaved": True}, "rope_interleaved is True"),
    ("llama", {"sliding_window": 5}, "sliding_window is not a key that we know"),
    ("llama", {"num_attention_heads": 32, "num_key_value_heads": 5}, "n_kv_heads"),
    ("mistral", {"layer_types": ["full_attention"] * 32}, "layer_types is not a key"),
    ("qwen2", {"layer_types": ["sliding_attention"] * 32}, "there is no sliding_window"),
    ("qwen2", {"layer_types": ["chunked_attention"] * 32}, "layer_types is"),
    ("qwen3", {"is_causal": False}, "is_causal is False"),
    ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    ("gemma", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
    ("gemma2", {"hidden_act": "relu"}, "hidden_act is 'relu'; accepted: 'gelu_pytorch_tanh'"),
    ("gemma3_text", {"rope_parameters": {"rope_theta": 1e4}}, "rope_parameters is"),
    ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
    ("gemma3", {"text_config": {"final_logit_softcapping": 30.0}}, "text_config.final_logit_softcapping"),
    ("gemma3", {"text_config": {"novelty": 1}}, "text_config.novelty is not a key"),
    ("gemma3", {"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": True}}, "tie_word_emb"),
    ("gemma3", {"text_config": 3}, "text_config is 3"),
]


@pytest.mark.parametrize(("kind", "change", "said"), REFUSED)
def test_what_changes_the_computation_is_refused_by_name(kind, change, said):
    with pytest.raises(ConfigError) as caught:
        parse({"model_type": kind, **change})
    assert said in str(caught.value)


def test_everything_wrong_is_said_at_once():
    wrong = {"n_embd": "wide", "novelty": 1, "another": None, "add_cross_attention": True, "n_head": 0}
    with pytest.raises(ConfigError) as caught:
        parse({"model_type": "gpt2", **wrong})
    assert all(name in str(caught.value) for name in wrong)
    assert "torch_source" in str(caught.value)


@pytest.mark.parametrize("kind", ["mamba", None, 3, ["gpt2"]])
def test_an_unsupported_model_type_names_those_that_are(kind):
    with pytest.raises(ConfigError) as caught:
        parse({"model_type": kind})
    assert all(name in str(caught.value) for name in FAMILIES)
    assert "torch_source" in str(caught.value)


HOSTILE = [
    None,
    True,
    -1,
    0,
    0.5,
    2**63,
    10**400,
    float("inf"),
    "",
    "x" * 10**4,
    [],
    [None],
    {},
    {"a": 1},
    [[1, "x"]],
    [[["global"], float("inf")]],
]


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_value_of_any_key_breaks_the_parser(kind):
    known = {"gpt2": GPT2, "gpt_neo": TINY_STORIES, "gpt_neox": PYTHIA, "gemma2": GEMMA_2}.get(kind, LLAMA_3)
    extra = ["layer_types", "rope_parameters", "sliding_window", "sliding_window_pattern", "text_config"]
    extra += ["attention_types", "max_window_layers", "architectures"]
    said, parsed = [], 0
    for key in {*known, *extra} - {"model_type"}:
        for value in HOSTILE:
            wrapped = {"text_config": {key: value}} if kind == "gemma3" else {key: value}
            try:
                parsed += spec_of({"model_type": kind, **wrapped}).n_layers > 0
            except ConfigError as error:
                said.append(str(error))
    assert parsed > 50
    assert len(said) > 50
    assert max(map(len, said)) < 5000


def test_module_paths_are_hook_points():
    family, spec = parse(GEMMA_2)
    assert family.aliases(spec)["model.layers.5"] == "blocks.5.hook_resid_post"
    # what self_attn gives is normed once more before it is added, so it is no hook point of this family
    assert family.aliases(spec)["model.layers.5.post_attention_layernorm"] == "blocks.5.hook_attn_out"
    assert "model.layers.5.self_attn" not in family.aliases(spec)
    family, spec = parse(PYTHIA)
    assert family.aliases(spec)["gpt_neox.layers.0.attention"] == "blocks.0.hook_attn_out"
