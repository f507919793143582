"""Dose and response: how strongly a latent is steered against what the model then predicts."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.errors import ConfigError
from superposition.interventions.at import At
from superposition.interventions.evaluation import Rows, batches
from superposition.interventions.splice import fits
from superposition.interventions.steering import Steer, direction, indices
from superposition.llm.model import LanguageModel, capture
from superposition.llm.prompts import rows_given
from superposition.llm.spec import Spec
from superposition.sae import SAE, Params


class Estimate(NamedTuple):
    """Mean over rows of text and its standard error (NaN of one row), and the rows (..., n_rows) themselves."""

    mean: np.ndarray
    error: np.ndarray
    rows: np.ndarray


class DoseResponse(NamedTuple):
    """By amount (amounts,): probability and log-probability of each set of tokens (amounts, sets), KL (amounts,)."""

    amounts: np.ndarray
    probability: Estimate
    log_probability: Estimate
    kl: Estimate


def dose_response(
    lm: LanguageModel,
    hook: str,
    sae: SAE,
    params: Params,
    latent: Any,
    amounts: Any,
    tokens: Any,
    sets: Sequence[Any],
) -> DoseResponse:
    """Steer a latent by each amount at every usable position; what the next-token distributions there put on sets of ids.

    The mass of a set is the sum over its tokens, a row's value the mean over its usable positions (of the log: the mean
    log-mass), kl is of the steered distribution from the unsteered (nats a token). sets: the latent's own tokens,
    controls, ... One program for all amounts. Raises ConfigError for no usable position, amount or set.
    """
    fits(lm, hook, sae)
    doses = np.asarray(amounts, np.float32)
    if doses.ndim != 1 or not doses.size or not np.isfinite(doses).all():
        raise ConfigError(f"amounts must be finite numbers, at least one; got {amounts!r}")
    latents = indices(sae, latent)
    tokens = rows_given(lm, tokens)
    ways = jnp.stack([direction(sae, params, latents, dose) for dose in doses])
    ids, filled = _sets(sets, lm.spec.d_vocab)
    kept = np.flatnonzero(tokens.usable.any(1))
    if not kept.size:
        raise ConfigError("tokens have no usable position; every one is special: give text")
    own, parts = lm.resolve(hook), []
    for rows in batches(lm, tokens, lm.width(hook)):
        parts.append([np.asarray(a) for a in _doses(lm.spec, lm.params, own, sae, ways, rows, ids, filled)])
    whole = (np.concatenate([p[i] for p in parts], -1)[..., kept] for i in range(3))
    return DoseResponse(doses, *(_estimate(a) for a in whole))


def _sets(sets: Sequence[Any], vocabulary: int) -> tuple[Array, Array]:
    """Ids (sets, most) and where they are filled in; ConfigError for an empty set, a strange or a repeated id."""
    own = [np.atleast_1d(np.asarray(one)) for one in sets]
    for one in own:
        if one.ndim != 1 or not one.size or one.dtype.kind not in "iu" or len(np.unique(one)) < len(one):
            raise ConfigError(f"a set of tokens is ids, at least one and each once; got {one.tolist()}")
        if one.min() < 0 or one.max() >= vocabulary:
            raise ConfigError(f"ids of a set must lie in [0, {vocabulary}); got {one.min()} to {one.max()}")
    if not own:
        raise ConfigError("sets needs at least one set of token ids, such as those the latent promotes")
    ids, filled = np.zeros((2, len(own), max(map(len, own))), np.int32)
    for i, one in enumerate(own):
        ids[i, : len(one)], filled[i, : len(one)] = one, 1
    return jnp.asarray(ids), jnp.asarray(filled, bool)


def _estimate(rows: np.ndarray) -> Estimate:
    rows, n = rows.astype(np.float64), rows.shape[-1]
    error = rows.std(-1, ddof=1) / np.sqrt(n) if n > 1 else np.full(rows.shape[:-1], np.nan)
    return Estimate(rows.mean(-1), error, rows)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _doses(
    spec: Spec,
    params: Any,
    hook: str,
    sae: SAE,
    ways: Array,
    rows: Rows,
    ids: Array,
    filled: Array,
) -> tuple[Array, Array, Array]:
    count = jnp.maximum(rows.usable.sum(1), 1)

    def log_p(edits: dict[str, Any]) -> Array:
        logits = capture(spec, params, rows.tokens, rows.positions, rows.valid, (), edits=edits)[0]
        return jax.nn.log_softmax(logits.astype(jnp.float32))

    def by_row(value: Array) -> Array:
        return jnp.where(rows.usable, value, 0.0).sum(1) / count

    clean = log_p({})

    def respond(way: Array) -> tuple[Array, Array, Array]:
        new = log_p({hook: At(Steer(way, sae), rows.usable)})

        def mass(one: tuple[Array, Array]) -> tuple[Array, Array]:
            inside = jax.nn.logsumexp(jnp.where(one[1], new[..., one[0]], -jnp.inf), -1)
            return by_row(jnp.exp(inside)), by_row(inside)

        probability, log_probability = jax.lax.map(mass, (ids, filled))
        return probability, log_probability, by_row((jnp.exp(new) * (new - clean)).sum(-1))

    return jax.lax.map(respond, ways)
