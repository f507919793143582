"""Draws whether true features were found: by feature and method, over a grid of settings, and against L0."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from superposition.errors import ConfigError
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, TRACK, Figure, fitted, grid, hatched, styled

SHADES = colormaps["cividis"]  # one hue of brightness for every eye
MARKS = ("o", "s", "^", "D", "v", "P", "X")
TICKS = 8.0


class Map(NamedTuple):
    """One grid of values (rows, columns) from 0 to `top`, printed in its cells; those above `bar` are framed.

    >>> Map("MMCS", np.array([[0.5, 0.9]]), bar=0.8).text
    '{:.2f}'
    """

    title: str
    values: np.ndarray
    text: str = "{:.2f}"
    bar: float | None = None
    top: float = 1.0


class Curve(NamedTuple):
    """Values (points, seeds) at x (points, seeds): drawn as their means with a band from least to largest.

    >>> Curve(x=np.array([[1.0, 2.0]]), values=np.array([[0.5, 0.6]])).dashed
    False
    """

    x: np.ndarray
    values: np.ndarray
    dashed: bool = False


def maps(
    panels: Sequence[Map], rows: Sequence[str], columns: Sequence[str], *, ylabel: str, xlabel: str
) -> Figure:
    """Draw heat maps above each other over one grid of settings; NaN is hatched.

    >>> figure = maps([Map("MMCS", np.array([[0.5, 0.9]]))], rows=["TopK"], columns=["k = 1", "k = 2"], ylabel="", xlabel="")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.50', '0.90']
    """
    if not panels:
        raise ConfigError("there are no maps to draw; give at least one.")
    shape = (len(rows), len(columns))
    with styled():
        size = (max(5.0, 2.4 + 0.62 * shape[1]), len(panels) * (0.75 + 0.36 * shape[0]) + 0.4)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        stack = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, panel in zip(stack, panels, strict=True):
            values = grid(panel.values, "values", shape)
            _cells(axes, values / panel.top, [[panel.text.format(v) for v in row] for row in values])
            if panel.bar is not None:
                for i, j in np.argwhere(values > panel.bar):
                    frame = Rectangle(
                        (j - 0.46, i - 0.43), 0.92, 0.86, fill=False, edgecolor="#D00000", linewidth=1.8
                    )
                    axes.add_patch(frame)
            note = "" if panel.bar is None else f"   (framed: above {panel.bar:g})"
            axes.set_title(
                fitted(panel.title + note, 10, 72 * size[0] - 100), fontsize=10, loc="left", parse_math=False
            )
            axes.set_yticks(range(shape[0]), [fitted(r, TICKS, 110) for r in rows])
            axes.set_ylabel(ylabel)
            axes.set_xticks(range(shape[1]), [] if axes is not stack[-1] else list(columns))
        stack[-1].set_xlabel(xlabel)
    return figure


def found(best: Mapping[str, np.ndarray], norms: np.ndarray, *, represented: float, bar: float) -> Figure:
    """Draw the largest cosine of any direction with each feature, a row a method (name -> (n,)), under norms (n,).

    Columns are ordered by norm; those below `represented` have no direction to be found and are left grey.
    Red frames mark what is not found, that is below `bar`; how many are found stands to the right.

    >>> figure = found({"TopK": np.array([0.99, 0.4])}, np.array([1.0, 0.9]), represented=0.5, bar=0.95)
    >>> figure.axes[1].texts[0].get_text()
    '1 of 2'
    """
    if not best:
        raise ConfigError("there are no methods to draw; give at least one.")
    norms = grid(norms, "norms", (None,))
    order = np.argsort(-norms, kind="stable")
    kept = norms[order] > represented
    values = np.array([grid(v, name, norms.shape)[order] for name, v in best.items()])
    values[:, ~kept] = np.nan
    n, count = len(norms), int(kept.sum())
    with styled():
        size = (2.6 + 0.3 * n, 2.2 + 0.3 * len(best))
        figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        top, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 0.28 * len(best)))
        top.bar(range(n), norms[order], 0.8, color=[INK if k else "#bbbbbb" for k in kept])
        top.axhline(represented, color=MUTED, linewidth=0.8, dashes=(3, 2))
        top.set(ylabel="Norm", ylim=(0, None))
        top.spines[["top", "right"]].set_visible(False)
        top.tick_params(labelsize=TICKS, length=0)
        image = axes.imshow(values, cmap=SHADES, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_facecolor(TRACK)
        for i, j in np.argwhere(np.nan_to_num(values, nan=1.0) < bar):
            frame = Rectangle((j - 0.42, i - 0.4), 0.84, 0.8, fill=False, edgecolor="#D00000", linewidth=1.3)
            axes.add_patch(frame)
        axes.set_yticks(range(len(best)), [fitted(name, 9, 150) for name in best], fontsize=9)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for i, row in enumerate(values):
            label = f"{int((row[kept] >= bar).sum())} of {count}"
            axes.text(n - 0.3, i, label, va="center", ha="left", fontsize=9, clip_on=False)
        axes.set_xlabel(f"Features, by norm (grey: not represented; red: cosine below {bar:g})")
        bar_axes = figure.colorbar(image, ax=[top, axes], shrink=0.6, pad=0.02, ticks=[0, 0.5, 1])
        bar_axes.set_label("largest cosine")
        bar_axes.outline.set_visible(False)  # type: ignore[operator]
        bar_axes.ax.tick_params(length=0, labelsize=TICKS)
    return figure


def against_l0(
    panels: Mapping[str, Mapping[str, Curve]],
    true_l0: float | None,
    *,
    limits: Mapping[str, tuple[float, float]],
) -> Figure:
    """Draw curves over L0 in panels (title -> name -> curve), with a vertical line at the true L0, where there is one.

    >>> curve = Curve(x=np.array([[1.0], [2.0]]), values=np.array([[0.5], [0.6]]))
    >>> figure = against_l0({"MMCS": {"TopK": curve}}, true_l0=1.5, limits={"MMCS": (0.0, 1.0)})
    >>> [float(end) for end in figure.axes[0].get_ylim()]
    [0.0, 1.0]
    """
    if not panels:
        raise ConfigError("there are no panels to draw; give at least one.")
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    columns = (
        4 if len(panels) == 3 else min(3, len(panels))
    )  # the legend stands beside three, else in a row below
    rows = -(-(len(panels) + 1) // columns)  # one cell for the legend
    with styled():
        size = (3.7 * columns, 2.9 * rows)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        stack = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        handles: dict[str, Any] = {}
        several = any(np.shape(c.values)[-1] > 1 for curves in panels.values() for c in curves.values())
        for axes, (title, curves) in zip(stack, panels.items(), strict=False):
            for name, curve in curves.items():
                handles.setdefault(name, _curve(axes, curve, names.index(name)))
            if true_l0 is not None:
                axes.axvline(true_l0, color=INK, linewidth=1.0, dashes=(4, 3))
            axes.set_title(fitted(title, 10.5, 330), fontsize=10.5, loc="left", parse_math=False)
            axes.set_xlim(left=0)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(which="both", labelsize=TICKS, length=3)
            axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
            axes.set_axisbelow(True)
            if title in limits:
                axes.set_ylim(limits[title])
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("$L_0$ of the SAE")
        for axes in stack[len(panels) :]:
            axes.set_axis_off()
        if true_l0 is not None:
            handles["true $L_0$"] = Line2D([], [], color=INK, linewidth=1.0, dashes=(4, 3))
        stack[len(panels)].legend(
            handles.values(),
            handles,
            loc="center left",
            frameon=False,
            fontsize=10,
            title="Mean, and range over seeds" if several else None,
            alignment="left",
        )
    return figure


def _curve(axes: Axes, curve: Curve, number: int) -> Any:
    colour = LINES[number % len(LINES)]
    x, y = np.asarray(curve.x, float), np.asarray(curve.values, float)
    order = np.argsort(x.mean(1), kind="stable")
    x, y = x[order], y[order]
    style: dict[str, Any] = {"dashes": (5, 2)} if curve.dashed else {}
    mark = MARKS[number % len(MARKS)]
    (line,) = axes.plot(x.mean(1), y.mean(1), color=colour, linewidth=1.4, marker=mark, markersize=4, **style)
    axes.fill_between(x.mean(1), y.min(1), y.max(1), color=colour, alpha=0.2, linewidth=0)
    return line


def _cells(axes: Axes, shares: np.ndarray, words: Sequence[Sequence[str]]) -> None:
    """Draw a heat map of shares in [0, 1] with a word in every cell, and hatching where there is no value."""
    if not np.isfinite(shares).all():
        hatched(axes)
    shown = np.ma.masked_invalid(shares)
    axes.imshow(shown, cmap=SHADES, vmin=0, vmax=1, aspect="auto", interpolation="nearest", zorder=1)
    for i, j in np.argwhere(np.isfinite(shares)):
        colour = "black" if shares[i, j] > 0.55 else "white"
        axes.text(j, i, words[i][j], ha="center", va="center", fontsize=8, color=colour, zorder=2)
    axes.tick_params(length=0, labelsize=TICKS)
    axes.spines[:].set_visible(False)
