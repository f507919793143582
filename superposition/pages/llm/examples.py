"""Which places of a text stand for a latent: its peaks, and random ones, kept in a stream of constant memory."""

import numpy as np

SIDE = 10  # tokens shown on either side of the one chosen
WIDTH = 2 * SIDE + 1
_MULTIPLIERS = np.random.default_rng(0).integers(0, 2**64, WIDTH, np.uint64) | np.uint64(1)


class Best:
    """The `size` items of least priority in each of n groups, in that order; -1 and infinity where there are fewer.

    An item is a place `at` (an integer); of equal priorities the first place counts. Of items of one `kind` a group
    keeps only the best. The result does not depend on how the items are divided into batches, given in order of `at`.
    """

    def __init__(self, groups: int, size: int) -> None:
        self.priority = np.full((groups, size), np.inf)
        self.at = np.full((groups, size), -1, np.int64)
        self._kind = np.zeros((groups, size), np.uint64)

    def beaten(self, group: np.ndarray, priority: np.ndarray) -> np.ndarray:
        """Which items cannot be kept any more."""
        return priority >= self.priority[group, -1]

    def add(
        self, group: np.ndarray, priority: np.ndarray, at: np.ndarray, kind: np.ndarray | None = None
    ) -> None:
        """Items (n,) of a batch; without kinds every item is one of its own."""
        worth = ~self.beaten(group, priority)
        kind = at.astype(np.uint64) if kind is None else kind
        groups = np.unique(group[worth])
        there = self.at[groups] >= 0
        own = np.broadcast_to(groups[:, None], there.shape)[there]
        g = np.concatenate([own, group[worth]])
        p = np.concatenate([self.priority[groups][there], priority[worth]])
        a = np.concatenate([self.at[groups][there], at[worth]])
        k = np.concatenate([self._kind[groups][there], kind[worth]])
        order = np.lexsort((a, p, k, g))
        first = np.ones(len(order), bool)
        first[1:] = (g[order][1:] != g[order][:-1]) | (k[order][1:] != k[order][:-1])
        order = order[first]
        order = order[np.lexsort((a[order], p[order], g[order]))]
        g = g[order]
        rank = np.arange(len(g)) - np.searchsorted(g, g)
        kept = rank < self.at.shape[1]
        into = (g[kept], rank[kept])
        self.priority[groups], self.at[groups] = np.inf, -1
        self.priority[into], self.at[into] = p[order][kept], a[order][kept]
        self._kind[into] = k[order][kept]


def peaks(line: np.ndarray, position: np.ndarray, value: np.ndarray, reach: int) -> np.ndarray:
    """Which items are taken if, on each line, the greatest is taken and those within `reach` of it left out, and again.

    line (n,) tells latents and rows apart; of equal values the first position counts.
    """
    taken = np.zeros(len(line), bool)
    rest = np.lexsort((position, line))
    while len(rest):
        n, p, v = line[rest], position[rest], value[rest]
        lesser = np.zeros(len(rest), bool)
        near = []
        for step in range(1, reach + 1):
            close = (n[step:] == n[:-step]) & (p[step:] - p[:-step] <= reach)
            if not close.any():
                break
            near.append(close)
            lesser[:-step] |= close & (v[step:] > v[:-step])
            lesser[step:] |= close & (v[step:] <= v[:-step])
        gone = ~lesser
        taken[rest[gone]] = True
        best = gone.copy()
        for step, close in enumerate(near, 1):
            gone[:-step] |= close & best[step:]
            gone[step:] |= close & best[:-step]
        rest = rest[~gone]
    return taken


def windows(position: np.ndarray, ctx: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions around each one (n, WIDTH), and which of them lie in the row; those outside are clipped."""
    at = position[:, None] + np.arange(-SIDE, SIDE + 1)
    return np.clip(at, 0, ctx - 1), (at >= 0) & (at < ctx)


def contents(tokens: np.ndarray, row: np.ndarray, position: np.ndarray) -> np.ndarray:
    """A number (n,) that tells the texts of windows apart."""
    at, inside = windows(position, tokens.shape[1])
    ids = np.where(inside, tokens[row[:, None], at].astype(np.uint64) + np.uint64(1), np.uint64(0))
    return mixed((ids * _MULTIPLIERS).sum(1, dtype=np.uint64))


def mixed(x: np.ndarray) -> np.ndarray:
    """Every bit of uint64 numbers spread over all (SplitMix64: Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def drawn(seed: int, latent: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1) that are a function of seed, latent and place: the least are a random sample."""
    key = mixed(mixed(np.full(1, seed, np.uint64)) ^ latent.astype(np.uint64))
    return (mixed(key ^ mixed(at.astype(np.uint64))) >> np.uint64(11)) * 2.0**-53
