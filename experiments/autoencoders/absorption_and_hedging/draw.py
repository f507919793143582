"""Absorption by architecture, and hedging by the width of the SAE."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.lab.architectures import NAMES
from experiments.lab.claim import Result
from experiments.lab.curves import COLOURS, curve, quiet
from superposition.plot.style import DPI, INK, MUTED, Figure, styled

COSINES = ("parent's decoder\nwith parent", "parent's decoder\nwith child", "parent's encoder\nwith parent",
           "parent's encoder\nwith child", "child's decoder\nwith parent")  # fmt: skip


def draw(result: Result) -> Figure:
    """Absorption by architecture, cosines of parents' latents, hedging against width."""
    names = [NAMES[n] for n in (*result.config.flat, "matryoshka")]
    a = result.arrays
    references = {"Matryoshka 32, its first 8": a["inner"], "BatchTopK 32": a["flat"]}
    return absorbed_and_hedged(names, a["rate"], a["cosines"], result.config.widths, a["hedging"], references)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    names = [NAMES[n] for n in (*result.config.flat, "matryoshka")]
    rates = ", ".join(f"{n} {v:.2f}" for n, v in zip(names, result.arrays["rate"].mean(1), strict=True))
    hedged = ", ".join(
        f"{v:.2f} at {w}" for w, v in zip(result.config.widths, result.arrays["hedging"].mean(1), strict=True)
    )
    return f"Mean absorption rate: {rates}. Hedging against the number of latents: {hedged}."


def absorbed_and_hedged(
    names: Sequence[str],
    rate: np.ndarray,
    cosines: np.ndarray,
    widths: Sequence[int],
    hedging: np.ndarray,
    references: Mapping[str, np.ndarray],
) -> Figure:
    """Absorption rate by SAE, cosines of parents' latents, and hedging against width.

    rate (SAEs, seeds); cosines (SAEs, seeds, 5): decoder with parent, with child, encoder the same, and the child's
    decoder row with the parent; hedging (widths, seeds); references: name -> (seeds,), drawn as levels.
    """
    place = -np.arange(len(names))
    with styled():
        figure = Figure(figsize=(13.0, 7.2), dpi=DPI, facecolor="white", layout="constrained")
        rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.02))
        above, below = rows
        left, right = above.subplots(1, 2, width_ratios=(1, 1.1))
        mean = rate.mean(1)
        left.hlines(place, rate.min(1), rate.max(1), color=COLOURS[0], linewidth=1.8)
        left.plot(mean, place, "o", color=COLOURS[0], markersize=7)
        left.plot(rate.T, np.tile(place, (rate.shape[1], 1)), "|", color=INK, markersize=10)
        left.axvline(0, color=MUTED, linewidth=0.8)
        most = names[int(mean.argmax())]
        _title(left, f"Absorption: most in {most}, {mean.max():.2f}")
        left.set_xlabel(
            "How much more often the parent's latent is silent where a child fires\n(ticks: seeds)"
        )
        curve(right, widths, hedging, 0, "ReLU + L1, by width")
        for i, (name, seeds) in enumerate(references.items(), 1):
            right.axhline(
                seeds.mean(), color=COLOURS[i], linestyle=("--", ":")[i % 2], linewidth=1.5, label=name
            )
        right.axhline(0, color=MUTED, linewidth=0.8)
        _title(right, "Hedging: the fewer latents, the more features in one")
        right.set(xlabel="Latents of the SAE (32 features)", xticks=list(widths))
        right.set_ylabel("Share along correlated\nfeatures, above chance")
        right.legend(fontsize=9, frameon=False)
        panels = below.subplots(1, len(COSINES), sharey=True)
        for c, (axes, label) in enumerate(zip(panels, COSINES, strict=True)):
            values = cosines[:, :, c]
            axes.hlines(place, values.min(1), values.max(1), color=COLOURS[0], linewidth=1.8)
            axes.plot(values.mean(1), place, "o", color=COLOURS[0], markersize=6)
            axes.axvline(0, color=MUTED, linewidth=0.8)
            axes.set(xlim=(-0.45, 1.0), xticks=(0, 0.5, 1))
            axes.set_title(label, fontsize=10, loc="left")
        below.supxlabel(
            "Cosine with the true direction: mean, and least to largest of the seeds", fontsize=10
        )
        for axes in (left, panels[0]):
            axes.set_yticks(place, names, fontsize=10)
        for axes in (left, *panels):
            axes.set_ylim(place[-1] - 0.6, 0.6)
            quiet(axes, "both")
        quiet(right)
    return figure


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, fontsize=11, loc="left", weight="bold")
