"""GPT-NeoX and Pythia: attention and MLP side by side, rotary positions on part of each head, q, k, v fused."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from superposition.llm.families._base import Family, Tensor, ends, linear, norm
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a GPTNeoXConfig."""
    keys = Keys(config)
    d, heads = keys.integer("hidden_size", 6144), keys.integer("num_attention_heads", 64)
    n_layers = keys.integer("num_hidden_layers", 44, MAX_LAYERS)
    d_head = keys.share("hidden_size", d, "num_attention_heads", heads)
    n_ctx = keys.integer("max_position_embeddings", 2048)
    theta, fraction = keys.number("rotary_emb_base", 10000.0), keys.number("rotary_pct", 0.25)
    keys.only("rope_theta", theta, None)  # the same twice, from some of transformers 4
    keys.only("partial_rotary_factor", fraction, None)
    rotary = keys.rotary(d_head, n_ctx, theta, fraction, partial=True)
    keys.irrelevant("hidden_dropout")
    bias, vocab = keys.flag("attention_bias", True), keys.integer("vocab_size", 50432)
    fields: dict[str, Any] = {
        "d_model": d,
        "n_heads": heads,
        "n_kv_heads": heads,
        "d_head": d_head,
        "d_mlp": keys.integer("intermediate_size", 24576),
        "d_vocab": vocab,
        "n_ctx": n_ctx,
        "layers": (Layer(d_head**-0.5, None, rotary),) * n_layers,
        "norm_eps": keys.number("layer_norm_eps", 1e-5),
        "activation": keys.activation("hidden_act", "gelu"),
        "parallel": keys.flag("use_parallel_residual", True),
        "tied": keys.flag("tie_word_embeddings", False),
        "bos": keys.token("bos_token_id", 0, vocab),
        "eos": keys.token("eos_token_id", 2, vocab),
    }
    keys.close()
    return Spec("gpt_neox", qkv_bias=bias, out_bias=bias, mlp_bias=True, **fields)


def part(spec: Spec, i: int) -> Callable[[np.ndarray], np.ndarray]:
    """Queries, keys or values of a fused tensor whose rows are (head, q k v, d_head)."""

    def take(array: np.ndarray) -> np.ndarray:
        return array.reshape(spec.n_heads, 3, spec.d_head, -1)[:, i].reshape(spec.d_model, *array.shape[1:]).T

    return take


def tensors(spec: Spec) -> dict[str, Tensor]:
    """The source of every parameter."""
    d, result = spec.d_model, ends(spec, "embed_in", "final_layer_norm")
    for i in range(spec.n_layers):
        b, h = f"blocks.{i}", f"layers.{i}"
        result |= norm(spec, f"{b}.ln1", f"{h}.input_layernorm")
        result |= norm(spec, f"{b}.ln2", f"{h}.post_attention_layernorm")
        for n, letter in enumerate("QKV"):
            fused = f"{h}.attention.query_key_value"
            result[f"{b}.attn.W_{letter}"] = Tensor(f"{fused}.weight", (3 * d, d), part(spec, n))
            if spec.qkv_bias:
                result[f"{b}.attn.b_{letter}"] = Tensor(f"{fused}.bias", (3 * d,), part(spec, n))
        result |= linear(f"{b}.attn.O", f"{h}.attention.dense", d, d, bias=spec.out_bias)
        result |= linear(f"{b}.mlp.in", f"{h}.mlp.dense_h_to_4h", d, spec.d_mlp, bias=True)
        result |= linear(f"{b}.mlp.out", f"{h}.mlp.dense_4h_to_h", spec.d_mlp, d, bias=True)
    return result


FAMILY = Family(
    spec,
    tensors,
    prefixes=("gpt_neox.",),
    ignored=r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",
    block="gpt_neox.layers.{}",
    attn="attention",
    renamed={"embed_out.weight": "lm_head.weight"},
)
