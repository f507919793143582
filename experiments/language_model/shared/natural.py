"""Held-out text for the frequency sweep: rows at the frequencies of the training text, and all there is of the two scripts.

Documents are dealt to two halves, whole: units are chosen on one and judged on the other. In each half, `other` holds rows of
every context in the proportions of the training text, with the scripts at RARE; `script` holds the rows of each script.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.language_model.shared.rarity_claims import RARE
from experiments.language_model.shared.script_labels import SCRIPTS, labels_of, token_lengths
from superposition.llm.packing import tokenize

BODY = 1600  # rows of English in a half, at the most; the other contexts follow by their shares
MOST = 400  # rows of a script in a half


class Rows(NamedTuple):
    """Rows of tokens (n, ctx) with BOS in front; script and completes as in `Labels`, and the document of each row (n,)."""

    tokens: np.ndarray
    script: np.ndarray
    completes: np.ndarray
    document: np.ndarray

    def take(self, which: np.ndarray | slice) -> "Rows":
        """Some of the rows."""
        return Rows._make(column[which] for column in self)

    @property
    def judged(self) -> np.ndarray:
        """Tokens (n, ctx) that complete a character which scripts do not share: the others are not looked at."""
        return (self.script > 0) & self.completes


class Half(NamedTuple):
    """Rows of all contexts at the training text's frequencies, and all rows of each script."""

    other: Rows
    scripts: dict[str, Rows]


def halves(
    tokenizer: Any,
    held: Mapping[str, tuple[str, list[str]]],
    shares: Mapping[str, float],
    ctx: int,
    seed: int = 0,
) -> tuple[Half, Half]:
    """The two halves; held: group and documents of every held-out source; shares: of the training text, by group."""
    rows = {name: _rows(tokenizer, documents, ctx) for name, (_, documents) in held.items()}
    result = []
    for half in range(2):
        random = np.random.default_rng((seed, half))
        groups: dict[str, list[Rows]] = {}
        for number, (name, (group, _)) in enumerate(sorted(held.items())):
            chosen = rows[name].take(rows[name].document % 2 == half)
            chosen = chosen._replace(document=chosen.document + 10_000 * number)
            groups.setdefault(group, []).append(chosen)
        joined = {group: _join(parts) for group, parts in groups.items()}
        enough = {g: len(joined[g].tokens) / shares[g] for g in ("english", "code")}
        total = min(*enough.values(), BODY / shares["english"])  # rows of the whole
        other = []
        for group, all_of in joined.items():
            share = RARE if group in SCRIPTS else shares[group]
            want = share * total
            count = min(len(all_of.tokens), int(want) + (random.random() < want % 1))
            other.append(all_of.take(random.permutation(len(all_of.tokens))[:count]))
        scripts = {s: joined[s].take(random.permutation(len(joined[s].tokens))[:MOST]) for s in SCRIPTS}
        result.append(Half(_join(other), scripts))
    return result[0], result[1]


def _rows(tokenizer: Any, documents: list[str], ctx: int) -> Rows:
    """Rows of one source; none holds two documents, and what does not fill a row is left out."""
    lengths, body, eos = token_lengths(tokenizer), ctx - 1, tokenizer.eos_token_id
    parts: list[Rows] = []
    for number, (text, ids) in enumerate(zip(documents, tokenize(tokenizer, documents), strict=True)):
        labels, n = labels_of(text, np.asarray(ids), lengths), len(ids) // body
        cut = [np.asarray(a)[: n * body].reshape(n, body) for a in (ids, labels.script, labels.completes)]
        front = (eos, 0, False)
        full = [np.concatenate([np.full((n, 1), f, c.dtype), c], 1) for f, c in zip(front, cut, strict=True)]
        parts.append(Rows(full[0], full[1], full[2], np.full(n, number)))
    return _join(parts)


def _join(parts: list[Rows]) -> Rows:
    return Rows._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
