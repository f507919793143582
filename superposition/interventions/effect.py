"""What an edit does to the next token: rank, logit and probability of a target before and after, and the KL."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


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
    logits = jnp.asarray(logits, jnp.float32)
    at = jnp.broadcast_to(jnp.asarray(target), logits.shape[:-1])[..., None]
    own = jnp.take_along_axis(logits, at, -1)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), at, -1)[..., 0]
    return Standing((logits > own).sum(-1), own[..., 0], jnp.exp(log_p), log_p)


def kl(logits: Any, reference: Any) -> Array:
    """KL(p || q) = sum p (log p - log q) in nats, p the softmax of logits (..., d_vocab), q that of the reference."""
    p, q = (jax.nn.log_softmax(jnp.asarray(a, jnp.float32)) for a in (logits, reference))
    return (jnp.exp(p) * (p - q)).sum(-1)
