"""What happens while a toy model learns: jumps between energy levels, and plateaus at them.

Elhage et al. 2022, "Superposition and Learning Dynamics": dimensionalities jump while the loss drops. The paper
shows it by eye; here an event is defined by numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.geometry.matrix import finite


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
    Overlapping windows are one event. Raises ConfigError for frames too few for the window, what is not finite,
    and options that are not positive numbers.
    """
    D, L = finite("dimensionality", dimensionality, "(frame, n)", 2), finite("loss", loss, "(frame,)", 1)
    if D.shape[1] == 0 or len(L) != len(D):
        raise ConfigError(
            f"give dimensionality (frame, n), n >= 1, and loss (frame,); got {D.shape} and {L.shape}"
        )
    move, steeper = _positive("move", move), _positive("steeper", steeper)
    window, around = _positive("window", window, 1.0), _positive("around", around, 1.0)
    last = len(L) - 1
    width, reach = round(window * last), round(around * last)
    if width < 1 or reach < 2 * width:
        raise ConfigError(
            f"{len(L)} frames are too few for a window of {window:g} within {around:g} of training; record more"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.abs(D[width:] - D[:-width]).max(1)
        fall = L[:-width] - L[width:]
        near = [np.abs(fall[max(0, k - reach) : k + reach + 1]) for k in range(len(fall))]
        steepness = fall / np.maximum([np.median(n) for n in near], np.finfo(float).tiny)
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
    """Stays of at least `least` frames where |loss / level - 1| < within, in time; the nearest level counts.

    Raises ConfigError for what is empty or not finite, levels and `within` that are not > 0, and `least` < 1.
    """
    L, levels = finite("loss", loss, "(frame,)", 1), finite("levels", levels, "(level,)", 1)
    within, least = _positive("within", within), validate.integer("least", least, 1)
    if len(L) == 0 or len(levels) == 0:
        raise ConfigError(
            f"give loss (frame,) and levels (level,), not empty; got {L.shape} and {levels.shape}"
        )
    if not (levels > 0).all():
        raise ConfigError(f"levels must be > 0, closeness being relative; got {levels.min():g}")
    with np.errstate(over="ignore"):
        off = np.abs(L[:, None] / levels - 1)
    nearest = np.where(off.min(1) < within, off.argmin(1), -1)
    edges = np.flatnonzero(np.diff(nearest)) + 1
    stays = np.split(np.arange(len(nearest)), edges)
    return [
        Visit(int(nearest[stay[0]]), int(stay[0]), int(stay[-1]))
        for stay in stays
        if nearest[stay[0]] >= 0 and len(stay) >= least
    ]


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
    comes within `flat` of its last value for good, are not on the way and are left out. Raises ConfigError for
    other steps and losses, and options with flat <= 0 or stretch <= 1.
    """
    t, L = finite("step", step, "(frame,)", 1), finite("loss", loss, "(frame,)", 1)
    flat = _positive("flat", flat)
    stretch = validate.one_in_range("stretch", stretch, 1.0, np.inf, open_low=True)
    if t.shape != L.shape or len(t) < 2:
        raise ConfigError(f"give step (frame,) and loss (frame,), two or more; got {t.shape} and {L.shape}")
    if not ((t > 0).all() and (np.diff(t) > 0).all() and (L > 0).all()):
        raise ConfigError("steps must be > 0 and increase, losses be > 0; leave step 0 out")
    with np.errstate(over="ignore"):
        return _plateaus(t, L, flat, stretch)


def _positive(name: str, value: float, high: float = np.inf) -> float:
    return validate.one_in_range(name, value, 0.0, high, open_low=True)


def _plateaus(t: np.ndarray, L: np.ndarray, flat: float, stretch: float) -> list[Plateau]:
    far, gone = np.flatnonzero(np.abs(L / L[-1] - 1) >= flat), np.flatnonzero(0.9 * L[0] > L)
    found: list[Plateau] = []
    if len(far) == 0 or len(gone) == 0:
        return found
    end = int(far[-1])
    for k in range(int(gone[0]), end):
        j = int(np.searchsorted(t, stretch * t[k]))
        if j > end or max(L[k : j + 1]) >= (1 + flat) * min(L[k : j + 1]):
            continue
        joins = found and k <= found[-1].last and L[found[-1].first] < (1 + 2 * flat) * L[j]
        first = found.pop().first if joins else k
        found.append(Plateau(first, j, float(np.exp(np.log(L[first : j + 1]).mean()))))
    return found
