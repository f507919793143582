"""How well one simple description tells when a unit fires: latents against neurons, the best and the worst."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.font_manager import findfont, get_font

from experiments.lab.claim import Result
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, FONT, INK, MUTED, Figure, fitted, grid, styled


def draw(result: Result) -> Figure:
    """How well one description tells when latents and neurons fire, and the best and worst of them."""
    a, n = result.arrays, result.numbers
    listed = {
        title: [(int(a["id"][i]), n["labels"][i]) for i in n[key]]
        for title, key in (("Best described", "best"), ("Worst described", "worst"))
    }
    return descriptions(a["quality"], a["density"], a["neuron_quality"], listed)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, n = result.arrays, result.numbers
    best = "; ".join(f"latent {int(a['id'][i])}: {n['labels'][i]}" for i in n["best"][:5])
    return f"F1 of the best simple description of latents (median {np.nanmedian(a['quality']):.2f}) and neurons (median " \
           f"{np.nanmedian(a['neuron_quality']):.2f}). The best: {best}."  # fmt: skip


def descriptions(
    quality: np.ndarray,
    density: np.ndarray,
    neurons: np.ndarray,
    listed: Mapping[str, Sequence[tuple[int, str]]],
) -> Figure:
    """F1 (units,) of latents and neurons, NaN where a unit fires too seldom; densities of the latents; lists of labels."""
    quality, neurons = grid(quality, "quality", (None,)), grid(neurons, "neurons", (None,))
    density = grid(density, "density", quality.shape)
    with styled():
        figure = Figure(figsize=(13, 5.4), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.35))
        for values, name, colour in ((quality, "latents", LINES[0]), (neurons, "neurons", LINES[1])):
            known = np.sort(values[~np.isnan(values)])
            left.step(known, 1 - np.arange(len(known)) / max(len(known), 1), color=colour, linewidth=1.8,
                      label=f"{len(known):,} {name}", where="post")  # fmt: skip
        left.set(
            xlim=(0, 1),
            ylim=(0, 1.01),
            xlabel="F1 of the best simple description, at least",
            ylabel="Share of units",
        )
        left.legend(frameon=False, fontsize=9)
        left.set_title("Told by one description", fontsize=10.5, loc="left", color=INK)
        shown = ~np.isnan(quality) & (density > 0)
        middle.scatter(density[shown], quality[shown], s=9, color=LINES[0], alpha=0.6, linewidth=0)
        middle.set(
            xscale="log", ylim=(0, 1.01), xlabel="Density: share of tokens a latent fires on", ylabel="F1"
        )
        middle.set_title("Latents by how often they fire", fontsize=10.5, loc="left", color=INK)
        for axes in (left, middle):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#eeeeee")
            axes.set_axisbelow(True)
        right.set_axis_off()
        lines = sum(len(rows) + 1.5 for rows in listed.values())
        at = 1.0
        for title, rows in listed.items():
            right.text(0, at, title, fontsize=10.5, color=INK, va="top", transform=right.transAxes)
            at -= 1.2 / lines
            for unit, label in rows:
                right.text(0.0, at, f"{unit}", fontsize=9, color=MUTED, va="top", transform=right.transAxes)
                right.text(0.1, at, fitted(_drawable(label), 9, 300), fontsize=9, color=INK, va="top", parse_math=False,
                           transform=right.transAxes)  # fmt: skip
                at -= 1 / lines
            at -= 0.3 / lines
    return figure


def _drawable(text: str) -> str:
    """Letters that the figure's font lacks by their code points."""
    known = get_font(findfont(FONT)).get_charmap()
    return "".join(c if ord(c) in known else f"⟨U+{ord(c):04X}⟩" for c in text)
