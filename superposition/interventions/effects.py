"""What an edit does to the next token: rank, logit and probability of a target before and after, and the KL."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from superposition._internal import notebook
from superposition.errors import ConfigError
from superposition.llm.prompts import is_text


class TokenStats(NamedTuple):
    """A token among all: how many are likelier (0 is the likeliest), its logit, probability and log-probability.

    >>> token_stats([0.0, 1.0, 2.0], target=2)
    TokenStats(rank 0, logit 2, probability 0.6652, log-probability -0.4076)
    """

    rank: Array
    logit: Array
    probability: Array
    log_probability: Array

    def __repr__(self) -> str:
        fields = (f"{name.replace('_', '-')} {_shown(value)}" for name, value in self._asdict().items())
        return f"TokenStats({', '.join(fields)})"


class Effect(NamedTuple):
    """How the model stands to a target before and after an edit; kl (nats) of the edited distribution from the unedited.

    >>> effect([0.0, 1.0, 2.0], [0.0, 3.0, 2.0], target=1).after
    TokenStats(rank 0, logit 3, probability 0.7054, log-probability -0.349)
    """

    before: TokenStats
    after: TokenStats
    kl: Array

    def __repr__(self) -> str:
        before, after = self.before, self.after
        return (
            f"Effect(rank {_shown(before.rank)} -> {_shown(after.rank)}, probability {_shown(before.probability)} -> "
            f"{_shown(after.probability)}, KL {_shown(self.kl)} nats)"
        )

    def _repr_html_(self) -> str:
        rows = [
            [name, *(_shown(value) for value in stats), kl]
            for name, stats, kl in (("before", self.before, ""), ("after", self.after, _shown(self.kl)))
        ]
        head = ["", "rank", "logit", "probability", "log-probability", "KL (nats)"]
        return notebook.table("The target token", rows, head)


def _shown(value: Any) -> str:
    """One number as it is, several by their shape."""
    if isinstance(value, jax.core.Tracer) or np.size(value) != 1:
        return f"{np.shape(value)}"
    return f"{np.asarray(value).item():.4g}"


def effect(before: Any, after: Any, target: Any) -> Effect:
    """What an edit does to a token: its rank, logit and probability before and after, and the KL.

    Args:
        before: Logits (..., d_vocab) of the model without the edit.
        after: Those with it.
        target: A token id, or one of each leading index.

    Example:
        >>> effect([0.0, 1.0, 2.0], [0.0, 3.0, 2.0], 1)
        Effect(rank 1 -> 0, probability 0.2447 -> 0.7054, KL 0.4694 nats)
    """
    return Effect(token_stats(before, target), token_stats(after, target), kl(after, before))


def token_stats(logits: Any, target: Any) -> TokenStats:
    """Where a target stands in logits (..., d_vocab).

    >>> int(token_stats([0.0, 1.0, 2.0], target=0).rank)  # two tokens are likelier
    2
    """
    if is_text(target):
        raise ConfigError(
            f"a target is a token id, or one of each row; got {target!r}: lm.token_ids(...) gives it"
        )
    logits = jnp.asarray(logits, jnp.float32)
    at = jnp.broadcast_to(jnp.asarray(target), logits.shape[:-1])[..., None]
    logit = jnp.take_along_axis(logits, at, -1)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), at, -1)[..., 0]
    return TokenStats((logits > logit).sum(-1), logit[..., 0], jnp.exp(log_p), log_p)


def kl(logits: Any, reference: Any) -> Float[Array, "*batch"]:
    """KL(p || q) = sum p (log p - log q) in nats, p the softmax of logits (..., d_vocab), q that of the reference.

    >>> float(kl([0.0, 0.0], [0.0, 0.0])), round(float(kl([10.0, 0.0], [0.0, 0.0])), 3)  # the second is nearly log 2
    (0.0, 0.693)
    """
    p, q = (jax.nn.log_softmax(jnp.asarray(a, jnp.float32)) for a in (logits, reference))
    return (jnp.exp(p) * (p - q)).sum(-1)
