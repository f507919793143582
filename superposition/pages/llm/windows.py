"""The examples that pages show: which of them there are, and what latents and losses do around them."""

from typing import NamedTuple

import numpy as np

from superposition.llm.packing import Tokens
from superposition.pages.llm.effects import Clean, Effects
from superposition.pages.llm.examples import WIDTH, windows
from superposition.pages.llm.spill import Fired, Spill
from superposition.pages.llm.statistics import Intervals, Statistics

CELLS = 2**23


class Windows(NamedTuple):
    """Examples (m,), those of a latent together: latent, sequence, position; around it activations and effects (m, WIDTH).

    starts (n + 1,): where each latent's begin. top (n, TOP), drawn (n, INTERVALS, DRAWN): their numbers, counted from
    the latent's first, -1 for none. full, direct: None where they were not asked for, or there is no direct path.
    """

    sequence: np.ndarray
    position: np.ndarray
    starts: np.ndarray
    top: np.ndarray
    drawn: np.ndarray
    act: np.ndarray
    full: np.ndarray | None
    direct: np.ndarray | None


class Lookup:
    """Activations of a block by latent and place."""

    def __init__(self, block: Fired, ctx: int) -> None:
        self.block, self._cells = block, block.rows * ctx
        key = block.slot * self._cells + block.place
        order = np.argsort(key)
        self._key = np.append(key[order], np.iinfo(np.int64).max)
        self._value = np.append(block.value[order], np.float32(0))

    def __call__(self, slot: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Activations, 0 where a latent does not fire."""
        wanted = slot * self._cells + place
        at = np.searchsorted(self._key, wanted)
        return np.where(self._key[at] == wanted, self._value[at], np.float32(0))


def gather(
    spill: Spill, statistics: Statistics, parts: Intervals, ctx: int, effects: Effects | None, tokens: Tokens
) -> Windows:
    """What is around every example; each place of a latent is looked at once, whatever it is an example of."""
    n = len(statistics.fired)
    chosen = np.concatenate([statistics.top, parts.places.reshape(n, -1)], 1)
    span = int(chosen.max(initial=0)) + 1
    there = chosen >= 0
    keys, back = np.unique((np.arange(n)[:, None] * span + chosen)[there], return_inverse=True)
    slot, at = np.divmod(keys, span)
    sequence, position = np.divmod(at, ctx)
    starts = np.searchsorted(slot, np.arange(n + 1))
    number = np.full(chosen.shape, -1)
    number[there] = back - starts[np.nonzero(there)[0]]
    shape = (len(keys), WIDTH)
    act = np.zeros(shape, np.float32)
    full = None if effects is None else np.zeros(shape, np.float32)
    direct = np.zeros(shape, np.float32) if effects is not None and effects.direct_path else None
    order = np.argsort(sequence, kind="stable")
    filled = 0
    for block in spill.blocks():
        filled = filled or block.rows
        begin, end = np.searchsorted(sequence[order], [block.first, block.first + block.rows])
        if begin == end:
            continue
        lookup = Lookup(block, ctx)
        clean = None if effects is None else effects.clean(tokens, block.first, block.rows, filled)
        step = max(1, CELLS // (8 * ctx))
        for a in range(begin, end, step):
            here = order[a : min(a + step, end)]
            row, s = sequence[here] - block.first, slot[here]
            shown, inside = windows(position[here], ctx)
            values = lookup(s[:, None], row[:, None] * ctx + np.arange(ctx))
            act[here] = np.where(inside, np.take_along_axis(values, shown, 1), 0)
            if effects is None or clean is None or full is None:
                continue
            if direct is not None:
                direct[here] = np.where(inside, _direct(effects, clean, row, s, values, shown), 0)
            if effects.only_direct and direct is not None:
                full[here] = direct[here]
            else:
                full[here] = np.where(inside, effects.full(clean, row, s, values, shown), 0)
    top = statistics.top.shape[1]
    return Windows(
        sequence,
        position,
        starts,
        number[:, :top],
        number[:, top:].reshape(parts.places.shape),
        act,
        full,
        direct,
    )


def _direct(
    effects: Effects, clean: Clean, row: np.ndarray, slot: np.ndarray, values: np.ndarray, shown: np.ndarray
) -> np.ndarray:
    """Effects on the losses of the tokens shown (m, WIDTH), of what their predecessors write."""
    before = np.maximum(shown - 1, 0)
    value = np.where(shown > 0, np.take_along_axis(values, before, 1), 0)
    wide = (np.broadcast_to(column[:, None], shown.shape).reshape(-1) for column in (row, slot))
    r, s = wide
    return effects.direct(clean, r, before.reshape(-1), s, value.reshape(-1)).reshape(shown.shape)
