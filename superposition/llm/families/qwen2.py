"""Qwen 2 and 2.5: Llama with biases on q, k, v, and a sliding window in its upper layers where it is switched on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from superposition.llm.families import llama
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a Qwen2Config."""
    keys = Keys(config)
    fields = llama.shared(
        keys, vocab=151936, d=4096, mlp=22016, heads=32, kv=32, ctx=32768, tokens=(None, None)
    )
    fields |= {"layers": layers(keys, fields), "activation": keys.activation("hidden_act", "silu")}
    fields |= {"tied": keys.flag("tie_word_embeddings", False)}
    keys.only("use_mrope", False, None)
    keys.close()
    return Spec("qwen2", norm="rms", gated=True, qkv_bias=True, **fields)


def layers(keys: Keys, fields: Mapping[str, Any]) -> tuple[Layer, ...]:
    """Full attention below max_window_layers, sliding from there on, unless layer_types says otherwise."""
    n_layers, first = keys.integer("num_hidden_layers", 32, MAX_LAYERS), keys.get("max_window_layers", 28)
    window = keys.optional("sliding_window", 4096)
    if not keys.flag("use_sliding_window", False):
        window = None
    if type(first) is not int or first < 0:
        keys.refuse("max_window_layers", "an integer >= 0")
        first = 0
    upper = "full_attention" if window is None else "sliding_attention"
    kinds = keys.kinds(n_layers, ["full_attention" if i < first else upper for i in range(n_layers)])
    rotary = keys.rotary(fields["d_head"], fields["n_ctx"], keys.number("rope_theta", 10000.0))
    same = dict.fromkeys(("full_attention", "sliding_attention"), rotary)
    return llama.alternating(keys, kinds, window, fields["d_head"] ** -0.5, same)


FAMILY = replace(llama.FAMILY, spec=spec)
