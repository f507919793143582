"""Draws each model as a column, W^T W above its feature norms, so that superposition is seen to grow with sparsity."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.mathtext import MathTextParser

from superposition.errors import ConfigError
from superposition.plot.models import toy_models
from superposition.plot.style import (
    DPI,
    INK,
    MUTED,
    SUPERPOSITION,
    TRACK,
    WEIGHTS,
    Figure,
    fitted,
    grid,
    hatched,
    place,
    plain,
    quote,
    styled,
    wrapped,
    write,
)

# Inches, in whole pixels of the saved picture: 80 features then have as many pixels each, as 20 have.
PX = 1 / DPI
HEAT, STRIP, PITCH, TRACK_END = 160 * PX, 8 * PX, 207 * PX, 1.05
LEFT, BREAK, RIGHT, BARS = 40 * PX, 124 * PX, 190 * PX, 320 * PX
LINE, PROSE = 26 * PX, 9.6


class Group(NamedTuple):
    """Neighbouring columns `first` to `last` that share a caption; a title begins a new block, behind a rule.

    >>> Group("1 - S = 0.1", first=0, last=2, caption="Three seeds.")
    Group(title='1 - S = 0.1', first=0, last=2, caption='Three seeds.')
    """

    title: str
    first: int
    last: int
    caption: str = ""


def columns(
    W: Any,
    b: np.ndarray | None = None,
    titles: Sequence[str | float] | None = None,
    *,
    importance_label: str | None = None,
    groups: Sequence[Group | tuple[str, int, int, str]] = (),
    hidden_rule: bool = False,
) -> Figure:
    """Draw a column a model: W^T W and b above, norms of the features below (Elhage et al. 2022).

    Args:
        W: a sweep (the best seed of every setting has a column), a trained toy model or several, or an array of
            weights (cols, m, n).
        b: biases (cols, n), beside an array of weights.
        titles: one a column; a number is a density, drawn as 1 - S. Models bring their own.
        importance_label: mathtext, such as `0.7^i`, drawn as it stands where it does not parse.
        groups: captions under neighbouring columns.
        hidden_rule: marks where n_hidden features end.

    Raises:
        ConfigError: shapes that do not fit each other, or models that no drawing puts side by side.

    >>> import superposition as sp
    >>> from superposition.training import sweep
    >>> run = sp.ToyRun(sp.ReLUOutput(5, 2), importance_base=0.9, steps=20, batch_size=64)
    >>> figure = columns(sweep(run, {"density": (1.0, 0.1), "seed": range(2)}))
    """
    models = toy_models(W)
    if models is not None:
        W, b = models.W, models.b
        titles = models.titles if titles is None else titles
        if importance_label is None and models.importance_base != 1:
            importance_label = f"{models.importance_base:g}^i"
    elif b is None or titles is None:
        raise ConfigError(
            "weights need biases and titles beside them: columns(W, b, titles), or give a sweep"
        )
    W = grid(W, "W", (None, None, None))
    cols, m, n = W.shape
    b = grid(b, "b", (cols, n))
    if len(titles) != cols:
        raise ConfigError(f"{len(titles)} titles for {cols} columns; give one title a column.")
    blocks = [Group(*group) for group in groups]
    for group in blocks:
        if not 0 <= group.first <= group.last < cols:
            raise ConfigError(f"group {group.title!r} spans columns {group.first} to {group.last} of {cols}.")
    opens = {group.first: group.title for group in blocks if group.title}
    shift = np.cumsum([BREAK if column in opens and column > 0 else 0.0 for column in range(cols)])
    left = LEFT + np.arange(cols) * PITCH + shift
    prose = [wrapped(group.caption, PROSE, 72 * _span(left, group)) for group in blocks]
    depth = max((len(lines) for lines, group in zip(prose, blocks, strict=True) if group.caption), default=0)
    norms = np.linalg.norm(W, axis=1)
    longest = float(np.max(norms, where=np.isfinite(norms), initial=0.0))
    # Longer features lengthen every track alike; one that diverged runs off the end of it.
    end = min(max(TRACK_END, 1.02 * longest), 1.2)
    with styled():
        size = (left[-1] + PITCH + RIGHT, 660 * PX + (50 * PX + depth * LINE if depth else 0))
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        for column, title in enumerate(titles):
            x = left[column]
            if column in opens or column == 0:
                _opening(figure, x, opens.get(column, ""), column > 0, size[1])
            _title(figure, x, title)
            _heat(figure, x, W[column], b[column])
            axes = place(figure, x, 318 * PX, HEAT * end, BARS)
            _bars(axes, W[column], end)
            if hidden_rule:
                axes.axhline(m, color=MUTED, linewidth=0.8, dashes=(3, 2), gid="hidden-rule")
            write(figure, x, 311 * PX, r"$\|W_i\|$", 11, va="bottom")
        for group, lines in zip(blocks, prose, strict=True):
            if group.caption:
                _caption(figure, left[group.first], _span(left, group), lines)
        _legends(figure, left[-1] + PITCH + 10 * PX, n, m, importance_label or "")
    return figure


def _span(left: np.ndarray, group: Group) -> float:
    """Return the width in inches of a group's columns."""
    return float(left[group.last] - left[group.first] + HEAT * TRACK_END)


