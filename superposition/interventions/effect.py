"""What an edit does to the next token: rank, logit and probability of a target before and after, and the KL."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from superposition.errors import ConfigError


class Standing(NamedTuple):
    """A token among all: how many are likelier (0 is the likeliest), its logit, probability and log-probability."""

    rank: Array
    logit: Array
    probability: Array
    log_probability: Array


class Effect(NamedTuple):
    """A target's standing before and after an edit; kl (nats) of the edited distribution from the unedited."""

    before: Standing
    after: Standing
    kl: Array


def effect(before: Any, after: Any, target: Any) -> Effect:
    """Logits (..., d_vocab) before and after, target a token id or one of each leading index."""
    return Effect(standing(before, target), standing(after, target), kl(after, before))


def standing(logits: Any, target: Any) -> Standing:
    """Where a target stands in logits (..., d_vocab)."""
    if is_text(target):
        raise ConfigError(
            f"a target is a token id, or one of each row; got {target!r}: lm.token_ids(...) gives it"
        )
    logits = jnp.asarray(logits, jnp.float32)
    at = jnp.broadcast_to(jnp.asarray(target), logits.shape[:-1])[..., None]
    own = jnp.take_along_axis(logits, at, -1)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), at, -1)[..., 0]
    return Standing((logits > own).sum(-1), own[..., 0], jnp.exp(log_p), log_p)


def is_text(target: Any) -> bool:
    """Whether a target is a text, or a list of them, and no ids."""
    listed = target if isinstance(target, list | tuple) else [target]
    return any(isinstance(one, str) for one in listed)


def kl(logits: Any, reference: Any) -> Array:
    """KL(p || q) = sum p (log p - log q) in nats, p the softmax of logits (..., d_vocab), q that of the reference."""
    p, q = (jax.nn.log_softmax(jnp.asarray(a, jnp.float32)) for a in (logits, reference))
    return (jnp.exp(p) * (p - q)).sum(-1)
