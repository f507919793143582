"""What it costs a language model to run on an SAE's reconstruction, whole and by source."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition import metrics
from superposition.errors import ConfigError
from superposition.interventions.at import At, Replace
from superposition.interventions.splice import Splice, fits
from superposition.llm.model import LanguageModel, capture, positions
from superposition.llm.packing import Tokens
from superposition.llm.prompts import rows_given
from superposition.llm.spec import Spec
from superposition.sae import SAE, Params

CELLS = 2**25  # numbers in the widest array of a batch (logits or latents)


class Ablations(NamedTuple):
    """The model itself, and with nothing at a hook point: what an SAE is measured between.

    mean: activation over the usable tokens. Per row of tokens: next-token losses summed (nats) of the clean model,
    with zeros and with the mean at every usable position; scored: how many next tokens that is.
    """

    hook: str
    mean: np.ndarray
    clean: np.ndarray
    zero: np.ndarray
    mean_ablated: np.ndarray
    scored: np.ndarray


class Rows(NamedTuple):
    """Rows of tokens (rows, ctx) as the model is run on them; scored (rows, ctx - 1): next tokens that count."""

    tokens: Array
    usable: Array
    scored: Array
    positions: Array
    valid: Array | None


class Spliced(NamedTuple):
    """An SAE spliced in at the usable positions.

    numbers: l0, fvu, ..., ce, ce_spliced, ce_zero, ce_mean (nats a token), kl, ce_recovered (against zero
    ablation), ce_recovered_mean. by_source: the same losses of each source. densities (d_sae,).
    """

    numbers: dict[str, float]
    by_source: dict[str, dict[str, float]]
    densities: np.ndarray


def ablations(lm: LanguageModel, hook: str, tokens: Any) -> Ablations:
    """One pass for the mean, one for the losses; ConfigError for text without a usable next token.

    tokens: Tokens, as `pack_text` and `token_array` give them, or rows of ids or prompts as a model takes them.
    """
    tokens = rows_given(lm, tokens)
    own = lm.resolve(hook)
    scored = tokens.scored.sum(1)
    if not scored.any():
        raise ConfigError("there is no usable next token to score; give more text")
    total, count = np.zeros(()), 0
    for rows in batches(lm, tokens, lm.width(hook)):
        total = total + np.asarray(_sum(lm.spec, lm.params, own, rows), np.float64)
        count += int(rows.usable.sum())
    mean = (total / count).astype(np.float32)
    parts = [_ablated(lm.spec, lm.params, own, rows, mean) for rows in batches(lm, tokens, 1)]
    clean, zero, without = (np.concatenate([np.asarray(p[i], np.float64) for p in parts]) for i in range(3))
    n = len(scored)
    return Ablations(own, mean, clean[:n], zero[:n], without[:n], scored)


def evaluate(lm: LanguageModel, sae: SAE, params: Params, tokens: Any, floor: Ablations) -> Spliced:
    """Splice an SAE in at floor's hook point and measure; tokens are those of `ablations`.

    $CE_{recovered} = (CE_{zero} - CE_{SAE}) / (CE_{zero} - CE)$, and the same against the mean. KL is of the clean
    next-token distribution from the spliced. Positions that are not usable (BOS, specials, the first) keep their
    activation, as SAEs are not trained on them. Raises ConfigError for an SAE of another width.
    """
    fits(lm, floor.hook, sae)
    tokens = rows_given(lm, tokens)
    if len(tokens.tokens) != len(floor.scored):
        raise ConfigError(f"the ablations are of {len(floor.scored)} rows, tokens have {len(tokens.tokens)}")
    sums: metrics.Sums | None = None
    losses, kls, held, waiting = [], [], [], 0
    own = {k: jnp.asarray(v) for k, v in params.items()}
    size = int(np.clip(CELLS // sae.d_sae, 64, 4096))
    parts = list(batches(lm, tokens, sae.d_sae))
    for n, part in enumerate(parts, 1):
        loss, kl, x = _spliced(lm.spec, lm.params, floor.hook, sae, own, part)
        losses.append(np.asarray(loss, np.float64))
        kls.append(np.asarray(kl, np.float64))
        held.append(np.asarray(x)[np.asarray(part.usable)])
        waiting += len(held[-1])
        if waiting >= size or n == len(parts):  # whole blocks, so that one shape is compiled
            rows = np.concatenate(held)
            whole = len(rows) if n == len(parts) else waiting // size * size
            for start in range(0, whole, size):
                new = _sums(sae, own, jnp.asarray(rows[start : min(start + size, whole)]))
                sums = new if sums is None else metrics.add(sums, new)
            held, waiting = [rows[whole:]], waiting - whole
    assert sums is not None
    loss, kl = (np.concatenate(a)[: len(floor.scored)] for a in (losses, kls))
    result = metrics.reconstruction_from(sums)
    numbers = {k: float(v) for k, v in result._asdict().items() if k != "densities"}
    every = np.ones(len(loss), bool)
    by_source = {name: _losses(floor, loss, kl, tokens.source == i) for i, name in enumerate(tokens.sources)}
    return Spliced(numbers | _losses(floor, loss, kl, every), by_source, result.densities)


def _losses(floor: Ablations, loss: np.ndarray, kl: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Nats a token over some rows, and what is recovered; NaN where there is nothing to score or to recover."""
    count = floor.scored[rows].sum()
    sums = [a[rows].sum() for a in (floor.clean, loss, floor.zero, floor.mean_ablated, kl)]
    clean, spliced, zero, mean, divergence = (s / count if count else float("nan") for s in sums)

    def recovered(worst: float) -> float:
        return float((worst - spliced) / (worst - clean)) if worst > clean else float("nan")

    return {
        "ce": float(clean),
        "ce_spliced": float(spliced),
        "ce_zero": float(zero),
        "ce_mean": float(mean),
        "kl": float(divergence),
        "ce_recovered": recovered(zero),
        "ce_recovered_mean": recovered(mean),
        "tokens": float(count),
    }


