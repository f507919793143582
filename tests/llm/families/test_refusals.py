"""What a config.json says that we do not compute is refused by name."""

import pytest

from superposition.errors import ConfigError
from superposition.llm.families import FAMILIES, parse
from tests.support.family_configs import GEMMA_2, GPT2, LLAMA_3, PYTHIA, TINY_STORIES, spec_of

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
