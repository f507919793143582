"""GPT-Neo: GPT-2 with unscaled attention that is local in every other layer, and no biases on q, k, v."""

from collections.abc import Mapping
from typing import Any

from superposition.llm.families._base import Family, Tensor, ends, linear, norm
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a GPTNeoConfig."""
    keys = Keys(config)
    d, heads = keys.integer("hidden_size", 2048), keys.integer("num_heads", 16)
    n_layers = keys.integer("num_layers", 24, MAX_LAYERS)
    window, kinds = keys.integer("window_size", 256), _kinds(keys, n_layers)
    keys.irrelevant("embed_dropout", "resid_dropout", "summary_activation", "summary_first_dropout")
    keys.irrelevant("summary_proj_to_labels", "summary_type", "summary_use_proj")
    vocab = keys.integer("vocab_size", 50257)
    fields: dict[str, Any] = {
        "d_model": d,
        "n_heads": heads,
        "n_kv_heads": heads,
        "d_head": keys.share("hidden_size", d, "num_heads", heads),
        "d_mlp": keys.optional("intermediate_size", None) or 4 * d,
        "d_vocab": vocab,
        "n_ctx": keys.integer("max_position_embeddings", 2048),
        "layers": tuple(Layer(1.0, window if kind == "local" else None) for kind in kinds),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "activation": keys.activation("activation_function", "gelu_new"),
        "tied": keys.flag("tie_word_embeddings", True),
        "bos": keys.token("bos_token_id", 50256, vocab),
        "eos": keys.token("eos_token_id", 50256, vocab),
    }
    keys.close()
    return Spec("gpt_neo", learned_positions=True, out_bias=True, mlp_bias=True, **fields)


def _kinds(keys: Keys, n_layers: int) -> list[str]:
    """attention_types, such as [[["global", "local"], 12]], written out."""
    kinds: list[str] = []
    try:
        for names, times in keys.get("attention_types", None) or [[["global", "local"], 12]]:
            kinds += [*names] * min(int(times), n_layers)
    except (OverflowError, TypeError, ValueError):
        kinds = []
    if len(kinds) != n_layers or any(kind not in ("global", "local") for kind in kinds):
        keys.refuse("attention_types", f'"global" or "local" for each of num_layers = {n_layers}')
    keys.only("attention_layers", kinds, None)  # the same, written out by transformers 4
    return kinds


def tensors(spec: Spec) -> dict[str, Tensor]:
    """The source of every parameter."""
    d, result = spec.d_model, ends(spec, "wte", "ln_f")
    result["pos.W"] = Tensor("wpe.weight", (spec.n_ctx, d))
    for i in range(spec.n_layers):
        b, h = f"blocks.{i}", f"h.{i}"
        result |= norm(spec, f"{b}.ln1", f"{h}.ln_1") | norm(spec, f"{b}.ln2", f"{h}.ln_2")
        for part in "QKV":
            result |= linear(f"{b}.attn.{part}", f"{h}.attn.attention.{part.lower()}_proj", d, d)
        result |= linear(f"{b}.attn.O", f"{h}.attn.attention.out_proj", d, d, bias=True)
        result |= linear(f"{b}.mlp.in", f"{h}.mlp.c_fc", d, spec.d_mlp, bias=True)
        result |= linear(f"{b}.mlp.out", f"{h}.mlp.c_proj", spec.d_mlp, d, bias=True)
    return result


FAMILY = Family(
    spec,
    tensors,
    prefixes=("transformer.",),
    ignored=r"h\.\d+\.attn\.attention\.(bias|masked_bias)",
    block="transformer.h.{}",
    attn="attn",
)
