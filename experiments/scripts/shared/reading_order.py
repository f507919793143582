"""Which rows of the corpus the small language model reads, and in what order."""

import numpy as np

from experiments.scripts.shared.corpus import MIXTURE, Corpus, Mixture
from superposition.errors import ConfigError


def order(corpus: Corpus, steps: int, batch: int, seed: int, *, mixture: Mixture = MIXTURE) -> np.ndarray:
    """Where each training row begins in the stream: (steps, batch) int32; see `rows`.

    Every source gets its share of rows, to the row, and is read in epochs of rows one after the other from a
    random place, so that none of its tokens comes more than once an epoch. A function of the arguments alone.
    """
    body, total = corpus.ctx - 1, steps * batch
    epoch = np.array([(n - body) // body + 1 for n in corpus.lengths])
    counts = shares(corpus.weights, total, np.floor(epoch * mixture.max_epochs).astype(int))
    random = np.random.default_rng((seed, 2))
    drawn = [
        _epochs(random, n, body, k) + start
        for n, k, start in zip(corpus.lengths, counts, corpus.starts[:-1], strict=True)
    ]
    return random.permutation(np.concatenate(drawn)).astype(np.int32).reshape(steps, batch)


def rows(corpus: Corpus, starts: np.ndarray) -> np.ndarray:
    """Training rows (..., ctx): EOS, then ctx - 1 tokens of the stream from each start."""
    body = corpus.stream[starts[..., None] + np.arange(corpus.ctx - 1)].astype(np.int32)
    return np.concatenate([np.full((*starts.shape, 1), corpus.tokenizer.eos_token_id, np.int32), body], -1)


def shares(weights: np.ndarray, total: int, most: np.ndarray) -> np.ndarray:
    """Rows of each source: proportional to weights, none above `most`, what that frees going to the others."""
    if most.sum() < total:
        raise ConfigError(
            f"{total} rows are asked for, but max_epochs allows {most.sum()}; train for fewer steps or raise it"
        )
    exact = np.zeros(len(weights))
    full = np.zeros(len(weights), bool)
    while True:
        exact[~full] = weights[~full] / weights[~full].sum() * (total - most[full].sum())
        over = ~full & (exact > most)
        if not over.any():
            break
        full |= over
        exact[full] = most[full]
    counts = np.floor(exact).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[rest] += 1
    return counts


def _epochs(random: np.random.Generator, n: int, body: int, count: int) -> np.ndarray:
    """Starts of `count` rows of `body` out of n tokens."""
    drawn = [np.empty(0, np.int64)]
    while sum(map(len, drawn)) < count:
        phase = random.integers(min(body, n - body + 1))
        drawn.append(random.permutation(np.arange(phase, n - body + 1, body)))
    return np.concatenate(drawn)[:count]
