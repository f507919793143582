"""GPT-2: learned positions, layer norms, one fused and already transposed Conv1D for queries, keys and values."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from superposition.llm.families._base import Family, Tensor, ends, norm
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a GPT2Config."""
    keys = Keys(config)
    d, heads = keys.integer("n_embd", 768), keys.integer("n_head", 12)
    layers = keys.integer("n_layer", 12, MAX_LAYERS)
    d_head = keys.share("n_embd", d, "n_head", heads)
    scale = d_head**-0.5 if keys.flag("scale_attn_weights", True) else 1.0
    by_layer = keys.flag("scale_attn_by_inverse_layer_idx", False)
    keys.irrelevant("n_ctx", "reorder_and_upcast_attn", "attn_pdrop", "embd_pdrop", "resid_pdrop")
    keys.irrelevant("summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type")
    keys.irrelevant("summary_use_proj")
    vocab = keys.integer("vocab_size", 50257)
    fields: dict[str, Any] = {
        "d_model": d,
        "n_heads": heads,
        "n_kv_heads": heads,
        "d_head": d_head,
        "d_mlp": keys.optional("n_inner", None) or 4 * d,
        "d_vocab": vocab,
        "n_ctx": keys.integer("n_positions", 1024),
        "layers": tuple(Layer(scale / (i + 1) if by_layer else scale) for i in range(layers)),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "activation": keys.activation("activation_function", "gelu_new"),
        "tied": keys.flag("tie_word_embeddings", True),
        "bos": keys.token("bos_token_id", 50256, vocab),
        "eos": keys.token("eos_token_id", 50256, vocab),
    }
    keys.close()
    return Spec("gpt2", learned_positions=True, qkv_bias=True, out_bias=True, mlp_bias=True, **fields)


def third(i: int) -> Callable[[np.ndarray], np.ndarray]:
    """Queries, keys or values of the fused last axis, one after the other."""

    def take(array: np.ndarray) -> np.ndarray:
        return np.split(array, 3, -1)[i]

    return take


def conv(ours: str, name: str, wide: int, high: int) -> dict[str, Tensor]:
    """A Conv1D, which stores (in, out), with its bias."""
    room, _, part = ours.rpartition(".")
    return {
        f"{room}.W_{part}": Tensor(f"{name}.weight", (wide, high)),
        f"{room}.b_{part}": Tensor(f"{name}.bias", (high,)),
    }


def tensors(spec: Spec) -> dict[str, Tensor]:
    """The source of every parameter."""
    d, result = spec.d_model, ends(spec, "wte", "ln_f")
    result["pos.W"] = Tensor("wpe.weight", (spec.n_ctx, d))
    for i in range(spec.n_layers):
        b, h = f"blocks.{i}", f"h.{i}"
        result |= norm(spec, f"{b}.ln1", f"{h}.ln_1") | norm(spec, f"{b}.ln2", f"{h}.ln_2")
        for n, part in enumerate("QKV"):
            result[f"{b}.attn.W_{part}"] = Tensor(f"{h}.attn.c_attn.weight", (d, 3 * d), third(n))
            result[f"{b}.attn.b_{part}"] = Tensor(f"{h}.attn.c_attn.bias", (3 * d,), third(n))
        result |= conv(f"{b}.attn.O", f"{h}.attn.c_proj", d, d)
        result |= conv(f"{b}.mlp.in", f"{h}.mlp.c_fc", d, spec.d_mlp)
        result |= conv(f"{b}.mlp.out", f"{h}.mlp.c_proj", spec.d_mlp, d)
    return result


FAMILY = Family(
    spec,
    tensors,
    prefixes=("transformer.",),
    ignored=r"h\.\d+\.attn\.(bias|masked_bias)",
    block="transformer.h.{}",
    attn="attn",
)
