"""Neurons against latents as detectors of scripts and formats, and how many of both are of one kind."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from experiments.lab.claim import Result
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, styled

GOOD = 0.9  # F1 of a detector


def draw(result: Result) -> Figure:
    """F1 by kind, neuron against latents of every width; how many units fire on one kind of text alone."""
    a, widths = result.arrays, result.config.widths
    latents = dict(zip([f"best of {w} latents" for w in widths], a["latent_f1"], strict=True))
    pure = {"512 neurons": np.atleast_1d(a["neuron_pure"])}
    pure |= dict(zip([f"{w} latents" for w in widths], a["latent_pure"], strict=True))
    return detectors(result.numbers["kinds"], a["neuron_f1"], latents, pure)


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
    pure: Mapping[str, np.ndarray],
) -> Figure:
    """A row a kind: F1 of the best neuron and of the best latent of each seed; the share of units that are of one kind.

    neuron_f1 (kinds,), latent_f1 name -> (seeds, kinds), pure name -> (seeds,): shares that fire nine times in ten on one kind.
    """
    n = len(kinds)
    neuron_f1 = grid(neuron_f1, "neuron_f1", (n,))
    with styled():
        figure = Figure(figsize=(12.0, 1.8 + 0.36 * n), dpi=DPI, facecolor="white", layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
        y = np.arange(n)
        for number, (name, values) in enumerate(latent_f1.items()):
            f1 = grid(values, "latent_f1", (None, n))
            at = y + 0.18 * (number - (len(latent_f1) - 1) / 2)
            left.hlines(at, f1.min(0), f1.max(0), color=LINES[number], linewidth=1.6, zorder=2)
            left.plot(f1.mean(0), at, "o^D"[number % 3], color=LINES[number], markersize=6, label=f"{name}: mean, range",
                      zorder=3)  # fmt: skip
        left.scatter(neuron_f1, y, marker="s", s=52, facecolor="none", edgecolor=INK, linewidth=1.6,
                     label="best of the neurons", zorder=4)  # fmt: skip
        left.axvline(GOOD, color=MUTED, linewidth=0.9, linestyle=":")
        left.set(
            xlim=(0, 1.02),
            yticks=y,
            ylim=(n - 0.5, -0.5),
            xlabel="F1 as a detector, on text it was not chosen on",
        )
        left.set_yticklabels([fitted(k, 10.5, 140) for k in kinds])
        best = np.maximum(neuron_f1, np.max([v.mean(0) for v in latent_f1.values()], 0))
        left.set_title(f"One unit tells {int((best >= GOOD).sum())} of {n} kinds of text (F1 {GOOD} or more)", fontsize=12,
                       loc="left", weight="bold")  # fmt: skip
        for row, shares in enumerate(pure.values()):
            colour = INK if row == 0 else LINES[(row - 1) % len(LINES)]
            right.barh(row, shares.mean(), 0.6, color=colour, alpha=0.35)
            right.plot(shares, np.full(len(shares), row), "o", color=colour, markersize=6)
            right.annotate(f"{100 * shares.mean():.0f} %", (shares.max(), row), (9, 0), textcoords="offset points",
                           va="center", fontsize=11)  # fmt: skip
        right.set(
            yticks=range(len(pure)),
            ylim=(len(pure) - 0.5, -0.5),
            xlim=(0, 1.25 * max(s.max() for s in pure.values())),
        )
        right.set_yticklabels(list(pure), fontsize=10.5)
        right.xaxis.set_major_formatter(PercentFormatter(1, 0))
        right.set_xlabel("Share of units that fire nine times in ten on one kind of text\n(dots: seeds)")
        right.set_title("Latents are of one kind more often", fontsize=12, loc="left", weight="bold")
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=4, frameon=False, fontsize=9.5)
        for axes in (left, right):
            axes.grid(axis="x", color="#eeeeee")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=0, labelcolor=INK)
    return figure
