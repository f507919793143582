"""How well one simple description tells when a unit fires: latents against neurons, the best and the worst."""

from collections.abc import Sequence

import numpy as np
from matplotlib.font_manager import findfont, get_font

from experiments.lab.claim import Result
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, FONT, INK, MUTED, Figure, fitted, grid, styled

WELL = 0.8  # F1 from which a description tells a unit well
STEPS = 12


def draw(result: Result) -> Figure:
    """How well one description tells when latents and neurons fire, and the best and worst of them."""
    a, n = result.arrays, result.numbers
    return descriptions(a["quality"], a["density"], a["neuron_quality"], _ladder(a["quality"], n["labels"]))


def _ladder(quality: np.ndarray, labels: Sequence[str]) -> list[tuple[str, float]]:
    """Descriptions and their F1 at even steps from the best to the worst; those with parts of letters are passed over."""
    falling = np.argsort(-np.nan_to_num(quality, nan=-1.0), kind="stable")
    order = [i for i in falling if not np.isnan(quality[i])]
    readable = [k for k, i in enumerate(order) if "⟨" not in _drawable(labels[i])]
    if not readable:
        return []
    places = np.linspace(0, len(order) - 1, min(STEPS, len(readable)))
    chosen = dict.fromkeys(order[min(readable, key=lambda k: abs(k - place))] for place in places)
    return [(labels[i].split(" (F1")[0], float(quality[i])) for i in chosen]


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
    listed: Sequence[tuple[str, float]],
) -> Figure:
    """F1 (units,) of latents and neurons, NaN where a unit fires too seldom; densities of the latents.

    listed: some latents' descriptions and their F1.
    """
    quality, neurons = grid(quality, "quality", (None,)), grid(neurons, "neurons", (None,))
    density = grid(density, "density", quality.shape)
    with styled():
        figure = Figure(figsize=(13, 5.4), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.1, 1, 0.9))
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
        told = [np.mean(v[~np.isnan(v)] >= WELL) for v in (quality, neurons)]
        left.axvline(WELL, color=MUTED, linewidth=0.9, linestyle=":")
        left.set_title(f"{WELL} or more: {told[0]:.0%} of latents, {told[1]:.0%} of neurons", fontsize=10.5, loc="left",
                       color=INK)  # fmt: skip
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
        right.barh(np.arange(len(listed)), [f1 for _, f1 in listed], 0.72, color=LINES[0])
        right.set(yticks=range(len(listed)), xlim=(0, 1), ylim=(len(listed) - 0.4, -0.6), xlabel="F1")
        right.set_yticklabels(
            [fitted(_drawable(label), 9.5, 200) for label, _ in listed], fontsize=9.5, parse_math=False
        )
        right.set_title("What it says, from the best to the worst", fontsize=10.5, loc="left", color=INK)
        right.spines[["top", "right"]].set_visible(False)
        right.tick_params(axis="y", length=0)
    return figure


def _drawable(text: str) -> str:
    """Letters that the figure's font lacks by their code points."""
    known = get_font(findfont(FONT)).get_charmap()
    return "".join(c if ord(c) in known else f"⟨U+{ord(c):04X}⟩" for c in text)
