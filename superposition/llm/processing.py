"""What TransformerLens does to weights as it loads a model, for SAEs that were trained on models so loaded.

The logits stay what they were; activations at hook points become those that TransformerLens gives there.
"""

from dataclasses import replace

import jax.numpy as jnp
from jax import Array

from superposition.errors import ConfigError
from superposition.llm.model import LanguageModel


def centred(lm: LanguageModel) -> LanguageModel:
    """The model with the mean over d_model taken out of all that is written to the residual (center_writing_weights).

    $W <- W - mean(W)$ of the embeddings, W_O, b_O, W_out and b_out. LayerNorm takes that mean out of what it reads,
    so that nothing else changes. Raises ConfigError for a model with another norm, whose logits depend on the mean.
    """
    if lm.spec.norm != "layer" or lm.spec.post_norms:
        raise ConfigError(
            f"center_writing_weights is for models with LayerNorm, and {lm.name or 'this model'} has RMSNorm, whose"
            " activations depend on the mean; TransformerLens leaves such a model as it is: for an SAE that was trained"
            " so, set it to false in the SAE's config"
        )
    params, spec = dict(lm.params), lm.spec
    if spec.tied:  # what reads the residual keeps its mean
        params["unembed.W"] = params["embed.W"].T
        spec = replace(spec, tied=False)
    written = ("embed.W", "pos.W", "attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")
    for name, value in params.items():
        if name in written or name.partition(".")[2].partition(".")[2] in written:
            params[name] = _without_mean(value)
    return _of(lm, replace(lm, spec=spec, params=params))


def with_folded_value_biases(lm: LanguageModel) -> LanguageModel:
    """The model with the biases of values moved behind attention (fold_value_biases): $b_O <- b_O + b_V W_O$, $b_V <- 0$.

    The weights of attention add up to 1, so that only values and their mixtures (hook_v, hook_z) change.
    """
    spec, params = lm.spec, dict(lm.params)
    if not spec.qkv_bias:
        return lm
    for layer in range(spec.n_layers):
        own = f"blocks.{layer}.attn"
        value = params[f"{own}.b_V"].astype(jnp.float32).reshape(spec.n_kv_heads, spec.d_head)
        every = jnp.repeat(value, spec.n_heads // spec.n_kv_heads, 0).reshape(-1)
        moved = every @ params[f"{own}.W_O"].astype(jnp.float32)
        before = params.get(f"{own}.b_O", jnp.zeros(spec.d_model, params[f"{own}.b_V"].dtype))
        params[f"{own}.b_O"] = (before.astype(jnp.float32) + moved).astype(before.dtype)
        params[f"{own}.b_V"] = jnp.zeros_like(params[f"{own}.b_V"])
    return _of(lm, replace(lm, spec=replace(spec, out_bias=True), params=params))


def _without_mean(value: Array) -> Array:
    exact = value.astype(jnp.float32)
    return (exact - exact.mean(-1, keepdims=True)).astype(value.dtype)


def _of(lm: LanguageModel, other: LanguageModel) -> LanguageModel:
    """The other, with the tokenizer that was read already: a large one takes seconds."""
    if "tokenizer" in vars(lm):
        vars(other)["tokenizer"] = lm.tokenizer
    return other
