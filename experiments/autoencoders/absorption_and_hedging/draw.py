"""Absorption by architecture, and hedging by the width of the SAE."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.lab.architectures import NAMES
from experiments.lab.claim import Result
from experiments.lab.curves import COLOURS, MARKERS, curve, quiet
from experiments.lab.seeds import half_interval
from superposition.plot.style import DPI, INK, MUTED, Figure, styled


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
        figure = Figure(figsize=(12.4, 4.6), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1.1))
        mean, half = rate.mean(1), half_interval(rate)
        left.hlines(place, mean - half, mean + half, color=COLOURS[0], linewidth=1.8)
        left.plot(mean, place, "o", color=COLOURS[0], label="mean and 95 % interval")
        left.plot(rate.T, np.tile(place, (rate.shape[1], 1)), "|", color=INK, markersize=9)
        left.axvline(0, color=MUTED, linewidth=0.8)
        left.set_title("Absorption rate", fontsize=10.5, loc="left")
        left.set(
            xlabel="how much more often the parent's latent is\nsilent where a child fires  (ticks: seeds)"
        )
        labels = ("parent's decoder · parent", "parent's decoder · child", "parent's encoder · parent",
                  "parent's encoder · child", "child's decoder · parent")  # fmt: skip
        for c, label in enumerate(labels):
            value, spread = cosines[:, :, c].mean(1), half_interval(cosines[:, :, c])
            middle.errorbar(value, place + 0.24 - 0.12 * c, xerr=spread, fmt=MARKERS[c], color=COLOURS[c], markersize=5,
                            linewidth=1.2, label=label)  # fmt: skip
        middle.axvline(0, color=MUTED, linewidth=0.8)
        middle.set_title("Cosines with the true directions", fontsize=10.5, loc="left")
        middle.set(xlabel="mean cosine")
        middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=7.5, frameon=False, ncols=2)
        for axes in (left, middle):
            axes.set_ylim(place[-1] - 0.6, 0.6)
            axes.set_yticks(place, names if axes is left else [""] * len(names))
            quiet(axes, "both")
        curve(right, widths, hedging, 0, "ReLU + L1, by width")
        for i, (name, seeds) in enumerate(references.items(), 1):
            right.axhline(
                seeds.mean(), color=COLOURS[i], linestyle=("--", ":")[i % 2], linewidth=1.5, label=name
            )
        right.axhline(0, color=MUTED, linewidth=0.8)
        right.set_title("Hedging", fontsize=10.5, loc="left")
        right.set(xlabel="latents of the SAE (32 features)", xticks=list(widths))
        right.set_ylabel("share along correlated features, above chance")
        right.legend(fontsize=8, frameon=False)
        quiet(right)
    return figure
