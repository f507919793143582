"""Mistral: Llama with a sliding window in every layer and no biases."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from superposition.llm.families import llama
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a MistralConfig."""
    keys = Keys(config)
    fields = llama.shared(keys, vocab=32000, d=4096, mlp=14336, heads=32, kv=8, ctx=4096 * 32, tokens=(1, 2))
    layers = keys.integer("num_hidden_layers", 32, MAX_LAYERS)
    rotary = keys.rotary(fields["d_head"], fields["n_ctx"], keys.number("rope_theta", 10000.0))
    window = keys.optional("sliding_window", 4096)
    fields |= {"activation": keys.activation("hidden_act", "silu")}
    fields |= {"tied": keys.flag("tie_word_embeddings", False)}
    keys.close()
    layer = Layer(fields["d_head"] ** -0.5, window, rotary)
    return Spec("mistral", layers=(layer,) * layers, norm="rms", gated=True, **fields)


FAMILY = replace(llama.FAMILY, spec=spec)
