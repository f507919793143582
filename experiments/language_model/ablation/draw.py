"""Ablation: attributions against true effects, and which text suffers from the loss of which latents."""

from collections.abc import Sequence

import numpy as np

from experiments.lab.claim import Result
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, WEIGHTS, Figure, fitted, grid, styled


def draw(result: Result) -> Figure:
    """Attribution against effect, and the loss by kind ablated and kind of text."""
    a, n = result.arrays, result.numbers
    names = [f"{k} ({c})" for k, c in zip(n["ablated"], a["latents"], strict=True)]
    return ablation(a["attributed"].reshape(-1, 3), a["change"][:, 0], names, n["kinds"])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, n = result.arrays, result.numbers
    own = [a["change"][i, 0, n["kinds"].index(k)] for i, k in enumerate(n["ablated"])]
    r = np.corrcoef(a["attributed"][..., 0].ravel(), a["attributed"][..., 2].ravel())[0, 1]
    rises = ", ".join(f"{k} {v:+.2f}" for k, v in zip(n["ablated"], own, strict=True))
    return f"Gradient x activation against the true effect of ablating single latents, r = {r:.3f}; loss of a kind of text " \
           f"without its own latents, nats: {rises}."  # fmt: skip


def ablation(
    attributed: np.ndarray, change: np.ndarray, ablated: Sequence[str], kinds: Sequence[str]
) -> Figure:
    """Two panels.

    attributed (n, 3): gradient x activation, integrated gradients, true effect; change (ablated, kinds) of the loss.
    """
    attributed = grid(attributed, "attributed", (None, 3))
    change = grid(change, "change", (len(ablated), len(kinds)))
    with styled():
        figure = Figure(
            figsize=(13, 1.9 + 0.36 * max(len(ablated), 9)), dpi=DPI, facecolor="white", layout="constrained"
        )
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
        truth = attributed[:, 2]
        low, high = float(attributed.min()), float(attributed.max())
        left.plot([low, high], [low, high], color=MUTED, linewidth=0.8, dashes=(3, 2))
        for i, (name, marker) in enumerate((("gradient x activation", "o"), ("integrated gradients", "x"))):
            left.scatter(
                truth,
                attributed[:, i],
                s=16,
                marker=marker,
                linewidth=1,
                alpha=0.75,
                color=LINES[i],
                label=name,
            )
        left.set(xlabel="True effect of ablating the latent (logit)", ylabel="Attributed to it")
        left.set_title("Attribution and effect, single latents", fontsize=10.5, loc="left", color=INK)
        left.spines[["top", "right"]].set_visible(False)
        left.legend(frameon=False, fontsize=9, loc="upper left")
        most = float(np.abs(change).max()) or 1.0
        right.imshow(change, cmap=WEIGHTS, vmin=-most, vmax=most, aspect="auto")
        for (row, column), value in np.ndenumerate(change):
            right.text(column, row, "0" if abs(value) < 0.005 else f"{value:+.2f}", ha="center", va="center", fontsize=8,
                       color="white" if abs(value) > 0.6 * most else INK)  # fmt: skip
        right.set(xticks=range(len(kinds)), yticks=range(len(ablated)))
        right.set_yticklabels([fitted(k, 9, 150) for k in ablated])
        right.set_xticklabels([fitted(k, 9, 100) for k in kinds], rotation=40, ha="right")
        right.set(xlabel="Kind of text", ylabel="Kind whose latents are ablated (how many)")
        right.tick_params(length=0, labelsize=9)
        right.spines[:].set_visible(False)
        right.set_title("Rise of the loss, nats a token", fontsize=10.5, loc="left", color=INK)
    return figure
