"""Unigram and bigram models of weighted text: the baselines a language model has to beat."""

from typing import NamedTuple

import numpy as np

DISCOUNTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
PRIORS = (1.0, 0.1, 0.01)
ROUNDS = 3


class Pairs(NamedTuple):
    """Context and next token of scored positions, and what one of them weighs: (n,) each."""

    context: np.ndarray
    token: np.ndarray
    weight: np.ndarray


class Counts(NamedTuple):
    """Distinct pairs as context * vocab + token, sorted; how often each was seen, and its weight."""

    vocab: int
    keys: np.ndarray
    seen: np.ndarray
    mass: np.ndarray


class Smoothing(NamedTuple):
    """discounts of pairs seen once, twice, more often; prior added to each token below; types or mass below."""

    discounts: tuple[float, float, float] = (0.75, 0.75, 0.75)
    prior: float = 1.0
    continuation: bool = True


def pairs(tokens: np.ndarray, usable: np.ndarray, weight: float = 1.0) -> Pairs:
    """Every usable token of rows (n, ctx) with the one before it."""
    keep = usable[:, 1:]
    context, token = tokens[:, :-1][keep].astype(np.int64), tokens[:, 1:][keep].astype(np.int64)
    return Pairs(context, token, np.full(len(token), weight))


def count(parts: list[Pairs], vocab: int) -> Counts:
    """Counts of all parts together."""
    key = np.concatenate([p.context * vocab + p.token for p in parts])
    keys, inverse = np.unique(key, return_inverse=True)
    mass = np.bincount(inverse, np.concatenate([p.weight for p in parts]), len(keys))
    return Counts(vocab, keys, np.bincount(inverse, minlength=len(keys)), mass)


def unigram(counts: Counts, prior: float = 1.0) -> np.ndarray:
    """p(token) (vocab,), `prior` added to each count."""
    mass = np.bincount(counts.keys % counts.vocab, counts.mass, counts.vocab) + prior
    return mass / mass.sum()


def bigram(counts: Counts, context: np.ndarray, token: np.ndarray, smoothing: Smoothing) -> np.ndarray:
    """p(token | context), interpolated modified Kneser-Ney (Chen and Goodman 1998).

    (m - D m / n) / m(context) + freed(context) q(token): m is the weight of the pair and n how often it was
    seen, so that a source read twice as often is not discounted half as much. q counts the contexts of a
    token (continuation), or its weight.
    """
    v = counts.vocab
    off = np.array(smoothing.discounts)[np.minimum(counts.seen, 3) - 1] * counts.mass / counts.seen
    before = counts.keys // v
    total, freed = np.bincount(before, counts.mass, v), np.bincount(before, off, v)
    lower = np.bincount(counts.keys % v, minlength=v) + smoothing.prior
    lower = lower / lower.sum() if smoothing.continuation else unigram(counts, smoothing.prior)
    key = context * v + token
    at = np.minimum(np.searchsorted(counts.keys, key), len(counts.keys) - 1)
    kept = np.where(counts.keys[at] == key, (counts.mass - off)[at], 0)
    known = total[context] > 0
    weight = np.where(known, total[context], 1)
    return kept / weight + np.where(known, freed[context] / weight, 1) * lower[token]


def nats(probability: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean -log p."""
    return float(np.average(-np.log(probability), weights=weight))


def tune(fit: list[Pairs], check: list[Pairs], vocab: int) -> Smoothing:
    """The smoothing under which `check` is likeliest, by coordinate search over the grids."""
    counts = count(fit, vocab)
    context, token, weight = (np.concatenate(column) for column in zip(*check, strict=True))

    def cost(smoothing: Smoothing) -> float:
        return nats(bigram(counts, context, token, smoothing), weight)

    best = Smoothing()
    for _ in range(ROUNDS):
        found = best
        for i in range(3):
            choices = [best._replace(discounts=_with(best.discounts, i, d)) for d in DISCOUNTS]
            best = min([best, *choices], key=cost)
        below = [best._replace(prior=p, continuation=c) for p in PRIORS for c in (True, False)]
        best = min([best, *below], key=cost)
        if best == found:
            break
    return best


def _with(discounts: tuple[float, float, float], i: int, d: float) -> tuple[float, float, float]:
    a, b, c = (d if i == j else old for j, old in enumerate(discounts))
    return a, b, c