def _opening(figure: Figure, x: float, title: str, rule: bool, height: float) -> None:
    """Draw a block's heading, its arrow along the features, and the rule that separates it from the block before."""
    quote(figure, x + 2 * PX, 30 * PX, plain(title, 60), 12, weight="bold", color="#111111")
    write(figure, x - 11 * PX, 318 * PX, "Features", 9, rotation=90, ha="center", va="top")
    arrow = place(figure, x - 16 * PX, 416 * PX, 10 * PX, 30 * PX)
    arrow.set_axis_off()
    arrow.annotate("", (0.5, 0), (0.5, 1), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1})
    if rule:
        line = place(figure, x - 82 * PX, 6 * PX, 1.5 * PX, height - 12 * PX)
        line.set(facecolor="#aaaaaa")


def _title(figure: Figure, x: float, title: str | float) -> None:
    """Write a density as the paper does, or words in grey."""
    if isinstance(title, str):
        quote(figure, x, 69 * PX, fitted(title, 9.5, 72 * (PITCH - 12 * PX)), 9.5, color=MUTED)
    else:
        density = "1.0" if title == 1 else f"{title:g}"
        write(figure, x, 69 * PX, rf"$1-S\;=\;{density}$", 11.5, color="#222222")


def _heat(figure: Figure, x: float, W: np.ndarray, b: np.ndarray) -> None:
    """Draw W^T W (n, n) and b (n,) on a colour scale from -1 to 1; W is (m, n)."""
    write(figure, x + 2 * PX, 111 * PX, r"$W^TW$", 11, va="bottom")
    write(figure, x + HEAT + 13 * PX, 111 * PX, "$b$", 11, va="bottom", ha="center")
    for start, width, values in ((0.0, HEAT, W.T @ W), (HEAT + 9 * PX, STRIP, b[:, None])):
        axes = place(figure, x + start, 116 * PX, width, HEAT)
        if not np.isfinite(values).all():
            hatched(axes)
        shown = np.ma.masked_invalid(values)
        axes.imshow(shown, cmap=WEIGHTS, vmin=-1, vmax=1, aspect="auto", interpolation="nearest", zorder=1)


