"""The forward pass as pure functions: positions of tokens, and what passes hook points."""

from collections.abc import Iterable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Integer

from superposition.llm.decoder import Decoder
from superposition.llm.hooks import Edit, Taps
from superposition.llm.spec import Spec


def positions(tokens: Array, valid: Array | None) -> Array:
    """Positions (batch or 1, pos) of tokens, which count those of a row that are not padding.

    >>> tokens = jnp.array([[0, 5, 7]])
    >>> positions(tokens, None).tolist(), positions(tokens, jnp.array([[False, True, True]])).tolist()
    ([[0, 1, 2]], [[0, 0, 1]])
    """
    if valid is None:
        return jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
    return jnp.maximum(jnp.cumsum(valid, 1) - 1, 0).astype(jnp.int32)


def capture(
    spec: Spec,
    params: Mapping[str, Array],
    tokens: Integer[Array, "batch pos"],
    positions: Integer[Array, "#batch pos"],
    valid: Bool[Array, "batch pos"] | None,
    names: Iterable[str],
    *,
    edits: Mapping[str, Edit] | None = None,
    stop_at_layer: int | None = None,
) -> tuple[Float[Array, "batch pos width"], dict[str, Float[Array, "batch pos *shape"]]]:
    """The forward pass: output, and activations by (resolved) name.

    The output is the logits (batch, pos, d_vocab), or with stop_at_layer the residual stream before that block.

    >>> from superposition.llm import LanguageModel
    >>> lm = LanguageModel.from_hf()
    >>> tokens = jnp.array([[0, 5, 7]])
    >>> logits, seen = capture(lm.spec, lm.params, tokens, positions(tokens, None), None, ["blocks.0.mlp.hook_post"])
    >>> logits.shape, seen["blocks.0.mlp.hook_post"].shape
    ((1, 3, 3072), (1, 3, 512))
    """
    taps = Taps(names, edits or {}, positions, valid)
    out, _ = Decoder(spec, params)(tokens, positions, valid, tap=taps, stop_at_layer=stop_at_layer)
    return out, taps.finish(stop_at_layer)


@partial(jax.jit, static_argnames=("spec", "names", "stop_at_layer"))
def run(
    spec: Spec,
    params: Mapping[str, Array],
    tokens: Array,
    positions: Array,
    valid: Array | None,
    edits: Mapping[str, Edit],
    *,
    names: tuple[str, ...],
    stop_at_layer: int | None,
) -> tuple[Array, dict[str, Array]]:
    """`capture`, compiled."""
    return capture(spec, params, tokens, positions, valid, names, edits=edits, stop_at_layer=stop_at_layer)
