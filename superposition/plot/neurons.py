"""Draws each neuron as a stack of rectangles, one a feature with height |W|, as the papers do for privileged bases."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap

from superposition.errors import ConfigError
from superposition.geometry.matrix import interference
from superposition.geometry.neurons import concentration
from superposition.plot.models import toy_models
from superposition.plot.style import (
    DPI,
    FRAME,
    INK,
    MUTED,
    SUPERPOSITION,
    WEIGHTS,
    Figure,
    fitted,
    grid,
    hatched,
    place,
    quote,
    styled,
    text_width,
    wrapped,
    write,
)

PX = 1 / DPI
MONOSEMANTIC, POLYSEMANTIC = "#dbe6f4", "#fbe3c8"  # faint, and apart in every kind of colour vision
EDGE = "#55553a"
SEMANTICS = LinearSegmentedColormap.from_list("semantics", [MONOSEMANTIC, POLYSEMANTIC])
DEEPEST = 1.5  # heights of the tallest stack that is shown below the axis
NEGLIGIBLE = 0.002  # of the axis: a rectangle thinner than this is not drawn
FEW = 8  # neurons up to which panels stand side by side and rectangles carry their feature's number
LEFT, TOP, RIGHT, TITLE, LINE = 62 * PX, 14 * PX, 250 * PX, 30 * PX, 19 * PX
NARROW, BROAD, STACK, GAP, CAPTION = 20 * PX, 34 * PX, 270 * PX, 60 * PX, 9.5


def neurons(
    W: Any,
    titles: Sequence[str | float] | None = None,
    *,
    captions: Sequence[str] = (),
    order: np.ndarray | None = None,
    scale: str = "shared",
    signed: bool = False,
    matrix: bool = False,
    polysemantic: np.ndarray | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw panels of stacked bars, a column a neuron (Elhage et al. 2022, "Superposition in a privileged basis").

    W is a sweep (the best seed of every setting has a panel), a trained toy model or several, which bring their own
    titles, or an array (panels, n_hidden, n_features). A title that is a number is a density. A rectangle's colour is
    its feature's superposition, sum_{j != i} (What_i . W_j)^2; a column's background how polysemantic its neuron is:
    `polysemantic` (panels, n_hidden) from 0 to 1, or else by `geometry.neurons.concentration`, 1 for a neuron whose
    largest weight holds half of its square or less. `signed` draws negative weights below the axis; else heights are
    |W|. `order` (panels, n_hidden) lists neurons from left to right, by default those of the first features first.
    scale="neuron" makes every neuron's largest |W| 1; "shared" draws W as it is. `matrix` adds W itself above.
    `columns` panels a row, by default all where neurons are few. Raises ConfigError for shapes that do not fit.

    >>> figure = neurons(np.array([[[1.0, 0.0], [0.5, 1.0]]]), titles=["Two neurons"])
    >>> type(figure).__name__
    'Figure'
    """
    models = toy_models(W)
    if models is not None:
        W, titles = models.W, models.titles if titles is None else titles
    if titles is None:
        raise ConfigError("weights need titles beside them: neurons(W, titles), or give a sweep")
    W = grid(W, "W", (None, None, None))
    panels, m, n = W.shape
    if len(titles) != panels or (captions and len(captions) != panels):
        raise ConfigError(
            f"{len(titles)} titles and {len(captions)} captions for {panels} panels; give one a panel."
        )
    if scale not in ("shared", "neuron"):
        raise ConfigError(f"scale must be one of shared, neuron; got {scale!r}")
    known = np.isfinite(W).all((1, 2))
    W = np.where(known[:, None, None], W, 0.0)
    colours = SUPERPOSITION(np.clip(interference(W), 0, 1))
    if polysemantic is None:
        polysemantic = np.clip(2 * (1 - concentration(W)), 0, 1)
    polysemantic = grid(polysemantic, "polysemantic", (panels, m))
    if scale == "neuron":
        largest = np.abs(W).max(2, keepdims=True)
        W = W / np.where(largest > 0, largest, 1.0)
    order = _order(W) if order is None else _checked(order, panels, m)
    per_row = min(panels, columns or (6 if m <= FEW else 1))
    rows = -(-panels // per_row)
    stack = STACK if m <= FEW else 0.6 * STACK
    width = max(m * (BROAD if m <= FEW else NARROW), 78 * PX)
    heat = n * 11 * PX + 16 * PX if matrix else 0.0
    room = 72 * (width + GAP - 18 * PX)
    prose = [wrapped(c, CAPTION, room - 24) for c in captions] or [[]] * panels
    deepest = max(len(lines) for lines in prose)
    pitch = TITLE + heat + stack + 26 * PX + deepest * LINE + 26 * PX
    top, bottom = _limits(W, signed)
    with styled():
        size = (LEFT + per_row * (width + GAP) - GAP + RIGHT, TOP + rows * pitch)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        for k in range(panels):
            x, y = LEFT + k % per_row * (width + GAP), TOP + k // per_row * pitch
            _title(figure, x, y, titles[k], room)
            own, hue = W[k][order[k]], polysemantic[k][order[k]]
            if matrix:
                axes = place(figure, x, y + TITLE, width, heat - 16 * PX)
                axes.imshow(own.T, cmap=WEIGHTS, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
                if k % per_row == 0:
                    write(figure, x - 8 * PX, y + TITLE, "Features →", 9, rotation=270, ha="right", va="top")
            axes = place(figure, x, y + TITLE + heat, width, stack)
            axes.set(xlim=(0, m), ylim=(bottom, top))
            if known[k]:
                _stacks(axes, own, colours[k], hue, signed)
            else:
                hatched(axes)
            if k % per_row == 0:
                _axis(axes)
            foot = y + TITLE + heat + stack
            write(figure, x + width / 2, foot + 5 * PX, "Neurons", 9, color=MUTED, ha="center", va="top")
            for number, line in enumerate(prose[k]):
                for word, weight, start in line:
                    below = foot + 42 * PX + number * LINE
                    quote(figure, x + start / 72, below, word, CAPTION, weight=weight, color="#555555")
        deep = signed and bool((np.maximum(-W, 0).sum(2) > -bottom).any())
        _legend(figure, size[0] - RIGHT + 22 * PX, TOP + TITLE, matrix, deep)
    return figure


def _order(W: np.ndarray) -> np.ndarray:
    """Return neurons sorted by the feature of their largest weight, (panels, n_hidden)."""
    return np.argsort(np.abs(W).argmax(2), axis=1, kind="stable")


def _checked(order: Any, panels: int, m: int) -> np.ndarray:
    order = np.asarray(order)
    if order.shape != (panels, m) or not (np.sort(order, 1) == np.arange(m)).all():
        raise ConfigError(f"order must list all {m} neurons of each of {panels} panels; got {order.tolist()}")
    return order


def _limits(W: np.ndarray, signed: bool) -> tuple[float, float]:
    """Return the heights of the tallest stacks above and below the axis; a few that run very deep are cut off."""
    if not signed:
        return float(max(np.abs(W).sum(2).max(), 1e-9)) * 1.04, 0.0
    up, down = np.maximum(W, 0).sum(2).max(), np.maximum(-W, 0).sum(2).max()
    down = min(down, max(DEEPEST * up, np.median(np.maximum(-W, 0).sum(2))))
    room = 0.04 * max(up + down, 1e-9)
    return float(up + room), float(-down - room)


def _stacks(axes: Axes, W: np.ndarray, colours: np.ndarray, hue: np.ndarray, signed: bool) -> None:
    """Draw backgrounds by `hue` (n_hidden,), and the stacks of W (n_hidden, n_features), the largest weight at the axis."""
    low, high = axes.get_ylim()
    for k, value in enumerate(hue):
        axes.axvspan(k + 0.04, k + 0.96, color=SEMANTICS(float(value)), linewidth=0, zorder=0)
    boxes, owners = [], []
    for k, row in enumerate(W):
        tops = {1: 0.0, -1: 0.0}
        for i in np.argsort(-np.abs(row), kind="stable"):
            side = -1 if signed and row[i] < 0 else 1
            start, tops[side] = tops[side], tops[side] + side * abs(float(row[i]))
            if abs(row[i]) > NEGLIGIBLE * (high - low):
                boxes.append(
                    [(k + a, b) for a, b in ((0.16, start), (0.84, start), (0.84, tops[side]), (0.16, tops[side]))]
                )  # fmt: skip
                owners.append(int(i))
        if tops[-1] < low:
            said = f"{tops[-1]:.0f}".replace("-", "−")
            box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9}
            axes.text(
                k + 0.5,
                low + 0.01 * (high - low),
                said,
                fontsize=7.5,
                ha="center",
                va="bottom",
                zorder=5,
                bbox=box,
            )
    edge = 0.7 if len(W) <= FEW else 0.2
    axes.add_collection(
        PolyCollection(
            boxes, facecolors=colours[owners], edgecolors=EDGE, linewidths=edge, zorder=2, gid="weights"
        )
    )
    if len(W) <= FEW:
        _numbers(axes, colours, boxes, owners)
    if signed:
        axes.axhline(0, color=INK, linewidth=0.8, zorder=3)


def _numbers(axes: Axes, colours: np.ndarray, boxes: list[Any], owners: list[int]) -> None:
    """Write into each rectangle which feature it is, counted from 0, wherever there is room."""
    low, high = axes.get_ylim()
    cut = {
        box[0][0] for box in boxes if min(box[0][1], box[2][1]) < low
    }  # their depth is written at the floor
    for box, i in zip(boxes, owners, strict=True):
        floor = low + 0.07 * (high - low) if box[0][0] in cut else low
        start, end = max(box[0][1], floor), max(box[2][1], floor)
        if abs(end - start) > 0.036 * (high - low):
            dark = float(np.dot(colours[i][:3], (0.3, 0.59, 0.11))) < 0.5
            style: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if dark else INK}
            middle = (box[0][0] + box[1][0]) / 2
            axes.text(middle, (start + end) / 2, str(i), fontsize=7.5, zorder=4, **style)


