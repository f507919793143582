"""Dimensions per feature against sparsity, with its plateaus."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.dimensions_per_feature.config import NEAR
from experiments.toy_models.shared.sparsity_axis import log_axis, positive
from experiments.toy_models.shared.uniform import recipes
from superposition.plot.style import DPI, INK, MUTED, Figure, grid, styled, write


class Curve(NamedTuple):
    """A line over 1 / (1 - S): its label, values (x,), colour and style."""

    label: str
    y: np.ndarray
    colour: str
    style: str = "-"


def draw(result: Result) -> Figure:
    """D* against 1 / (1 - S), with the plateaus and the exact staircase of polytopes."""
    a, spans = result.arrays, result.numbers["plateaus"]
    words = {"1": "1: squared norms add up to m", "0.5": "1/2: antipodal pairs"}
    return dimensions_per_feature(
        a["inverse_density"],
        a["dimensions"],
        [(float(v), *(spans[v] if np.isfinite(spans[v]).all() else (1.0, 1.0)), words[v]) for v in words],
        [Curve("the best of equal polytopes, exact; not a bound", a["block_dimensions"], "#d55e00", "--")],
        recipes(result.config.uniform),
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    spans = result.numbers["plateaus"]
    parts = [f"within {NEAR} of {v} from {low:.2f} to {high:.2f}" for v, (low, high) in spans.items()]
    mean = result.arrays["dimensions"].mean(1)
    return (
        "Dimensions per feature against 1 / (1 - S), falling from "
        f"{mean[0]:.2f} to {mean[-1]:.2f}: " + "; ".join(parts) + f". {recipes(result.config.uniform)}."
    )


def dimensions_per_feature(
    inverse_density: np.ndarray,
    dimensions: np.ndarray,
    plateaus: Sequence[tuple[float, float, float, str]],
    curves: Sequence[Curve] = (),
    caption: str = "",
) -> Figure:
    """D* = m / ||W||_F^2 (density, seed) against 1 / (1 - S) (density,): a dot a model, a line through the means.

    plateaus: (value, from, to, words), shaded; from >= to draws the guide line alone. caption: how models were trained.
    """
    x = positive(inverse_density)
    y = grid(dimensions, "dimensions", (len(x), None))
    with styled():
        figure = Figure(figsize=(9.2, 4.9), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0.085, 0.135, 0.885, 0.77))
        log_axis(axes, x)
        axes.set_ylim(0, 1.12)
        for value, low, high, words in plateaus:
            axes.axhline(value, color="#b9b9b9", linewidth=0.9, dashes=(4, 3), zorder=1)
            if high > low:
                axes.fill_between(
                    [low, high], value - 0.03, value + 0.03, color="#f3d9a4", linewidth=0, zorder=0.5
                )
            axes.text(x.max() * 1.02, value + 0.012, words, ha="right", va="bottom", fontsize=9.5, color=INK)
        for curve in curves:
            axes.plot(x, curve.y, curve.style, color=curve.colour, linewidth=1.3, label=curve.label, zorder=2)
        axes.plot(x, y.mean(1), color="#0072b2", linewidth=1.8, zorder=3, label="mean over seeds")
        axes.plot(np.repeat(x, y.shape[1]), y.ravel(), "o", color="#0072b2", markersize=3.6, alpha=0.55, mew=0,
                  zorder=4, label="a trained model")  # fmt: skip
        axes.set_ylabel(r"Dimensions per feature  $D^* = m\,/\,\|W\|_F^2$", fontsize=11)
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.9), frameon=False, fontsize=9)
        low, high = next(((a, b) for value, a, b, _ in plateaus if value == 0.5 and b > a), (0.0, 0.0))
        title = "The sparser, the fewer dimensions a feature gets"
        title += f"; about 1/2 from {low:.1f} to {high:.1f}" if high else ""
        write(figure, 0.78, 0.3, title, 12.5, weight="bold")
        write(figure, 0.78, 4.84, caption, 7.5, color=MUTED)
    return figure
