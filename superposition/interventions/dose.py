"""Dose and response: how strongly a latent is steered against what the model then predicts."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import notebook
from superposition.errors import ConfigError
from superposition.interventions.at import At
from superposition.interventions.steering import Steer, direction, indices
from superposition.llm.batches import Rows, batches
from superposition.llm.forward import capture
from superposition.llm.prompts import target_ids
from superposition.llm.spec import Spec
from superposition.sae import SAE

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached


class Estimate(NamedTuple):
    """Mean over rows of text and its standard error (NaN of one row), and the rows (..., n_rows) themselves.

    >>> Estimate(mean=np.array([0.2]), error=np.array([0.1]), rows=np.array([[0.1, 0.3]])).mean.tolist()
    [0.2]
    """

    mean: np.ndarray
    error: np.ndarray
    rows: np.ndarray


class DoseResponse(NamedTuple):
    """By amount (amounts,): probability and log-probability of each set of tokens (amounts, sets), KL (amounts,).

    >>> one, two = (Estimate(np.zeros(shape), np.zeros(shape), np.zeros((*shape, 3))) for shape in ((2, 1), (2,)))
    >>> DoseResponse(np.array([0.0, 20.0]), probability=one, log_probability=one, kl=two)
    DoseResponse(2 amounts from 0 to 20, 1 sets of tokens, 3 rows, KL up to 0 nats a token)
    """

    amounts: np.ndarray
    probability: Estimate
    log_probability: Estimate
    kl: Estimate

    def __repr__(self) -> str:
        return (
            f"DoseResponse({len(self.amounts)} amounts from {self.amounts.min():.4g} to {self.amounts.max():.4g}, "
            f"{self.probability.mean.shape[1]} sets of tokens, {self.kl.rows.shape[-1]} rows, "
            f"KL up to {self.kl.mean.max():.3g} nats a token)"
        )

    def _repr_html_(self) -> str:
        """A table, and the log-probability of each set against the amount with standard errors."""
        n = self.probability.mean.shape[1]
        names = [f"set {i}" for i in range(n)]
        rows = [[a, k, *p] for a, k, p in zip(self.amounts, self.kl.mean, self.probability.mean, strict=True)]
        table = notebook.table(repr(self), rows, ["amount", "KL (nats)", *(f"P({name})" for name in names)])
        lines = {name: self.log_probability.mean[:, i] for i, name in enumerate(names)}
        bars = {name: self.log_probability.error[:, i] for i, name in enumerate(names)}
        return table + notebook.chart(self.amounts, lines, ("amount", "log-probability (nats)"), bars)


def dose_response(
    attached: "Attached", tokens: Any, latent: Any, amounts: Any, sets: Sequence[Any]
) -> DoseResponse:
    """Steer a latent by each amount at every usable position, and see what the next-token distributions put on sets.

    The mass of a set is the sum over its tokens, a row's value the mean over its usable positions (of the log: the mean
    log-mass), kl is of the steered distribution from the unsteered (nats a token). One program for all amounts.

    Args:
        attached: The SAE on its model.
        tokens: Tokens, or rows of ids or prompts as a model takes them.
        latent: An index, or several that are steered together.
        amounts: In units of the latent's activation, (amounts,).
        sets: Sets of tokens, each of ids or of texts of one token each: the latent's own tokens, controls, ...

    Raises:
        ConfigError: There is no usable position, amount or set; a set is empty or names a token twice.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> dose = dose_response(attached, ["Once upon a time", "He said"], 136, [0.0, 20.0], [[" there"], [" the"]])
        >>> dose.probability.mean.shape, bool(dose.kl.mean[0] < dose.kl.mean[1])
        ((2, 2), True)
    """
    lm = attached.lm
    doses = np.asarray(amounts, np.float32)
    if doses.ndim != 1 or not doses.size or not np.isfinite(doses).all():
        raise ConfigError(f"amounts must be finite numbers, at least one; got {amounts!r}")
    latents = indices(attached.sae, latent)
    tokens = attached.rows(tokens)
    ways = jnp.stack([direction(attached.sae, attached.params, latents, dose) for dose in doses])
    ids, filled = _sets([target_ids(lm, one) for one in sets], lm.spec.d_vocab)
    with_text = np.flatnonzero(tokens.usable.any(1))
    if not with_text.size:
        raise ConfigError("tokens have no usable position; every one is special: give text")
    parts = []
    for rows in batches(lm, tokens, lm.width(attached.hook)):
        response = _doses(lm.spec, lm.params, attached.hook, attached.sae, ways, rows, ids, filled)
        parts.append([np.asarray(a) for a in response])
    whole = (np.concatenate([p[i] for p in parts], -1)[..., with_text] for i in range(3))
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