def _axis(axes: Axes) -> None:
    """Label a few heights on the left of a row's first panel."""
    axes.spines["left"].set(visible=True, color=FRAME)
    low, high = axes.get_ylim()
    step = 1.0 if high - low < 6 else 2.0 if high - low < 12 else 5.0
    ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    axes.set_yticks(ticks, [f"{t:g}".replace("-", "−") for t in ticks], fontsize=9)
    axes.tick_params(axis="y", length=2, color=FRAME)


def _title(figure: Figure, x: float, y: float, title: str | float, room: float) -> None:
    if isinstance(title, str):
        size = 10.0
        quote(figure, x, y, fitted(title, size, max(room, text_width("m" * 4, size))), size, va="top")
    else:
        density = "1.0" if title == 1 else f"{title:g}"
        write(figure, x, y, rf"$1-S\,=\,{density}$", 11, va="top", color="#222222")


def _legend(figure: Figure, x: float, y: float, matrix: bool, deep: bool) -> None:
    """Draw the key of the colours of rectangles, backgrounds and matrix; deep: some stacks are cut off below."""
    write(figure, x, y, "Feature's superposition", 10, va="top")
    write(figure, x, y + 26 * PX, r"$\sum_{j \neq i}\,(\hat{W}_i \cdot W_j)^2$", 11, va="top")
    _swatches(figure, x, y + 92 * PX, SUPERPOSITION, ("0", "≥1"))
    write(figure, x, y + 132 * PX, "Neuron", 10, va="top")
    for row, (colour, word) in enumerate(((MONOSEMANTIC, "monosemantic"), (POLYSEMANTIC, "polysemantic"))):
        place(figure, x, y + (158 + 24 * row) * PX, 18 * PX, 16 * PX).set(facecolor=colour)
        write(figure, x + 26 * PX, y + (158 + 24 * row) * PX, word, 9.5, va="top")
    if matrix:
        write(figure, x, y + 226 * PX, "Weight", 10, va="top")
        _swatches(figure, x, y + 272 * PX, WEIGHTS, ("−1", "1"))
    if deep:
        write(
            figure,
            x,
            y + 316 * PX,
            "A number at the floor:\nhow deep a cut stack goes",
            9,
            va="top",
            color=MUTED,
        )


def _swatches(figure: Figure, x: float, y: float, colours: Any, ends: tuple[str, str]) -> None:
    axes = place(figure, x, y, 90 * PX, 16 * PX)
    axes.imshow(
        np.linspace(0, 1, 5)[None], cmap=colours, aspect="auto", vmin=0, vmax=1, interpolation="nearest"
    )
    for across, word in zip((9, 81), ends, strict=True):
        write(figure, x + across * PX, y - 3 * PX, word, 9, color=MUTED, ha="center", va="bottom")
