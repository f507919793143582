"""What happens while a toy model learns: jumps between energy levels, and plateaus at them.

Elhage et al. 2022, "Superposition and Learning Dynamics": dimensionalities jump while the loss drops. The paper
shows it by eye; here an event is defined by numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from superposition.errors import ConfigError


class Jump(NamedTuple):
    """An event: frames first to last, how far a D_i moved, what the loss fell by, and how much faster than usual."""

    first: int
    last: int
    moved: float
    drop: float
    steepness: float


def jumps(
    dimensionality: np.ndarray,
    loss: np.ndarray,
    *,
    move: float = 0.1,
    window: float = 0.01,
    steeper: float = 5.0,
    around: float = 0.1,
) -> list[Jump]:
    """Events at which some D_i moves by over `move` within `window` of training while the loss falls steeply.

    dimensionality (frame, n) and loss (frame,) are at evenly spaced steps. Steeply: over the same window the loss
    falls by more than `steeper` times the median |change| over windows at most `around` of training away.
    Overlapping windows are one event. Raises ConfigError for frames too few for the window.
    """
    D, L = np.asarray(dimensionality, np.float64), np.asarray(loss, np.float64)
    if D.ndim != 2 or L.shape != D.shape[:1]:
        raise ConfigError(f"give dimensionality (frame, n) and loss (frame,); got {D.shape} and {L.shape}")
    last = len(L) - 1
    width, reach = round(window * last), round(around * last)
    if width < 1 or reach < 2 * width:
        raise ConfigError(
            f"{len(L)} frames are too few for a window of {window:g} within {around:g} of training; record more"
        )
    moved = np.abs(D[width:] - D[:-width]).max(1)
    fall = L[:-width] - L[width:]
    usual = np.array([np.median(np.abs(fall[max(0, k - reach) : k + reach + 1])) for k in range(len(fall))])
    steepness = fall / np.maximum(usual, np.finfo(float).tiny)
    hit = np.flatnonzero((moved > move) & (steepness > steeper))
    events = np.split(hit, np.flatnonzero(np.diff(hit) > width) + 1) if len(hit) else []
    return [
        Jump(
            int(e[0]),
            int(e[-1]) + width,
            float(moved[e].max()),
            float(L[e[0]] - L[e[-1] + width]),
            float(steepness[e].max()),
        )
        for e in events
    ]


class Visit(NamedTuple):
    """A stay at a level: which, and the frames first to last."""

    level: int
    first: int
    last: int


def visits(
    loss: np.ndarray, levels: Sequence[float] | np.ndarray, *, within: float, least: int = 1
) -> list[Visit]:
    """Stays of at least `least` frames where |loss / level - 1| < within, in time; the nearest level counts."""
    L, levels = np.asarray(loss, np.float64), np.asarray(levels, np.float64)
    if L.ndim != 1 or levels.ndim != 1 or len(L) == 0 or len(levels) == 0:
        raise ConfigError(
            f"give loss (frame,) and levels (level,), not empty; got {L.shape} and {levels.shape}"
        )
    if not (levels > 0).all():
        raise ConfigError(f"levels must be > 0, closeness being relative; got {levels.min():g}")
    off = np.abs(L[:, None] / levels - 1)
    at = np.where(off.min(1) < within, off.argmin(1), -1)
    edges = np.flatnonzero(np.diff(at)) + 1
    runs = np.split(np.arange(len(at)), edges)
    return [Visit(int(at[r[0]]), int(r[0]), int(r[-1])) for r in runs if at[r[0]] >= 0 and len(r) >= least]


class Plateau(NamedTuple):
    """Frames first to last between which the loss hardly fell, and its mean there."""

    first: int
    last: int
    loss: float


def plateaus(
    step: np.ndarray, loss: np.ndarray, *, flat: float = 0.05, stretch: float = 1.25
) -> list[Plateau]:
    """Spans over which steps grow by a factor >= `stretch` while the loss changes by a factor < 1 + flat.

    step (frame,) > 0 increasing and loss (frame,) > 0. Overlapping spans are one plateau, as long as its ends
    differ by less than 2 flat; the start, up to where 10 % of the loss is gone, and the end, from where it
    comes within `flat` of its last value for good, are not on the way and are left out.
    """
    t, L = np.asarray(step, np.float64), np.asarray(loss, np.float64)
    if t.shape != L.shape or t.ndim != 1 or len(t) < 2:
        raise ConfigError(f"give step (frame,) and loss (frame,), two or more; got {t.shape} and {L.shape}")
    if not ((t > 0).all() and (np.diff(t) > 0).all() and (L > 0).all()):
        raise ConfigError("steps must be > 0 and increase, losses be > 0; leave step 0 out")
    far = np.flatnonzero(np.abs(L / L[-1] - 1) >= flat)
    begin, end = int(np.argmax(0.9 * L[0] > L)), (int(far[-1]) if len(far) else 0)
    found: list[Plateau] = []
    for k in range(begin, end):
        j = int(np.searchsorted(t, stretch * t[k]))
        if j > end or max(L[k : j + 1]) >= (1 + flat) * min(L[k : j + 1]):
            continue
        joins = found and k <= found[-1].last and L[found[-1].first] < (1 + 2 * flat) * L[j]
        first = found.pop().first if joins else k
        found.append(Plateau(first, j, float(np.exp(np.log(L[first : j + 1]).mean()))))
    return found
