"""The direct path: how a change at a hook point reaches the logits by the residual stream alone, past every later block."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal.rank import lead
from superposition.errors import ConfigError
from superposition.llm.decoder import Decoder
from superposition.llm.model import LanguageModel
from superposition.llm.spec import Spec

_STREAM = re.compile(r"hook_embed|hook_pos_embed|blocks\.\d+\.hook_(resid_(pre|mid|post)|attn_out|mlp_out)")
_INSIDE = re.compile(r"blocks\.(\d+)\.(mlp\.hook_post|attn\.hook_z)")


def to_residual(
    spec: Spec, params: Mapping[str, Array], hook: str, vectors: Array, scale: Array | None = None
) -> Array:
    """What vectors (..., width) at a (resolved) hook point write to the residual stream, (..., d_model).

    Heads are flattened, biases no part of it. Where a norm follows (`post_scale_hook`), its weight is applied and
    its scale (..., 1) taken as it was, 1 by default. Raises ConfigError for a hook point without a direct path.
    """
    if _STREAM.fullmatch(hook):
        return vectors
    inside = _inside(hook)
    room, norm = ("mlp.W_out", "ln2_post") if inside[2] == "mlp.hook_post" else ("attn.W_O", "ln1_post")
    block = f"blocks.{inside[1]}"
    written = vectors @ params[f"{block}.{room}"].astype(vectors.dtype)
    if not spec.post_norms:
        return written
    written = _weighted(spec, params[f"{block}.{norm}.w"], written)
    return written if scale is None else written / scale


def post_scale_hook(spec: Spec, hook: str) -> str | None:
    """The hook point of the scale that a post-norm divides by on the way to the residual, None where there is none."""
    if not spec.post_norms or _STREAM.fullmatch(hook):
        return None
    inside = _inside(hook)
    return f"blocks.{inside[1]}.{'ln2' if inside[2] == 'mlp.hook_post' else 'ln1'}_post.hook_scale"


def has_direct_path(hook: str) -> bool:
    """Whether what passes a (resolved) hook point is added to the residual stream by a linear map."""
    return bool(_STREAM.fullmatch(hook) or _INSIDE.fullmatch(hook))


def is_only_direct(spec: Spec, hook: str) -> bool:
    """Whether nothing but the final norm reads what a (resolved) hook point writes: the direct path is all there is."""
    last = f"blocks.{spec.n_layers - 1}."
    ends = {"hook_resid_post", "hook_mlp_out"} | ({"hook_attn_out"} if spec.parallel else set())
    if not spec.post_norms:  # those are not linear
        ends |= {"mlp.hook_post"} | ({"attn.hook_z"} if spec.parallel else set())
    return hook.startswith(last) and hook.removeprefix(last) in ends


def logit_weights(lm: LanguageModel, hook: str, directions: Any) -> Array:
    """Logits that directions (n, width) at a hook point add by the direct path, (n, d_vocab), each of mean 0.

    The weight of the final norm (and of a post-norm) is folded in; its scale, which depends on the rest of the
    stream, is left out, and so is a softcap. So weights compare within a direction, not in nats.
    """
    return _logit_weights(
        lm.spec, dict(lm.params), lm.resolve(hook), jnp.atleast_2d(jnp.asarray(directions, jnp.float32))
    )


@partial(jax.jit, static_argnums=(0, 2))
def _logit_weights(spec: Spec, params: dict[str, Array], hook: str, directions: Array) -> Array:
    written = to_residual(spec, params, hook, directions)
    W = params["embed.W"].T if spec.tied else params["unembed.W"]
    logits = _weighted(spec, params["ln_final.w"], written) @ W.astype(jnp.float32)
    return logits - logits.mean(-1, keepdims=True)


def next_token_loss(spec: Spec, params: Mapping[str, Array], residual: Array, target: Array) -> Array:
    """Loss (nats) of the next tokens `target` (...) from final residuals (..., d_model): norm, unembedding, softcap."""
    logits = Decoder(spec, params).logits(residual).astype(jnp.float32)
    picked = jnp.take_along_axis(logits, target[..., None], -1)[..., 0]
    return jax.nn.logsumexp(logits, -1) - picked


def direct_effect(
    spec: Spec, params: Mapping[str, Array], residual: Array, effect: Array, target: Array
) -> Array:
    """Rise in the loss of the next token when `effect` (..., d_model) is taken out of the final residual.

    The final norm's statistics are computed anew; no block is.
    """
    clean = next_token_loss(spec, params, residual, target)
    return next_token_loss(spec, params, residual - effect.astype(residual.dtype), target) - clean


def _inside(hook: str) -> re.Match[str]:
    match = _INSIDE.fullmatch(hook)
    if match is None:
        raise ConfigError(
            f"{hook} has no direct path to the logits: what passes there is not added to the residual stream; "
            "hook_resid_*, hook_attn_out, hook_mlp_out, attn.hook_z and mlp.hook_post have one"
        )
    return match


def _weighted(spec: Spec, w: Array, x: Array) -> Array:
    """A norm's linear part without its scale: the mean removed where it removes it, times its weight."""
    if spec.norm == "layer":
        x = x - x.mean(-1, keepdims=True)
    return x * lead(w.astype(x.dtype) + (spec.norm == "rms_unit_offset"), x)
