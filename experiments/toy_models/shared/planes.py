"""Features of a model with two hidden dimensions drawn as points of a plane, coloured by the set they belong to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from superposition.plot.style import CREAM, DASHES, FRAME, hatched

# Okabe and Ito's, told apart by every eye; a set has one, and its markers a shape of their own.
SET_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
SHAPES = ("o", "s", "^", "D", "v", "P")
SPREAD = 0.05  # by which features in one place are drawn apart, to be seen to be two


def upright(W: np.ndarray, first: int = 0) -> np.ndarray:
    """W (2, n) turned so that feature `first` points up, flipped so that the next one is on the right.

    A feature of length zero has no direction; the longest is taken then.
    """
    W = np.asarray(W, float)
    if np.linalg.norm(W[:, first]) < 0.1:
        first = int(np.argmax(np.linalg.norm(W, axis=0)))
    x, y = W[:, first] / max(float(np.linalg.norm(W[:, first])), 1e-12)
    turned = np.array([[y, -x], [x, y]]) @ W
    beside = turned[0, (first + np.arange(1, W.shape[1])) % W.shape[1]]
    beside = beside[np.abs(beside) > 0.1]
    return turned * np.array([[-1.0 if len(beside) and beside[0] < 0 else 1.0], [1.0]])


def plane(axes: Axes, W: np.ndarray, colours: Sequence[str], shapes: Sequence[str], limit: float) -> None:
    """Features W (2, n) as lines from the origin that end in a marker; those in one place stand side by side."""
    axes.set(
        xlim=(-limit, limit), ylim=(-limit, limit), facecolor=CREAM, aspect="equal", xticks=[], yticks=[]
    )
    axes.spines[:].set(visible=True, color=FRAME, linewidth=1)
    axes.axhline(0, color=DASHES, linewidth=0.8, dashes=(5, 4), zorder=1)
    axes.axvline(0, color=DASHES, linewidth=0.8, dashes=(5, 4), zorder=1)
    if not np.isfinite(W).all():
        hatched(axes)
        return
    for i, (x, y) in enumerate(W.T):
        here = np.flatnonzero(np.linalg.norm(W - W[:, [i]], axis=0) < SPREAD)
        shift = (here.tolist().index(i) - (len(here) - 1) / 2) * 2 * SPREAD * limit
        length = np.hypot(x, y)
        aside = np.array([-y, x]) / length * shift if length > 0.1 else np.array([shift, 0.0])
        ends = np.array([aside, np.array([x, y]) + aside])
        axes.plot(
            *ends.T, color=colours[i], linewidth=2.6, solid_capstyle="round", zorder=3, gid=f"feature-{i}"
        )
        axes.plot(*ends[1], shapes[i], color=colours[i], markersize=6.5, markeredgecolor="white",
                  markeredgewidth=0.6, zorder=4)  # fmt: skip
