"""Features that come in sets: planes of features coloured by set, Gram matrices by set, pairs that collapse."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from superposition.errors import ConfigError
from superposition.plot.style import (
    CREAM,
    DASHES,
    DPI,
    FRAME,
    INK,
    MUTED,
    WEIGHTS,
    fitted,
    grid,
    hatched,
    place,
    quote,
    styled,
    write,
)

# Okabe and Ito's, told apart by every eye; a set has one, and its markers a shape of their own.
SET_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
SHAPES = ("o", "s", "^", "D", "v", "P")
SIDE = 1.55  # inches, a small plane
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


def by_set(
    W: np.ndarray, sets: Sequence[int], rows: Sequence[str], columns: Sequence[Sequence[str]]
) -> Figure:
    """Rows of planes, a set a colour. W (row, column, 2, n), NaN features left out; `sets` features a set.

    Elhage et al. 2022, "Organization of correlated and anticorrelated features".
    """
    W = grid(W, "W", (None, None, 2, None))
    if len(rows) != len(W) or len(columns) != len(W) or len(sets) != len(W):
        raise ConfigError(f"give a size of set, a name and column titles for each of {len(W)} rows.")
    limit = 1.25 * max(1.0, float(np.nanmax(np.linalg.norm(W, axis=2))))
    pitch = SIDE + 0.2
    with styled():
        size = (0.25 + W.shape[1] * pitch, len(W) * (SIDE + 0.85) + 0.1)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        for r, (planes, per_set, name, titles) in enumerate(zip(W, sets, rows, columns, strict=True)):
            top = 0.62 + r * (SIDE + 0.85)
            line = fitted(name, 11, 72 * (size[0] - 0.4), "bold")
            quote(figure, 0.2, top - 0.36, line, 11, weight="bold", color="#333333")
            for c, features in enumerate(planes):
                shown = features[:, np.isfinite(features).all(0)]
                kinds = np.arange(shown.shape[1]) // per_set % len(SET_COLOURS)
                axes = place(figure, 0.2 + c * pitch, top, SIDE, SIDE)
                plane(
                    axes,
                    upright(shown),
                    [SET_COLOURS[k] for k in kinds],
                    [SHAPES[k] for k in kinds],
                    limit,
                )
                quote(figure, 0.2 + c * pitch, top - 0.08, fitted(titles[c], 9, 72 * SIDE), 9, color=MUTED)
    return figure


def grams(W: np.ndarray, titles: Sequence[str], per_set: Sequence[int]) -> Figure:
    """W^T W of some models side by side, W (model, m, n); lines part sets of `per_set` features (0: none).

    Elhage et al. 2022, "Local almost-orthogonal bases".
    """
    W = grid(W, "W", (None, None, None))
    if len(titles) != len(W) or len(per_set) != len(W):
        raise ConfigError(f"{len(titles)} titles and {len(per_set)} sizes of set for {len(W)} models.")
    side, pitch = 3.3, 3.65
    with styled():
        figure = Figure(figsize=(0.35 + len(W) * pitch + 0.55, side + 0.95), dpi=DPI, facecolor="white")
        for k, (weights, title, size) in enumerate(zip(W, titles, per_set, strict=True)):
            x = 0.35 + k * pitch
            axes = place(figure, x, 0.55, side, side)
            axes.imshow(weights.T @ weights, cmap=WEIGHTS, vmin=-1, vmax=1, interpolation="nearest")
            axes.spines[:].set(visible=True, color=FRAME)
            n = W.shape[2]
            for edge in range(size, n, size) if size else ():
                for line in (axes.axhline, axes.axvline):
                    line(edge - 0.5, color="black", linewidth=1.4)
            for number, begin in enumerate(range(0, n, size) if size else ()):
                middle = 0.55 + side + 0.2
                across = x + side * (begin + min(size, n - begin) / 2) / n
                write(figure, across, middle, f"set {number + 1}", 9.5, ha="center", color=MUTED)
            quote(figure, x, 0.4, fitted(title, 11, 72 * side, "bold"), 11, weight="bold", color="#333333")
        bar = place(figure, 0.35 + len(W) * pitch, 0.55 + side / 4, 0.13, side / 2)
        bar.imshow(np.linspace(1, -1, 64)[:, None], cmap=WEIGHTS, aspect="auto", vmin=-1, vmax=1)
        bar.yaxis.tick_right()
        bar.set_yticks([0, 31.5, 63], ["1", "0", "−1"], fontsize=9)
        write(figure, 0.35 + len(W) * pitch, 0.45 + side / 4, r"$W^TW$", 10, va="bottom")
    return figure


def collapse(
    density: np.ndarray,
    count: np.ndarray,
    planes: np.ndarray,
    at: np.ndarray,
    seeds: tuple[np.ndarray, np.ndarray],
    per_set: int,
    paper: Sequence[tuple[float, float, int]] = (),
) -> Figure:
    """How many pairs collapse, a step curve over density, under planes of the optimum. Elhage et al. 2022.

    density (d,) and count (d,): the exact optimum. planes W (k, 2, n) drawn above at densities `at` (k,).
    seeds: densities (s,) and the share of trained models with 0, 1 ... collapsed pairs, (s, pairs + 1), as
    discs by area. paper: intervals (low, high, count) drawn as bands.
    """
    planes = grid(planes, "planes", (None, 2, None))
    density = grid(density, "density", (None,))
    count = grid(count, "count", (len(density),))
    at = grid(at, "at", (len(planes),))
    shares = grid(seeds[1], "shares of seeds", (len(seeds[0]), None))
    pairs = shares.shape[1] - 1
    limit = 1.25 * max(1.0, float(np.nanmax(np.linalg.norm(planes, axis=1))))
    side, pitch, left = 1.45, 1.57, 0.85
    width = left + len(planes) * pitch + 0.1
    kinds = np.arange(planes.shape[2]) // per_set
    with styled():
        figure = Figure(figsize=(width, side + 4.35), dpi=DPI, facecolor="white")
        span = len(planes) * pitch - (pitch - side)
        axes = place(figure, left, side + 1.05, span, 2.6)
        axes.set(xscale="log", xlim=(density.min(), density.max()), ylim=(-0.45, pairs + 0.45))
        axes.spines[["left", "bottom"]].set(visible=True)
        for number, (low, high, value) in enumerate(paper):
            axes.fill_between([low, high], value - 0.22, value + 0.22, color="#e9dcc3", linewidth=0, zorder=1,
                              label="the paper's ranges" if number == 0 else None)  # fmt: skip
        axes.plot(density, count, color="black", linewidth=2, drawstyle="steps-mid", zorder=3,
                  label="exact global optimum")  # fmt: skip
        for value in range(pairs + 1):
            axes.scatter(seeds[0], np.full(len(seeds[0]), value), 170 * shares[:, value], color="#0072B2",
                         alpha=0.55, linewidth=0, zorder=2, clip_on=False,
                         label="trained seeds (area: share)" if value == 0 else None)  # fmt: skip
        axes.set_yticks(range(pairs + 1), [str(v) for v in range(pairs + 1)], fontsize=10)
        axes.set_ylabel("collapsed pairs", fontsize=10.5)
        axes.set_xlabel("density of a pair, 1 − S", fontsize=10.5)
        ticks = [
            t
            for t in (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
            if density.min() <= t <= density.max()
        ]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{t:g}" for t in ticks], fontsize=9.5)
        axes.tick_params(length=4, color=INK)
        axes.legend(loc="upper left", fontsize=9, frameon=False, markerscale=0.6)
        for k, W in enumerate(planes):
            x = left + k * pitch
            small = place(figure, x, 0.42, side, side)
            plane(small, upright(W), [SET_COLOURS[i] for i in kinds], [SHAPES[i] for i in kinds], limit)
            write(figure, x + side / 2, 0.33, f"1 − S = {at[k]:.3g}", 9.5, ha="center", color=INK)
            where = left + span * float(np.log(at[k] / density.min()) / np.log(density.max() / density.min()))
            lead = place(figure, 0, 0.42 + side, width, 0.63)
            lead.set(xlim=(0, width), ylim=(0.63, 0), facecolor="none")
            lead.plot([x + side / 2, where], [0.06, 0.57], color="#bbbbbb", linewidth=1)
    return figure
