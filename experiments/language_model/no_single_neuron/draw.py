"""Neurons against latents as detectors of scripts and formats, and what their strongest examples are of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from experiments.language_model.shared.detectors import TOP
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, styled

COLOURS = colormaps["tab20"]


def draw(result: Result) -> Figure:
    """F1 by kind, neuron against latents of every width, and what the strongest tokens of both are."""
    a, widths = result.arrays, result.config.widths
    latents = dict(zip([f"best latent of {w}" for w in widths], a["latent_f1"], strict=True))
    return detectors(
        result.numbers["kinds"],
        a["neuron_f1"],
        latents,
        a["neuron_top"],
        a["latent_top"][-1].mean(0),
        top=TOP,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    parts = [
        f"{k} {n:.2f}; {', '.join(f'{v:.2f}' for v in m)}"
        for k, n, m in zip(result.numbers["kinds"], a["neuron_f1"], a["latent_f1"].mean(1).T, strict=True)
    ]
    return f"F1 of the best neuron, and of the best SAE latent by width, for each kind of text: {' | '.join(parts)}."


def detectors(
    kinds: Sequence[str],
    neuron_f1: np.ndarray,
    latent_f1: Mapping[str, np.ndarray],
    neuron_top: np.ndarray,
    latent_top: np.ndarray,
    *,
    top: int,
) -> Figure:
    """A row a kind: F1 of the best neuron and of the best latent of each seed; shares of kinds among the strongest.

    neuron_f1 (kinds,), latent_f1 name -> (seeds, kinds), neuron_top and latent_top (kinds, kinds), rows sum to 1.
    """
    n = len(kinds)
    neuron_f1 = grid(neuron_f1, "neuron_f1", (n,))
    shares = [grid(a, name, (n, n)) for a, name in ((neuron_top, "neuron_top"), (latent_top, "latent_top"))]
    with styled():
        figure = Figure(figsize=(11.5, 1.5 + 0.34 * n), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 1, 1))
        y = np.arange(n)
        for number, (name, values) in enumerate(latent_f1.items()):
            f1 = grid(values, "latent_f1", (None, n))
            at = y + 0.16 * (number - (len(latent_f1) - 1) / 2)
            left.hlines(at, f1.min(0), f1.max(0), color=LINES[number], linewidth=1.2, zorder=2)
            left.scatter(f1.mean(0), at, s=26, color=LINES[number], label=f"{name}: mean, range", zorder=3)
        left.scatter(neuron_f1, y, marker="s", s=40, facecolor="none", edgecolor=INK, linewidth=1.4,
                     label="best neuron", zorder=4)  # fmt: skip
        left.set(
            xlim=(0, 1.02), yticks=y, yticklabels=[fitted(k, 9, 120) for k in kinds], ylim=(n - 0.5, -0.5)
        )
        left.set_title("F1 as a detector, on text it was not chosen on", fontsize=10, loc="left")
        left.grid(axis="x", color="#eeeeee")
        left.set_axisbelow(True)
        for axes, share, title in (
            (middle, shares[0], f"Best neuron: its top {top} tokens"),
            (right, shares[1], f"Best latent, widest SAE: top {top}"),
        ):
            _stack(axes, y, share, kinds)
            axes.set_title(title, fontsize=10, loc="left")
        handles, names = middle.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=8
        )
        for axes in (left, middle, right):
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    return figure


def _stack(axes: Axes, y: np.ndarray, shares: np.ndarray, kinds: Sequence[str]) -> None:
    """Bars that add up to 1, the row's own kind framed."""
    start = np.zeros(len(y))
    for j, kind in enumerate(kinds):
        edge: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5}
        axes.barh(y, shares[:, j], 0.72, left=start, color=COLOURS(j % 20), label=kind, **edge)
        own = shares[j, j]
        if own > 0.08:
            axes.text(start[j] + own / 2, j, f"{100 * own:.0f} %", ha="center", va="center", fontsize=7.5,
                      color="white", fontweight="bold")  # fmt: skip
        start = start + shares[:, j]
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "50 %", "100 %"])
    axes.tick_params(axis="x", labelsize=8, labelcolor=MUTED)
