"""What it costs a language model to run on the output of an SAE or a transcoder, whole and by source."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition import metrics
from superposition._internal import notebook
from superposition.errors import ConfigError
from superposition.interventions.at import At, Replace
from superposition.interventions.splice import Splice
from superposition.llm import batches as batching
from superposition.llm.batches import Rows, batches
from superposition.llm.forward import capture
from superposition.llm.model import LanguageModel
from superposition.llm.prompts import rows_given
from superposition.llm.spec import Spec
from superposition.sae import SAE, Params

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached
    from superposition.interventions.transcoders import AttachedTranscoder


class Ablations(NamedTuple):
    """The model itself, and with nothing at a hook point: what an SAE is measured between.

    mean: activation over the usable tokens. Per row of tokens: next-token losses summed (nats) of the clean model,
    with zeros and with the mean at every usable position; scored: how many next tokens that is.

    >>> one = np.array([3.0])
    >>> losses = Ablations("mlp.hook_post", np.zeros(512), clean=one, zero=2 * one, mean_ablated=one, scored=[2])
    >>> float(losses.clean[0] / losses.scored[0])  # nats a token
    1.5
    """

    hook: str
    mean: np.ndarray
    clean: np.ndarray
    zero: np.ndarray
    mean_ablated: np.ndarray
    scored: np.ndarray


class Spliced(NamedTuple):
    """An SAE spliced in at the usable positions.

    numbers: l0, fvu, ..., ce, ce_spliced, ce_zero, ce_mean (nats a token), kl, ce_recovered (against zero
    ablation), ce_recovered_mean. by_source: the same losses of each source. densities (d_sae,).

    >>> numbers = {"l0": 16.0, "fvu": 0.1, "ce": 2.0, "ce_spliced": 2.1, "ce_recovered": 0.9, "tokens": 1000.0}
    >>> Spliced(numbers, {}, np.zeros(1024))
    Spliced(l0 16, fvu 0.1, ce 2 -> 2.1 nats a token, 90.0% recovered, 1,000 tokens)
    """

    numbers: dict[str, float]
    by_source: dict[str, dict[str, float]]
    densities: np.ndarray

    def __repr__(self) -> str:
        n = self.numbers
        return (
            f"Spliced(l0 {n['l0']:.4g}, fvu {n['fvu']:.3g}, ce {n['ce']:.4g} -> {n['ce_spliced']:.4g} nats a token, "
            f"{n['ce_recovered']:.1%} recovered, {n['tokens']:,.0f} tokens)"
        )

    def _repr_html_(self) -> str:
        head = ["text", "ce", "ce_spliced", "ce_zero", "ce_mean", "kl", "ce_recovered", "tokens"]
        every = {"all": self.numbers} | (self.by_source if len(self.by_source) > 1 else {})
        rows = [[name, *(losses[k] for k in head[1:])] for name, losses in every.items()]
        return notebook.table(repr(self), rows, head)


def ablations(lm: LanguageModel, hook: str, tokens: Any) -> Ablations:
    """The losses between which an SAE at a hook point is measured: one pass for the mean, one for the losses.

    Args:
        lm: The model as the SAE expects it (`attached.lm`).
        hook: The hook point.
        tokens: Tokens, as `pack_text` and `token_array` give them, or rows of ids or prompts as a model takes them.

    Raises:
        ConfigError: The text has no usable next token.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> losses = ablations(LanguageModel.from_hf(), "mlp.hook_post", "Once upon a time, there was a girl.")
        >>> bool(losses.clean.sum() < losses.zero.sum())
        True
    """
    tokens = rows_given(lm, tokens)
    hook = lm.resolve(hook)
    scored = tokens.scored.sum(1)
    if not scored.any():
        raise ConfigError("there is no usable next token to score; give more text")
    total, count = np.zeros(()), 0
    for rows in batches(lm, tokens, lm.width(hook)):
        total = total + np.asarray(_sum(lm.spec, lm.params, hook, rows), np.float64)
        count += int(rows.usable.sum())
    mean = (total / count).astype(np.float32)
    parts = [_ablated(lm.spec, lm.params, hook, rows, mean) for rows in batches(lm, tokens, 1)]
    clean, zero, without = (np.concatenate([np.asarray(p[i], np.float64) for p in parts]) for i in range(3))
    n = len(scored)
    return Ablations(hook, mean, clean[:n], zero[:n], without[:n], scored)


def evaluate(
    attached: "Attached | AttachedTranscoder", tokens: Any, floor: Ablations | None = None
) -> Spliced:
    r"""Run the model on the SAE's reconstruction at the usable positions, and measure what it loses.

    $CE_{recovered} = (CE_{zero} - CE_{SAE}) / (CE_{zero} - CE)$, and the same against the mean. KL is of the clean
    next-token distribution from the spliced. Positions that are not usable (BOS, special tokens, the first) keep their
    activation, as SAEs are not trained on them.

    Args:
        attached: The SAE on its model; of a transcoder, what it predicts takes the place of the activation at its
            target.
        tokens: Tokens, or rows of ids or prompts as a model takes them.
        floor: `ablations` of the same tokens, which do not depend on the SAE; computed here if not given.

    Raises:
        ConfigError: The ablations are of another hook point or of other rows; there is no next token to score.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> text = ["Once upon a time, there was a little girl.", "He said that he would go."]
        >>> evaluate(attached, text).numbers["l0"]
        16.0
    """
    lm, sae, target = attached.lm, attached.sae, attached.target
    tokens = attached.rows(tokens)
    floor = ablations(lm, target, tokens) if floor is None else floor
    if floor.hook != target:
        raise ConfigError(
            f"the ablations are at {floor.hook}, the SAE at {target}; give those of its hook point"
        )
    if len(tokens.tokens) != len(floor.scored):
        raise ConfigError(f"the ablations are of {len(floor.scored)} rows, tokens have {len(tokens.tokens)}")
    sums: metrics.Sums | None = None
    losses, kls, waiting = [], [], 0
    waiting_rows: list[list[np.ndarray]] = []  # activations read, and for a transcoder those that it predicts
    params = dict(attached.params)
    size = int(np.clip(batching.CELLS // sae.d_sae, 64, 4096))
    parts = list(batches(lm, tokens, sae.d_sae))
    for n, part in enumerate(parts, 1):
        loss, kl, seen = _spliced(lm.spec, lm.params, attached.hook, target, sae, params, part)
        losses.append(np.asarray(loss, np.float64))
        kls.append(np.asarray(kl, np.float64))
        usable = np.asarray(part.usable)
        waiting_rows.append([np.asarray(one)[usable] for one in seen])
        waiting += int(usable.sum())
        if waiting >= size or n == len(parts):  # whole blocks, so that one shape is compiled
            rows = [np.concatenate(one) for one in zip(*waiting_rows, strict=True)]
            whole = waiting if n == len(parts) else waiting // size * size
            for start in range(0, whole, size):
                block = [jnp.asarray(one[start : min(start + size, whole)]) for one in rows]
                new = _sums(sae, params, *block)
                sums = new if sums is None else metrics.add(sums, new)
            waiting_rows, waiting = [[one[whole:] for one in rows]], waiting - whole
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


@partial(jax.jit, static_argnums=(0, 2, 3, 4))
def _spliced(
    spec: Spec, params: Any, hook: str, target: str, sae: SAE, sae_params: Params, rows: Rows
) -> tuple[Array, Array, list[Array]]:
    """Losses and KL summed by row, (rows,) each; activations (rows, pos, width) at hook, and at the target if another."""
    names = (hook,) if target == hook else (hook, target)
    logits, seen = capture(spec, params, rows.tokens, rows.positions, rows.valid, names)
    clean = jax.nn.log_softmax(logits.astype(jnp.float32))
    flat = [seen[name].reshape(*rows.tokens.shape, -1).astype(jnp.float32) for name in names]
    edit: Any = Splice(sae_params, sae)
    if target != hook:
        edit = Replace(sae.reconstruct(sae_params, flat[0])[1].reshape(seen[target].shape))
    new = _forward(spec, params, rows, {target: At(edit, rows.usable)})
    kl = jnp.where(rows.scored, (jnp.exp(clean) * (clean - new)).sum(-1)[:, :-1], 0.0).sum(1)
    return _loss(new, rows), kl, flat


@partial(jax.jit, static_argnums=0)
def _sums(sae: SAE, sae_params: Params, x: Array, y: Array | None = None) -> metrics.Sums:
    latents, y_hat = sae.reconstruct(sae_params, x)
    return metrics.accumulate(x if y is None else y, y_hat, latents)
