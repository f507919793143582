"""Gemma 2: norms after attention and MLP too, softcaps, a sliding window in every other layer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from superposition.llm.families import gemma, llama
from superposition.llm.families._config import ATTENTION, MAX_LAYERS, Keys
from superposition.llm.spec import Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a Gemma2Config."""
    keys = Keys(config)
    fields = llama.shared(
        keys, vocab=256000, d=2304, mlp=9216, heads=8, kv=4, ctx=8192, tokens=(2, 1), d_head=256
    )
    fields |= gemma.shared(keys, fields["d_model"])
    n_layers = keys.integer("num_hidden_layers", 26, MAX_LAYERS)
    kinds = keys.kinds(n_layers, [("sliding_attention", "full_attention")[i % 2] for i in range(n_layers)])
    window, scale = keys.optional("sliding_window", 4096), keys.number("query_pre_attn_scalar", 256) ** -0.5
    keys.only("sliding_window_size", window, None)
    rotary = keys.rotary(fields["d_head"], fields["n_ctx"], keys.number("rope_theta", 10000.0))
    fields["layers"] = llama.alternating(keys, kinds, window, scale, dict.fromkeys(ATTENTION, rotary))
    fields["activation"] = keys.activation("hidden_activation", "gelu_pytorch_tanh")
    keys.only("hidden_act", keys.get("hidden_activation", "gelu_pytorch_tanh"), None)
    fields["attention_softcap"] = keys.cap("attn_logit_softcapping", 50.0)
    fields["logit_softcap"] = keys.cap("final_logit_softcapping", 30.0)
    keys.close()
    return Spec("gemma2", post_norms=True, **fields)


# The post-norms are what is added to the residual, hence what hook_attn_out and hook_mlp_out are.
FAMILY = replace(llama.FAMILY, spec=spec, attn="post_attention_layernorm", mlp="post_feedforward_layernorm")
