"""Counts of what a latent fires on, and the best simple description of it: chosen on even rows, judged on odd ones."""

from typing import NamedTuple

import numpy as np

from superposition.llm.packing import Tokens
from superposition.metrics.rules import Verdict, best_classes, best_sets, judge_sets

CLASSES = 8192  # tokens told apart, at most
CELLS = 2**25  # tokens told apart x latents, at most
AT_LEAST = 10  # firings in either half that a description takes
CHUNK = 4096
CURRENT, PREVIOUS, SOURCE = 0, 1, 2


class Rules(NamedTuple):
    """The best description of each latent (n,) and its scores on the odd rows; known: whether there is one.

    kind: CURRENT, PREVIOUS (the token is, or follows, one of a set) or SOURCE. named: its tokens, those it fires on
    most often first, or its source. favourites: tokens it fires on most often. by_source (n_sources, n): firings.
    """

    known: np.ndarray
    kind: np.ndarray
    verdict: Verdict
    named: list[np.ndarray]
    favourites: list[np.ndarray]
    by_source: np.ndarray


class Counts:
    """Events by half (even and odd rows) and class: current and previous token, source."""

    def __init__(self, tokens: Tokens, n: int, d_vocab: int) -> None:
        size = int(min(CLASSES, max(1, CELLS // n), d_vocab))
        often = np.zeros(d_vocab, np.int64)
        for a in range(0, len(tokens.tokens), CHUNK):
            often += np.bincount(tokens.tokens[a : a + CHUNK].ravel(), minlength=d_vocab)
        self.named = np.argsort(-often, kind="stable")[:size]
        self._class = np.full(d_vocab, size)  # the last class is of all other tokens, and of none
        self._class[self.named] = np.arange(size)
        self._tokens, self.n = tokens, n
        self.hits = np.zeros((2, 2, size + 1, n), np.int32)  # kind, half, class, latent
        self.totals = np.zeros((2, 2, size + 1), np.int64)
        sources = len(tokens.sources)
        self.source_hits, self.source_totals = (
            np.zeros((2, sources, n), np.int64),
            np.zeros((2, sources), np.int64),
        )

    def add(
        self, first: int, row: np.ndarray, position: np.ndarray, at: np.ndarray, slot: np.ndarray
    ) -> None:
        """Usable positions (m,) of rows from `first` on, and which of them, `at`, latents `slot` fire on."""
        absolute = row + first
        half, source = absolute % 2, self._tokens.source[absolute]
        rows = self._tokens.tokens[first : first + int(row.max(initial=0)) + 1]
        current = self._class[rows[row, position]]
        before = np.where(position > 0, self._class[rows[row, position - 1]], len(self.named))
        for kind, group in ((CURRENT, current), (PREVIOUS, before)):
            np.add.at(self.totals[kind], (half, group), 1)
            where = (half * (len(self.named) + 1) + group)[at] * self.n + slot
            np.add.at(self.hits[kind].reshape(-1), where, 1)
        np.add.at(self.source_totals, (half, source), 1)
        where = (half * len(self._tokens.sources) + source)[at] * self.n + slot
        np.add.at(self.source_hits.reshape(-1), where, 1)


def describe(counts: Counts, shown: int = 5) -> Rules:
    """The best rule of each latent: of greatest F1 on the even rows; its scores are those on the odd rows."""
    n, size = counts.n, len(counts.named)
    fired = counts.source_hits.sum(1)
    known = (fired >= AT_LEAST).all(0)
    kind, scores = np.zeros(n, np.int64), np.zeros((3, n))
    named: list[np.ndarray] = []
    favourites: list[np.ndarray] = []
    step = max(1, 2**22 // size)
    for a in range(0, n, step):
        part = slice(a, min(a + step, n))
        options = []
        for which in (CURRENT, PREVIOUS):
            hits, totals = counts.hits[which][:, :size, part], counts.totals[which][:, :size]
            options.append((best_sets(hits[0], totals[0], fired[0, part]), hits, totals))
        if len(counts.source_totals[0]) > 1:
            hits, totals = counts.source_hits[:, :, part], counts.source_totals
            options.append((best_classes(hits[0], totals[0], fired[0, part]), hits, totals))
        chosen_by = [judge_sets(h[0], t[0], fired[0, part], c).f1 for c, h, t in options]
        judged = [np.stack(judge_sets(h[1], t[1], fired[1, part], c)) for c, h, t in options]
        kind[part] = np.argmax(chosen_by, 0)
        for i, best in enumerate(kind[part]):
            scores[:, a + i] = judged[best][:, i]
            chosen, hits, _ = options[best]
            own = np.flatnonzero(chosen[:, i])
            own = own[np.argsort(-hits[:, own, i].sum(0), kind="stable")]
            named.append(own if best == SOURCE else counts.named[own])
            often = counts.hits[CURRENT][:, :size, a + i].sum(0)
            order = np.argsort(-often, kind="stable")[:shown]
            favourites.append(counts.named[order[often[order] > 0]])
    return Rules(known, kind, Verdict(*scores), named, favourites, counts.source_hits.sum(0))
