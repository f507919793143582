"""Gemma: Llama with scaled embeddings, norms that store w - 1, and a head_dim of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from superposition.llm.families import llama
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a GemmaConfig."""
    keys = Keys(config)
    fields = llama.shared(
        keys, vocab=256000, d=3072, mlp=24576, heads=16, kv=16, ctx=8192, tokens=(2, 1), d_head=256
    )
    fields |= shared(keys, fields["d_model"])
    layers = keys.integer("num_hidden_layers", 28, MAX_LAYERS)
    rotary = keys.rotary(fields["d_head"], fields["n_ctx"], keys.number("rope_theta", 10000.0))
    keys.only("hidden_act", "gelu_pytorch_tanh", "gelu")  # "gelu" of the first release meant the tanh form
    keys.only("hidden_activation", None, "gelu_pytorch_tanh", "gelu")
    keys.close()
    layer = Layer(fields["d_head"] ** -0.5, None, rotary)
    return Spec("gemma", layers=(layer,) * layers, activation="gelu_tanh", **fields)


def shared(keys: Keys, d_model: int) -> dict[str, Any]:
    """What every Gemma has."""
    bias = keys.flag("attention_bias", False)
    return {
        "norm": "rms_unit_offset",
        "gated": True,
        "embed_scale": d_model**0.5,
        "qkv_bias": bias,
        "out_bias": bias,
        "tied": keys.flag("tie_word_embeddings", True),
    }


FAMILY = replace(llama.FAMILY, spec=spec)
