"""Qwen 3 (dense): Qwen 2 with norms of queries and keys, a head_dim of its own, and no biases by default."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from superposition.llm.families import llama, qwen2
from superposition.llm.families._config import Keys
from superposition.llm.spec import Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a Qwen3Config."""
    keys = Keys(config)
    fields = llama.shared(
        keys, vocab=151936, d=4096, mlp=22016, heads=32, kv=32, ctx=32768, tokens=(None, None), d_head=128
    )
    bias = keys.flag("attention_bias", False)
    fields |= {"layers": qwen2.layers(keys, fields), "activation": keys.activation("hidden_act", "silu")}
    fields |= {"tied": keys.flag("tie_word_embeddings", False), "qkv_bias": bias, "out_bias": bias}
    keys.close()
    return Spec("qwen3", norm="rms", gated=True, qk_norm=True, **fields)


FAMILY = replace(llama.FAMILY, spec=spec)
