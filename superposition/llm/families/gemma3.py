"""Gemma 3: five sliding layers to a full one, each kind with its own theta, norms of queries and keys.

Also the text model inside the multimodal checkpoints (4B and above), whose vision tower is left out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from superposition.errors import ConfigError
from superposition.llm.families import gemma, gemma2, llama
from superposition.llm.families._config import IRRELEVANT, MAX_LAYERS, Keys
from superposition.llm.spec import Rotary, Spec

_WRAPPER = """
    boi_token_id boi_token_index bos_token_id eoi_token_id eoi_token_index eos_token_id image_token_id
    image_token_index mm_tokens_per_image text_config vision_config
"""
OUTER = IRRELEVANT | frozenset(_WRAPPER.split())


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a Gemma3TextConfig."""
    return text(Keys(config))


def text(keys: Keys) -> Spec:
    """The Spec of a Gemma3TextConfig's keys."""
    fields = llama.shared(
        keys, vocab=262208, d=2304, mlp=9216, heads=8, kv=4, ctx=131072, tokens=(2, 1), d_head=256
    )
    fields |= gemma.shared(keys, fields["d_model"])
    n_layers = keys.integer("num_hidden_layers", 26, MAX_LAYERS)
    every = keys.integer("sliding_window_pattern", 6)
    keys.irrelevant("_sliding_window_pattern")  # transformers 5 keeps it beside the layer_types made of it
    pattern = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(n_layers)]
    window, scale = keys.optional("sliding_window", 4096), keys.number("query_pre_attn_scalar", 256) ** -0.5
    layers = llama.alternating(keys, keys.kinds(n_layers, pattern), window, scale, _rotary(keys, fields))
    fields["activation"] = keys.activation("hidden_activation", "gelu_pytorch_tanh")
    keys.only("hidden_act", keys.get("hidden_activation", "gelu_pytorch_tanh"), None)
    keys.only("attn_logit_softcapping", None)  # transformers reads it and does not use it
    fields["logit_softcap"] = keys.cap("final_logit_softcapping", None)
    keys.close()
    return Spec("gemma3", layers=layers, post_norms=True, qk_norm=True, **fields)


def _rotary(keys: Keys, fields: Mapping[str, Any]) -> dict[str, Rotary]:
    """Rotary positions of each kind of layer; rope_scaling of transformers 4 concerns the full ones only."""
    thetas = {
        "full_attention": keys.number("rope_theta", 1e6),
        "sliding_attention": keys.number("rope_local_base_freq", 1e4),
    }
    params, scaling = keys.get("rope_parameters", None) or {}, keys.get("rope_scaling", None)
    if scaling and params:
        keys.refuse("rope_scaling", "null beside rope_parameters")
    if not isinstance(params, Mapping) or not params.keys() <= thetas.keys():
        keys.refuse("rope_parameters", f"an object with {' and '.join(thetas)}")
        params = {}
    result = {}
    for kind, theta in thetas.items():
        name, own = f"rope_parameters.{kind}", params.get(kind) or {}
        if scaling and kind == "full_attention":
            name, own = "rope_scaling", scaling
        result[kind] = keys.nested_rotary(name, own, fields["d_head"], fields["n_ctx"], theta)
    return result


def multimodal(config: Mapping[str, Any]) -> Spec:
    """The Spec of the text model in a Gemma3Config, whose own keys say what the text model's leave out."""
    inner = config.get("text_config", None) or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f"config.json: text_config is {inner!r:.80}; accepted: an object")
    outer = Keys(config, known=OUTER)
    tied = outer.flag("tie_word_embeddings", True)
    outer.check()
    passed = {name: config[name] for name in ("bos_token_id", "eos_token_id") if name in config}
    keys = Keys(passed | {"tie_word_embeddings": tied} | dict(inner), "text_config.")
    keys.only("model_type", "gemma3_text")
    keys.only("tie_word_embeddings", tied)
    keys.only("final_logit_softcapping", None)  # which the wrapper of transformers does not apply
    keys.problems += outer.problems
    return text(keys)


# The post-norms are what is added to the residual, hence what hook_attn_out and hook_mlp_out are.
FAMILY = replace(gemma2.FAMILY, spec=spec)
FAMILY_MULTIMODAL = replace(
    FAMILY,
    spec=multimodal,
    prefixes=("model.language_model.", "language_model.model.", "language_model."),
    ignored=rf"(model\.)?(vision_tower|multi_modal_projector)\..+|{FAMILY.ignored}",
    block="model.language_model.layers.{}",
)
