"""Llama 2 and 3, and what Mistral, Qwen and Gemma share with it: sizes, special tokens, tensors."""

from collections.abc import Mapping
from typing import Any

from superposition.llm.families._base import Family, Tensor, ends, linear, norm
from superposition.llm.families._config import MAX_LAYERS, Keys
from superposition.llm.spec import Layer, Spec


def spec(config: Mapping[str, Any]) -> Spec:
    """The Spec of a LlamaConfig."""
    keys = Keys(config)
    fields = shared(keys, vocab=32000, d=4096, mlp=11008, heads=32, ctx=2048, tokens=(1, 2))
    layers = keys.integer("num_hidden_layers", 32, MAX_LAYERS)
    rotary = keys.rotary(fields["d_head"], fields["n_ctx"], keys.number("rope_theta", 10000.0))
    bias = keys.flag("attention_bias", False)
    fields |= {"mlp_bias": keys.flag("mlp_bias", False), "tied": keys.flag("tie_word_embeddings", False)}
    fields |= {"activation": keys.activation("hidden_act", "silu"), "qkv_bias": bias, "out_bias": bias}
    keys.only("rope_interleaved", False, None)
    keys.irrelevant("pretraining_tp", "is_llama_config")
    keys.close()
    layer = Layer(fields["d_head"] ** -0.5, None, rotary)
    return Spec("llama", layers=(layer,) * layers, norm="rms", gated=True, **fields)


def shared(
    keys: Keys,
    *,
    vocab: int,
    d: int,
    mlp: int,
    heads: int,
    ctx: int,
    tokens: tuple[int | None, int | None],
    kv: int | None = None,
    d_head: int | None = None,
) -> dict[str, Any]:
    """The keys these families have in common, with the defaults of one of them.

    kv: None for as many as heads. d_head: None for hidden_size / heads. tokens: BOS and EOS.
    """
    width, n_heads = keys.integer("hidden_size", d), keys.integer("num_attention_heads", heads)
    kv_heads = keys.optional("num_key_value_heads", kv)
    head = keys.optional("head_dim", None) if d_head is None else keys.integer("head_dim", d_head)
    if head is None:
        head = keys.share("hidden_size", width, "num_attention_heads", n_heads)
    d_vocab = keys.integer("vocab_size", vocab)
    return {
        "d_model": width,
        "n_heads": n_heads,
        "n_kv_heads": n_heads if kv_heads is None else kv_heads,
        "d_head": head,
        "d_mlp": keys.integer("intermediate_size", mlp),
        "d_vocab": d_vocab,
        "n_ctx": keys.integer("max_position_embeddings", ctx),
        "norm_eps": keys.number("rms_norm_eps", 1e-6),
        "bos": keys.token("bos_token_id", tokens[0], d_vocab),
        "eos": keys.token("eos_token_id", tokens[1], d_vocab),
    }


def tensors(spec: Spec) -> dict[str, Tensor]:
    """The source of every parameter."""
    d, q, kv = spec.d_model, spec.n_heads * spec.d_head, spec.n_kv_heads * spec.d_head
    result = ends(spec, "embed_tokens", "norm")
    names = {"ln1": "input_layernorm", "ln2": "post_attention_layernorm"}
    if spec.post_norms:  # the same name, post_attention_layernorm, is another place there
        names |= {"ln1_post": "post_attention_layernorm", "ln2": "pre_feedforward_layernorm"}
        names |= {"ln2_post": "post_feedforward_layernorm"}
    for i in range(spec.n_layers):
        b, h = f"blocks.{i}", f"layers.{i}"
        for ours, name in names.items():
            result |= norm(spec, f"{b}.{ours}", f"{h}.{name}")
        for part, high in (("Q", q), ("K", kv), ("V", kv)):
            result |= linear(f"{b}.attn.{part}", f"{h}.self_attn.{part.lower()}_proj", d, high, spec.qkv_bias)
        result |= linear(f"{b}.attn.O", f"{h}.self_attn.o_proj", q, d, spec.out_bias)
        for part in ("q_norm", "k_norm") if spec.qk_norm else ():
            result |= norm(spec, f"{b}.attn.{part}", f"{h}.self_attn.{part}", spec.d_head)
        for part, name in (("gate", "gate_proj"), ("in", "up_proj")):
            result |= linear(f"{b}.mlp.{part}", f"{h}.mlp.{name}", d, spec.d_mlp, spec.mlp_bias)
        result |= linear(f"{b}.mlp.out", f"{h}.mlp.down_proj", spec.d_mlp, d, spec.mlp_bias)
    return result


def alternating(
    keys: Keys, kinds: list[str], window: int | None, scale: float, rotary: Mapping[str, Any]
) -> tuple[Layer, ...]:
    """Layers of full or sliding attention, each kind with its rotary positions."""
    sliding = "sliding_attention"
    if window is None and sliding in kinds:
        keys.problems.append(f"{keys.where}layer_types has {sliding}, but there is no sliding_window")
    return tuple(Layer(scale, window if kind == sliding else None, rotary[kind]) for kind in kinds)


FAMILY = Family(
    spec,
    tensors,
    prefixes=("model.",),
    ignored=r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",
    block="model.layers.{}",
    attn="self_attn",
)
