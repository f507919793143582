"""Single units as detectors of kinds of text: activations at usable tokens, and the best unit chosen and judged."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from experiments.language_model.shared.small_lm import HOOK
from superposition import metrics
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.sae import SAE, Params
from superposition.training import Trained

TOP = 100  # top-activating tokens looked at
# A unit is specific from this share of its firings in one kind on, if it fires so often.
PURE, LEAST = 0.9, 10
STRONGEST = 3  # tokens that a unit is named by
Encode = Callable[[np.ndarray], np.ndarray]


def activations(lm: LanguageModel, tokens: Tokens, batch: int = 64) -> np.ndarray:
    """The neurons at every usable token, (usable tokens, 512)."""
    parts = []
    for start in range(0, len(tokens.tokens), batch):
        rows = slice(start, start + batch)
        _, seen = lm.run_with_cache(tokens.tokens[rows], [HOOK], stop_at_layer=1)
        parts.append(np.asarray(seen[HOOK])[tokens.usable[rows]])
    return np.concatenate(parts)


def encode(sae: SAE, params: Params, x: np.ndarray) -> np.ndarray:
    """Latents (batch, d_sae) of activations (batch, d_in)."""
    return np.asarray(_latents(sae, params, jnp.asarray(x)))


_latents: Any = jax.jit(lambda sae, params, x: sae.encode(params, x), static_argnums=0)


def encoder(one: Trained) -> Encode:
    """A trained SAE's latents as a function of activations."""
    return partial(encode, one.sae, one.params)


def second_half(tokens: Tokens) -> np.ndarray:
    """Usable tokens of every other row: units are chosen on the others, and judged on these."""
    rows = np.arange(len(tokens.tokens)) % 2
    return np.broadcast_to(rows[:, None], tokens.tokens.shape)[tokens.usable] == 1


def judged(encode: Encode, x: np.ndarray, truth: np.ndarray, half: np.ndarray) -> dict[str, np.ndarray]:
    """The best unit for every kind, chosen on one half and judged on the other.

    unit, f1, precision, recall, specificity (kinds,); top (kinds, kinds): what its strongest tokens are of;
    pure: the share of living units that fire at least PURE of the time on one kind.
    """
    maximum = np.max([encode(b).max(0) for b in blocks(x[~half])], 0)
    thresholds = metrics.thresholds_of(maximum).astype(np.float32)

    def count(chosen: np.ndarray) -> metrics.Detections:
        total: metrics.Detections | None = None
        for block, kind in zip(blocks(x[chosen]), blocks(truth[chosen]), strict=True):
            new = _detections(jnp.asarray(encode(block)), jnp.asarray(kind), jnp.asarray(thresholds))
            total = new if total is None else metrics.add(total, new)
        assert total is not None
        return total

    best, counts = metrics.best_detectors(count(~half)), count(half)
    scores = metrics.judge(counts, best.unit, best.threshold)
    own = np.concatenate([encode(b)[:, best.unit] for b in blocks(x[half])])
    fired = np.asarray(counts.fired[0])
    alive = fired >= LEAST
    purity = (np.asarray(counts.hits[0]).max(0) / np.maximum(fired, 1))[alive]
    return {
        **{n: getattr(scores, n) for n in ("unit", "f1", "precision", "recall", "specificity")},
        "top": np.array([_kinds(truth[half][strongest(column)]) for column in own.T]),
        "pure": np.array((purity >= PURE).mean() if alive.any() else 0.0),
    }


_detections: Any = jax.jit(metrics.detections)


def strongest(activation: np.ndarray, count: int = TOP, seed: int = 0) -> np.ndarray:
    """Return where a unit is strongest, at most `count` places, strongest first.

    Only places where it fires are ranked, and ties are broken at random: in the order of the text, a unit that seldom
    fires would be filled up with whatever the text begins with.
    """
    fires = np.random.default_rng(seed).permutation(np.flatnonzero(activation > 0))
    return np.asarray(fires[np.argsort(-activation[fires], kind="stable")][:count])


def _kinds(truth: np.ndarray) -> np.ndarray:
    """Return the share of every kind among the rows of `truth`, zeros where there are none."""
    return truth.mean(0) if len(truth) else np.zeros(truth.shape[1])


def blocks(x: np.ndarray, size: int = 8192) -> Iterator[np.ndarray]:
    """Some rows at a time."""
    for start in range(0, len(x), size):
        yield x[start : start + size]


class Rule(NamedTuple):
    """The token or kind of text that a unit's firing stands for best: its F1 as a detector, above 0."""

    name: str
    is_token: bool
    f1: float
    kind: int
    """The rule's kind of text, of a token that which most of the unit's activation is on."""
    strongest: tuple[str, ...]
    """The tokens that most of the unit's activation is on, most first."""


def rules(encode: Encode, x: np.ndarray, truth: np.ndarray, tokens: Tokens, tokenizer: Any) -> list[Rule]:
    """One rule a unit, for x (usable tokens, d_in) of `tokens`: of all tokens and kinds the best by F1."""
    seen, kinds = tokens.tokens[tokens.usable].astype(np.int64), tokens.sources
    vocabulary = int(seen.max()) + 1
    latents = sparse.vstack([sparse.csr_matrix(encode(b).clip(0)) for b in blocks(x)]).tocsc()
    here = sparse.csr_matrix(
        (np.ones(len(seen)), (np.arange(len(seen)), seen)), shape=(len(seen), vocabulary)
    )
    mass, strength = latents.T @ truth, (latents.T @ here).toarray()
    latents.data = np.ones_like(latents.data)
    both = np.hstack([(latents.T @ here).toarray(), latents.T @ truth])
    true = np.concatenate([np.bincount(seen, minlength=vocabulary), truth.sum(0)])
    fired = np.asarray(latents.sum(0)).reshape(-1, 1)
    f1 = 2 * both / np.maximum(fired + true, 1)
    best = f1.argmax(1)
    most = np.argsort(-strength, 1, kind="stable")[:, :STRONGEST]
    word = [tokenizer.decode([i]) for i in range(vocabulary)]
    return [
        Rule(
            word[b] if b < vocabulary else kinds[b - vocabulary],
            bool(b < vocabulary),
            float(f1[u, b]),
            int(mass[u].argmax() if b < vocabulary else b - vocabulary),
            tuple(word[i] for i in most[u] if strength[u, i] > 0),
        )
        for u, b in enumerate(best)
    ]
