"""Activations at a hook point in blocks of whole rows of text: computed by the model, or read from a cache."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import safetensors

from superposition.activations.cache import Cache
from superposition.activations.cache.manifest import POSITION, SEQUENCE, TOKENS
from superposition.errors import ConfigError
from superposition.llm import stream
from superposition.llm.hooks import stop_after
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens

CHUNK = 4096  # rows of a cache's tokens compared at once


class Block(NamedTuple):
    """Rows first .. first + rows of the tokens: activations x (n, width) float32 of their usable positions.

    row, position (n,): where each is; rows count from the block's first.
    """

    first: int
    rows: int
    row: np.ndarray
    position: np.ndarray
    x: np.ndarray


class Activations:
    """Activations of `tokens` at `hook`, as often as they are asked for; of a cache if one is given.

    Raises ConfigError for tokens without a usable position and for a cache of other tokens or another width.
    """

    def __init__(self, lm: LanguageModel, hook: str, tokens: Tokens, cache: Cache | None = None) -> None:
        stream.fits(lm, tokens)
        self.lm, self.tokens, self.hook = lm, tokens, lm.resolve(hook)
        self.ends = np.cumsum(tokens.usable.sum(1, dtype=np.int64))
        self._rows = None if cache is None else cache.rows(self.hook)
        if cache is not None:
            _same(cache, self.hook, lm.width(hook), tokens, self.ends)

    def __len__(self) -> int:
        """Usable tokens."""
        return int(self.ends[-1])

    def blocks(self, rows: int) -> Iterator[Block]:
        """`rows` rows of text at a time, fewer in the last block."""
        for first in range(0, len(self.ends), rows):
            here = slice(first, first + rows)
            row, position = np.nonzero(self.tokens.usable[here])
            yield Block(first, len(self.ends[here]), row, position, self._x(here, rows))

    def _x(self, here: slice, rows: int) -> np.ndarray:
        if self._rows is not None:
            ends = self.ends[here]
            start = 0 if here.start == 0 else self.ends[here.start - 1]
            return self._rows.read(np.arange(start, ends[-1])).astype(np.float32, copy=False)
        ids, valid = self.tokens.tokens[here], self.tokens.valid
        fill = ((0, rows - len(ids)), (0, 0))  # one shape, one compilation
        mask = None if valid is None else np.pad(valid[here], fill, mode="edge")
        stop = stop_after([self.hook], self.lm.spec.n_layers)
        _, seen = self.lm.run_with_cache(
            np.pad(ids, fill, mode="edge"), [self.hook], mask=mask, stop_at_layer=stop
        )
        x = np.asarray(seen[self.hook])
        return x[: len(ids)].reshape(*ids.shape, -1)[self.tokens.usable[here]].astype(np.float32, copy=False)


def _same(cache: Cache, hook: str, width: int, tokens: Tokens, ends: np.ndarray) -> None:
    """The cache holds `hook` of exactly the usable tokens, in their order; a shard at a time, or ConfigError."""
    mend = "give the tokens that the cache was written from, or leave the cache out"
    if cache.hooks[hook] != width:
        raise ConfigError(
            f"{cache.directory}: {hook} has {cache.hooks[hook]} numbers, the model's {width}; {mend}"
        )
    held = cache.manifest.rows
    if held != ends[-1]:
        raise ConfigError(
            f"{cache.directory} holds {held:,} rows, the tokens have {ends[-1]:,} usable ones; {mend}"
        )
    begin = 0
    for number, shard in enumerate(cache.manifest.shards):
        with safetensors.safe_open(cache.directory / cache.manifest.name(number), framework="numpy") as file:
            sequence, position = file.get_tensor(SEQUENCE), file.get_tensor(POSITION)
        first, last = (int(np.searchsorted(ends, at, "right")) for at in (begin, begin + shard.rows - 1))
        row, column = np.nonzero(tokens.usable[first : last + 1])
        skip = begin - (ends[first - 1] if first else 0)
        part = slice(skip, skip + shard.rows)
        if not (np.array_equal(row[part] + first, sequence) and np.array_equal(column[part], position)):
            raise ConfigError(f"{cache.directory}: shard {number} is of other positions; {mend}")
        begin += shard.rows
    if cache.manifest.tokens is not None:
        with safetensors.safe_open(cache.directory / TOKENS, framework="numpy") as file:
            stored = file.get_slice("tokens")
            shape = tuple(stored.get_shape())
            chunks = [slice(a, min(a + CHUNK, shape[0])) for a in range(0, shape[0], CHUNK)]
            if shape != tokens.tokens.shape or any((stored[c] != tokens.tokens[c]).any() for c in chunks):
                raise ConfigError(f"{cache.directory} is of other tokens; {mend}")
