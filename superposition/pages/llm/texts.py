"""The view by token: on each token of a text, the latents with the largest activation relative to their own maximum."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.packing import Tokens
from superposition.pages.llm.effects import Effects
from superposition.pages.llm.panels import Findings
from superposition.pages.llm.spill import Spill
from superposition.pages.pack import Dictionary, i8, i32, number, u8, u16
from superposition.pages.pieces import pieces

K, AT_MOST = 8, 25


def text_rows(tokens: Tokens, wanted: Sequence[int] | None) -> list[int]:
    """The rows asked for, or the first of each source in turn; ConfigError for a row that does not exist."""
    if wanted is not None:
        if len(wanted) > AT_MOST:
            raise ConfigError(f"texts must be at most {AT_MOST} rows; got {len(wanted)}")
        return [validate.integer("a row of texts", row, 0, len(tokens.tokens)) for row in wanted]
    of = [np.flatnonzero(tokens.source == s)[:AT_MOST].tolist() for s in range(len(tokens.sources))]
    turns = [own[turn] for turn in range(AT_MOST) for own in of if turn < len(own)]
    return sorted(turns[:AT_MOST], key=lambda row: (tokens.source[row], row))


def names(tokens: Tokens, rows: Sequence[int]) -> list[str]:
    """What the texts are called."""
    return [f"{tokens.sources[tokens.source[row]]}, row {row}" for row in rows]


def text_pages(
    found: Findings, spill: Spill, effects: Effects | None, rows: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Each text; the direct effects are of the loss of the token that follows, all 0 where there are none."""
    ctx = found.tokens.tokens.shape[1]
    for row, name in zip(rows, names(found.tokens, rows), strict=True):
        block = spill.block(spill.number_of(row))
        a, b = np.searchsorted(block.place, (row - block.first + np.array([0, 1])) * ctx)
        at, slot, value = block.place[a:b] % ctx, block.slot[a:b], block.value[a:b]
        share = value / found.statistics.largest[slot]
        order = np.lexsort((slot, -share, at))
        at, slot, value, share = (column[order] for column in (at, slot, value, share))
        rank = np.arange(len(at)) - np.searchsorted(at, at)
        kept = rank < K
        at, slot, value, share, rank = (column[kept] for column in (at, slot, value, share, rank))
        features, act, direct = np.full((ctx, K), -1), np.zeros((ctx, K)), np.zeros((ctx, K))
        features[at, rank], act[at, rank] = found.ids[slot], share
        if effects is not None and effects.direct_path:
            clean = effects.clean(found.tokens, row, 1, 1)
            direct[at, rank] = effects.direct(clean, np.zeros(len(at), np.int64), at, slot, value)
        words, scale = Dictionary(), float(np.abs(direct).max())
        refs = [words.ref(word) for word in pieces(found.tokenizer, found.tokens.tokens[row])]
        yield {
            "name": name,
            "dictionary": words.words,
            "tokens": u16(refs),
            "k": K,
            "features": i32(features),
            "act": u8(act, 1.0),
            "direct": i8(direct, scale),
            "scale_direct": number(scale, 6),
        }
