"""The input weights of every neuron of a model that computes, as stacked bars: monosemantic or not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from experiments.lab.claim import Result
from superposition.errors import ConfigError
from superposition.plot.style import (
    DPI,
    FRAME,
    INK,
    MUTED,
    WEIGHTS,
    Figure,
    grid,
    place,
    quote,
    styled,
    write,
)

MONOSEMANTIC_COLOUR, POLYSEMANTIC_COLOUR = "#2f6db5", "#e58a1f"  # apart in every kind of colour vision
WIDTH, STACK, PITCH, LEFT, GAP = 6.0, 1.35, 2.1, 0.55, 0.55  # inches


class WarmUp(NamedTuple):
    """A model small enough to show whole: W_in (m, n), W_out (n, m), and words above it."""

    W_in: np.ndarray
    W_out: np.ndarray
    title: str


def draw(result: Result) -> Figure:
    """Warm-up weights, then the input weights of 40 neurons at seven densities."""
    arrays, config = result.arrays, result.config
    fraction, ratio = arrays["fraction_monosemantic"], arrays["loss"] / arrays["dedicated_loss"]
    notes = [
        f"{round(f * config.n_hidden)} of {config.n_hidden} neurons monosemantic, loss {r:.2f} of dedicated"
        for f, r in zip(fraction, ratio, strict=True)
    ]
    titles = [f"1 − S = {p:g}" for p in config.densities]
    warm = WarmUp(
        arrays["warm_up_W_in"], arrays["warm_up_W_out"], f"n = 3, m = 6, 1 − S = {config.warm_up_density:g}"
    )
    return computation(arrays["W_in"], arrays["monosemantic"], titles, notes, warm)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"1-S = {p:g}: {round(f * result.config.n_hidden)}"
        for p, f in zip(result.config.densities, result.arrays["fraction_monosemantic"], strict=True)
    ]
    return (
        f"Input weights of {result.config.n_hidden} neurons as stacked bars, one panel a density. "
        f"Monosemantic neurons: {'; '.join(parts)}. First a model of 3 features in 6 neurons as two heat maps."
    )


def computation(
    W_in: np.ndarray, monosemantic: np.ndarray, titles: Sequence[str], notes: Sequence[str], warm_up: WarmUp
) -> Figure:
    """Input weights as stacked bars, a panel a density: W_in (panels, m, n). Elhage et al. 2022, "Computation".

    Every row is scaled to a largest |weight| of 1. A neuron is a column, a feature's weight a piece of it, the
    largest next to the axis, positive above, negative below; `monosemantic` (panels, m) says its colour. Neurons
    stand in the order of the feature they weigh most. Each panel has a title and a note under it. Raises ConfigError.
    """
    W = grid(W_in, "W_in", (None, None, None))
    panels, m, _ = W.shape
    mono = grid(monosemantic, "monosemantic", (panels, m)) > 0
    if len(titles) != panels or len(notes) != panels:
        raise ConfigError(
            f"{len(titles)} titles and {len(notes)} notes for {panels} panels; give one a panel."
        )
    largest = np.abs(W).max(2, keepdims=True)
    W = W / np.where(largest > 0, largest, 1.0)
    # Panels side by side share a scale; over all of them, columns of 1 would vanish beside columns of 8.
    height = np.maximum(np.maximum(W, 0).sum(2), np.maximum(-W, 0).sum(2)).max(1)
    row = np.arange(1, panels + 1) // 2
    tops = [max(1.6, 1.05 * float(height[row == r].max())) for r in row]
    rows = -(-(panels + 1) // 2)
    with styled():
        size = (LEFT + 2 * WIDTH + GAP + 0.2, rows * PITCH + 0.45)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        _warm_up_panel(figure, LEFT, 0.0, warm_up)
        for k in range(panels):
            x, y = LEFT + (k + 1) % 2 * (WIDTH + GAP), (k + 1) // 2 * PITCH
            quote(figure, x, y + 0.2, titles[k], 10.5, weight="bold", va="center", color="#222222")
            quote(figure, x + WIDTH, y + 0.2, notes[k], 9, va="center", ha="right", color="#555555")
            axes = place(figure, x, y + 0.36, WIDTH, STACK)
            axes.set(xlim=(0, m), ylim=(-tops[k], tops[k]))
            # The strongest feature of each neuron, then the sign it answers to, decide where it stands.
            first = np.abs(W[k]).argmax(1)
            sign = np.sign(W[k][np.arange(m), first])
            order = np.lexsort((-sign, first))
            _stacks(axes, W[k][order], mono[k][order], tops[k])
        y = rows * PITCH + 0.08
        words = (
            "A column is a neuron, a piece of it one feature's input weight (positive up, negative down), "
            "the largest scaled to 1. Each row has its own axes."
        )
        write(figure, LEFT, y + 0.1, words, 9, color=MUTED, va="center")
        for number, (colour, word) in enumerate(
            ((MONOSEMANTIC_COLOUR, "monosemantic"), (POLYSEMANTIC_COLOUR, "polysemantic"))
        ):
            x = size[0] - 2.75 + 1.4 * number
            place(figure, x, y + 0.02, 0.16, 0.16).set(facecolor=colour)
            write(figure, x + 0.23, y + 0.1, word, 9.5, va="center")
    return figure


def _stacks(axes: Axes, W: np.ndarray, mono: np.ndarray, top: float) -> None:
    boxes, colours, edges = [], [], []
    for k, row in enumerate(W):
        ends = {1: 0.0, -1: 0.0}
        for i in np.argsort(-np.abs(row), kind="stable"):
            side = 1 if row[i] >= 0 else -1
            low, ends[side] = ends[side], ends[side] + float(row[i])
            if abs(row[i]) > 0.004 * top:
                boxes.append(
                    [(k + a, b) for a, b in ((0.1, low), (0.9, low), (0.9, ends[side]), (0.1, ends[side]))]
                )
                colours.append(MONOSEMANTIC_COLOUR if mono[k] else POLYSEMANTIC_COLOUR)
                edges.append(0.5 if abs(row[i]) > 0.05 * top else 0.15)
    axes.add_collection(
        PolyCollection(boxes, facecolors=colours, edgecolors="white", linewidths=edges, gid="weights")
    )
    axes.axhline(0, color=INK, linewidth=0.8, zorder=3)
    axes.spines["left"].set(visible=True, color=FRAME)
    step = 1 if top < 4 else 2 if top < 8 else 4
    ticks = [t for t in range(-20, 21, step) if abs(t) <= top]
    axes.set_yticks(ticks, [f"{t}".replace("-", "−") for t in ticks], fontsize=8.5)
    axes.tick_params(axis="y", length=2, color=FRAME)


def _warm_up_panel(figure: Figure, x: float, y: float, model: WarmUp) -> None:
    quote(figure, x, y + 0.2, model.title, 10.5, weight="bold", va="center", color="#222222")
    W_in, W_out = grid(model.W_in, "W_in", (None, None)), grid(model.W_out, "W_out", (None, None))
    cell = min(0.42, 1.3 / W_in.shape[0], 1.3 / W_out.shape[0])
    at = x + 1.25
    for name, W, rows, columns in (
        ("$W_1$", W_in, "neuron", "feature in"),
        ("$W_2$", W_out, "feature out", "neuron"),
    ):
        width, height = W.shape[1] * 1.7 * cell, W.shape[0] * cell
        axes = place(figure, at, y + 0.4, width, height)
        axes.imshow(W, cmap=WEIGHTS, vmin=-1, vmax=1, aspect="auto")
        for (k, i), value in np.ndenumerate(W):
            label = f"{value:.2f}".replace("-", "−") if abs(value) >= 0.005 else "0"
            axes.text(
                i,
                k,
                label,
                fontsize=7.5,
                ha="center",
                va="center",
                color="white" if abs(value) > 0.6 else INK,
            )
        write(figure, at - 0.08, y + 0.4 + height / 2, f"{name}\n{rows}", 9.5, ha="right", va="center")
        write(figure, at + width / 2, y + 0.47 + height, columns, 8.5, ha="center", va="top", color=MUTED)
        at += width + 1.15