def batches(lm: LanguageModel, tokens: Tokens, width: int) -> Iterator[Rows]:
    """As many rows as memory is meant for; the last batch is filled up with unusable rows."""
    n, ctx = tokens.tokens.shape
    size = int(np.clip(CELLS // (ctx * max(width, lm.spec.d_vocab)), 1, n))
    for start in range(0, n, size):
        part = tokens.rows(slice(start, start + size))
        fill = ((0, size - len(part.tokens)), (0, 0))
        ids, usable, scored = (jnp.asarray(np.pad(a, fill)) for a in (part.tokens, part.usable, part.scored))
        valid = None if part.valid is None else jnp.asarray(np.pad(part.valid, fill))
        yield Rows(ids.astype(jnp.int32), usable, scored, positions(ids, valid), valid)


def _forward(spec: Spec, params: Any, rows: Rows, edits: dict[str, Any]) -> Array:
    logits = capture(spec, params, rows.tokens, rows.positions, rows.valid, (), edits=edits)[0]
    return jax.nn.log_softmax(logits.astype(jnp.float32))


def _loss(logp: Array, rows: Rows) -> Array:
    picked = jnp.take_along_axis(logp[:, :-1], rows.tokens[:, 1:, None], -1)[..., 0]
    return -jnp.where(rows.scored, picked, 0.0).sum(1)


@partial(jax.jit, static_argnums=(0, 2))
def _sum(spec: Spec, params: Any, hook: str, rows: Rows) -> Array:
    x = capture(spec, params, rows.tokens, rows.positions, rows.valid, (hook,))[1][hook]
    usable = rows.usable.reshape(*rows.usable.shape, *[1] * (x.ndim - 2))
    return jnp.where(usable, x, 0).astype(jnp.float32).sum((0, 1))


@partial(jax.jit, static_argnums=(0, 2))
def _ablated(spec: Spec, params: Any, hook: str, rows: Rows, mean: Array) -> tuple[Array, Array, Array]:
    runs: Sequence[dict[str, Any]] = (
        {},
        {hook: At(Replace(0.0), rows.usable)},
        {hook: At(Replace(mean), rows.usable)},
    )
    one, two, three = (_loss(_forward(spec, params, rows, edits), rows) for edits in runs)
    return one, two, three


@partial(jax.jit, static_argnums=(0, 2, 3))
def _spliced(
    spec: Spec, params: Any, hook: str, sae: SAE, own: Params, rows: Rows
) -> tuple[Array, Array, Array]:
    logits, seen = capture(spec, params, rows.tokens, rows.positions, rows.valid, (hook,))
    clean = jax.nn.log_softmax(logits.astype(jnp.float32))
    new = _forward(spec, params, rows, {hook: At(Splice(own, sae), rows.usable)})
    kl = jnp.where(rows.scored, (jnp.exp(clean) * (clean - new)).sum(-1)[:, :-1], 0.0).sum(1)
    x = seen[hook].reshape(*rows.tokens.shape, -1).astype(jnp.float32)
    return _loss(new, rows), kl, x


@partial(jax.jit, static_argnums=0)
def _sums(sae: SAE, own: Params, x: Array) -> metrics.Sums:
    latents, x_hat = sae.reconstruct(own, x)
    return metrics.accumulate(x, x_hat, latents)
