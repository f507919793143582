"""What a language model does with the latent of a script: what taking it out costs, and what pinning it makes likely."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.language_model.shared.natural import Half, Rows
from experiments.language_model.shared.script_labels import SCRIPTS
from superposition.interventions import Attached, Edited

BATCH, OF_THE_SCRIPT = 32, 0.9


class Effects(NamedTuple):
    """Of one latent: nats that ablating it adds to a token, on the script's and on other text; and of pinning it.

    likely_before, likely_pinned: mean probability of the script's tokens after tokens of other text.
    """

    ablated_script: float
    ablated_other: float
    likely_before: float
    likely_pinned: float


def effects(
    attached: Attached, latent: int, largest: float, half: Half, script: str, rows: int = 128
) -> Effects:
    """Measure it on at most `rows` rows of the script, and as many of other text."""
    number = SCRIPTS.index(script) + 1
    mine, other = half.scripts[script].take(slice(rows)), half.other.take(slice(rows))
    without, pinned = attached.ablate(latent), attached.clamp(latent, largest)
    costs = []
    for text, wanted in ((mine, mine.script == number), (other, other.script != number)):
        added = [_loss(without.logits(ids), ids) - _loss(attached.logits(ids), ids) for ids in _batches(text)]
        added_to = np.concatenate(added)
        costs.append(float(added_to[wanted[: len(added_to), 1:]].mean()))
    tokens = _tokens_of(half.scripts[script], number, attached.lm.spec.d_vocab)
    likely = [
        np.mean([_mass(run, ids, tokens) for ids in _batches(other)])
        for run in (attached.splice(error_term=True), pinned)
    ]
    return Effects(costs[0], costs[1], float(likely[0]), float(likely[1]))


def _tokens_of(rows: Rows, number: int, vocabulary: int) -> np.ndarray:
    """Tokens (d_vocab,) that are of the script nine times in ten where they stand in its rows."""
    ids, script = rows.tokens.reshape(-1).astype(int), rows.script.reshape(-1) == number
    seen = np.bincount(ids, minlength=vocabulary)
    return np.bincount(ids, script, vocabulary) > OF_THE_SCRIPT * np.maximum(seen, 1)


def _batches(rows: Rows) -> Iterator[np.ndarray]:
    """Whole batches of ids, so that one program serves all; fewer rows than a batch are one."""
    for start in range(0, max(len(rows.tokens) // BATCH, 1) * BATCH, BATCH):
        yield rows.tokens[start : start + BATCH].astype(np.int32)


def _loss(logits: jax.Array, ids: np.ndarray) -> np.ndarray:
    """Loss of every next token (batch, pos - 1), in nats."""
    log_p = jax.nn.log_softmax(logits[:, :-1])
    return -np.asarray(jnp.take_along_axis(log_p, jnp.asarray(ids)[:, 1:, None], -1)[..., 0])


def _mass(run: Edited, ids: np.ndarray, tokens: np.ndarray) -> float:
    """Mean probability of some tokens as the next one."""
    return float(
        jnp.where(jnp.asarray(tokens)[None, None], jax.nn.softmax(run.logits(ids)), 0).sum(-1).mean()
    )