def _bars(axes: Axes, W: np.ndarray, end: float) -> None:
    """Draw bars of the norms, coloured by sum_{j != i} (What_i . W_j)^2, the first feature on top; W is (m, n)."""
    norms = np.linalg.norm(W, axis=0)
    n = len(norms)
    known = np.isfinite(norms)
    axes.set(xlim=(0, end), ylim=(n, 0), facecolor=TRACK)
    if not known.all():
        lost: dict[str, Any] = {
            "facecolor": "white",
            "edgecolor": "#999999",
            "hatch": "//////",
            "linewidth": 0,
        }
        axes.barh(np.flatnonzero(~known) + 0.5, end, 1, label="unknown", **lost)
    # A feature that is not known interferes with no one: the rest keep their colours.
    overlap = np.where(known, W, 0.0).T @ np.where(known, W, 0.0)
    np.fill_diagonal(overlap, 0.0)
    safe = np.where(known & (norms > 0), norms, 1.0)
    interference = (overlap**2).sum(axis=1) / safe**2
    # A white gap of one pixel or two, whatever n is: it parts the bars and never swallows them.
    gap = min(0.3, 1.5 * n * PX / BARS)
    rows = np.flatnonzero(known)
    colours = SUPERPOSITION(np.clip(interference[rows], 0, 1))
    axes.barh(rows + 0.5, norms[rows], 1, color="white", linewidth=0, snap=False, label="gaps")
    axes.barh(rows + 0.5, norms[rows], 1 - gap, color=colours, linewidth=0, snap=False, label="norms")
    # Yellow on light grey is nearly one brightness: a thin dark end shows its length to every eye.
    rows = rows[(interference[rows] > 0.6) & (norms[rows] > 0.03)]
    axes.vlines(norms[rows], rows + gap / 2, rows + 1 - gap / 2, color="#7d7d3a", linewidth=0.7, zorder=3)


def _caption(figure: Figure, x: float, width: float, lines: list[list[tuple[str, str, float]]]) -> None:
    """Draw a rule and prose under some columns."""
    place(figure, x, 664 * PX, width, 1.5 * PX).set(facecolor="#cccccc")
    for row, line in enumerate(lines):
        for word, weight, start in line:
            quote(figure, x + start / 72, 704 * PX + row * LINE, word, PROSE, weight=weight, color="#555555")


def _legends(figure: Figure, x: float, n: int, m: int, importance_label: str) -> None:
    """Draw swatches of both colour scales, and the parameters."""
    write(figure, x, 116 * PX, "Weight / Bias\nElement Values", 10.5, va="top", linespacing=1.25)
    _swatches(figure, x, 213 * PX, WEIGHTS, {0: "−1", 2: "0", 4: "1"})
    write(figure, x, 318 * PX, "Superposition", 10.5, va="top")
    write(figure, x, 343 * PX, r"$\sum_{j \neq i}\,(\hat{W}_i \cdot W_j)^2$", 11, va="top")
    _swatches(figure, x, 432 * PX, SUPERPOSITION, {0: "0", 4: "≥1"})
    write(figure, x, 520 * PX, "Parameters", 10.5, va="top")
    lines = [rf"$n\;=\;{n}$", rf"$m\;=\;{m}$"]
    label = plain(importance_label, 40).strip("$")
    try:
        MathTextParser("path").parse(rf"$I_i\;=\;{label}$")
        lines += [rf"$I_i\;=\;{label}$"] if label else []
    except ValueError:
        quote(figure, x, 611 * PX, f"I = {label}", 9)
    for row, line in enumerate(lines):
        write(figure, x, (563 + 24 * row) * PX, line, 11)


def _swatches(figure: Figure, x: float, y: float, colours: Colormap, labels: dict[int, str]) -> None:
    """Draw five squares from one end of a colour scale to the other."""
    axes = place(figure, x, y, 90 * PX, 18 * PX)
    axes.imshow(
        np.linspace(0, 1, 5)[None], cmap=colours, aspect="auto", vmin=0, vmax=1, interpolation="nearest"
    )
    for square, label in labels.items():
        middle = x + (18 * square + 9) * PX
        write(figure, middle, y - 3 * PX, label, 9, color=MUTED, ha="center", va="bottom")
