"""What an SAE's latents do on text: their values, how strongly and how often they fire, prompts in contrast."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from superposition._internal import notebook, validate
from superposition.errors import ConfigError
from superposition.interventions.steering import indices
from superposition.llm.batches import batches
from superposition.llm.forward import capture
from superposition.llm.hooks import stop_after
from superposition.llm.spec import Spec
from superposition.sae import SAE, Params

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached
    from superposition.interventions.transcoders import AttachedTranscoder

Tally = tuple[Array, Array, Array]


class Firing(NamedTuple):
    """Over the usable tokens of a text, of each latent (d_sae,): largest activation, mean, share of tokens it is on.

    >>> Firing(largest=np.array([2.0, 0.0]), mean=np.array([0.5, 0.0]), density=np.array([0.25, 0.0]), tokens=8)
    Firing(2 latents on 8 tokens, 1 of them never)
    """

    largest: np.ndarray
    mean: np.ndarray
    density: np.ndarray
    tokens: int

    def __repr__(self) -> str:
        dead = int((self.density == 0).sum())
        return f"Firing({len(self.density):,} latents on {self.tokens:,} tokens, {dead:,} of them never)"

    def _repr_html_(self) -> str:
        most = np.argsort(-self.density, kind="stable")[:10]
        rows = [[int(j), self.largest[j], self.mean[j], self.density[j]] for j in most]
        head = ["latent", "largest activation", "mean", "share of tokens"]
        return notebook.table(f"{self!r}; those that fire most often", rows, head)


class Contrast(NamedTuple):
    """Latents (top,) that differ most between a and b, and their mean activations there; difference = a - b.

    >>> contrast([[0.0, 3.0]], [[1.0, 0.0]], top=1)
    Contrast(latents=array([1]), difference=array([3.]), a=array([3.]), b=array([0.]))
    """

    latents: np.ndarray
    difference: np.ndarray
    a: np.ndarray
    b: np.ndarray


def latents_of(
    attached: "Attached | AttachedTranscoder", tokens: Any, *, mask: Any = None, edits: Any = None
) -> Float[Array, "batch pos d_sae"]:
    """Latents f (batch, pos, d_sae) at every position of tokens.

    Args:
        attached: The SAE, or a transcoder, on its model.
        tokens: A prompt, several, or ids (batch, pos).
        mask: False for padding, (batch, pos).
        edits: {hook: edit}, as the model takes them; the latents are read after edits at the same hook point.

    Raises:
        ConfigError: As the forward pass does.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> latents_of(attached, "Once upon a time").shape
        (1, 5, 1024)
    """
    lm = attached.lm
    ids, positions, valid = lm.prepared(tokens, mask)
    rest = (ids, positions, valid, lm.edits(edits))
    return _latents(lm.spec, lm.params, attached.hook, attached.sae, dict(attached.params), *rest)


def firing(attached: "Attached", tokens: Any) -> Firing:
    """How latents fire on a text, in one pass of constant memory.

    Args:
        attached: The SAE on its model.
        tokens: Tokens, as `pack_text` and `token_array` give them, or rows of ids or prompts as a model takes them.

    Raises:
        ConfigError: The text has no usable token.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> firing(attached, ["Once upon a time", "In the beginning"])
        Firing(1,024 latents on 11 tokens, 900 of them never)
    """
    n_latents, n = attached.sae.d_sae, 0
    largest, total, on = np.full(n_latents, -np.inf), np.zeros(n_latents), np.zeros(n_latents)
    for latents, usable in _stream(attached, tokens):
        top, added, active = (np.asarray(a, np.float64) for a in _tally(latents, usable))
        largest, total, on = np.maximum(largest, top), total + added, on + active
        n += int(usable.sum())
    return Firing(largest.astype(np.float32), (total / n).astype(np.float32), (on / n).astype(np.float32), n)


def max_activations(attached: "Attached", tokens: Any) -> Float[np.ndarray, "d_sae"]:
    """The largest activation of each latent over the usable tokens, (d_sae,); 0 for one that never fires.

    >>> from superposition.llm import LanguageModel
    >>> from superposition.storage import formats
    >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
    >>> max_activations(attached, "Once upon a time").shape
    (1024,)
    """
    return firing(attached, tokens).largest


def activations_of(attached: "Attached", tokens: Any, latents: Any) -> Float[np.ndarray, "usable k"]:
    """Activations (usable tokens, k) of some latents, in the order of tokens[usable]; a pool to resample from.

    Raises ConfigError as `firing` does, and for latents that do not exist.

    >>> from superposition.llm import LanguageModel
    >>> from superposition.storage import formats
    >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
    >>> activations_of(attached, "Once upon a time", [136, 7]).shape  # all tokens but BOS
    (4, 2)
    """
    chosen = indices(attached.sae, latents)
    parts = [np.asarray(f[..., chosen])[np.asarray(u)] for f, u in _stream(attached, tokens)]
    return np.concatenate(parts)


def contrast(a: Any, b: Any, top: int = 10) -> Contrast:
    """Contrast pairs: latents (..., d_sae) on texts a and b, mean over every axis but the last, largest |a - b| first.

    >>> contrast([[0.0, 3.0], [0.0, 1.0]], [[1.0, 0.0]]).latents.tolist()  # latent 1 differs by 2, latent 0 by -1
    [1, 0]
    """
    validate.integer("top", top, 1)
    first, second = (np.asarray(f, np.float64).reshape(-1, np.shape(f)[-1]).mean(0) for f in (a, b))
    if first.shape != second.shape:
        raise ConfigError(f"a has {len(first)} latents, b {len(second)}; give latents of one SAE")
    best = np.argsort(-np.abs(first - second), kind="stable")[:top]
    return Contrast(best, (first - second)[best], first[best], second[best])


def _stream(attached: "Attached", tokens: Any) -> Iterator[tuple[Array, Array]]:
    """(latents, usable) by batches of rows."""
    lm, rows_of_text = attached.lm, attached.rows(tokens)
    if not rows_of_text.usable.any():
        raise ConfigError("tokens have no usable position; every one is special: give text")
    static, params = (attached.hook, attached.sae), dict(attached.params)
    for rows in batches(lm, rows_of_text, attached.sae.d_sae):
        run = (rows.tokens, rows.positions, rows.valid)
        yield _latents(lm.spec, lm.params, *static, params, *run, {}), rows.usable


@partial(jax.jit, static_argnums=(0, 2, 3))
def _latents(
    spec: Spec,
    params: Any,
    hook: str,
    sae: SAE,
    sae_params: Params,
    ids: Array,
    positions: Array,
    valid: Array | None,
    edits: Any,
) -> Array:
    stop = None if edits else stop_after([hook], spec.n_layers)
    x = capture(spec, params, ids, positions, valid, (hook,), edits=edits, stop_at_layer=stop)[1][hook]
    return sae.encode(sae_params, x.reshape(*ids.shape, -1).astype(jnp.float32))


@jax.jit
def _tally(latents: Array, usable: Array) -> Tally:
    """Largest, sum and count, (d_sae,); a row of text at a time, which on CPUs is 20 times faster than all at once."""

    def add(seen: Tally, row: tuple[Array, Array]) -> tuple[Tally, None]:
        top, total, on = seen
        f, used = row[0], row[1][:, None]
        kept = jnp.where(used, f, 0)
        return (jnp.maximum(top, jnp.where(used, f, -jnp.inf)), total + kept, on + (kept != 0)), None

    zero = jnp.zeros(latents.shape[1:])
    (top, total, on), _ = jax.lax.scan(add, (zero - jnp.inf, zero, zero), (latents, usable))
    return top.max(0), total.sum(0), on.sum(0)
