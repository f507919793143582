"""Steering: how the response grows with the dose, what else moves, and what generated text turns into."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from superposition.plot.style import DPI, INK, MUTED, WEIGHTS, Figure, fitted, grid, styled

COLOURS = colormaps["tab10"]
MARKERS = "os^Dv<>PX*"


def draw(result: Result) -> Figure:
    """Dose and response, selectivity, and what the generated text is of."""
    a = result.arrays
    return steering(result.numbers["names"], a["strengths"], a["log_mass"], a["share"])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, names = result.arrays, result.numbers["names"]
    zero = int(np.argmin(abs(a["strengths"])))
    parts = [
        f"{n} {np.exp(a['log_mass'][i, :, zero, i].mean()):.2g} to {np.exp(a['log_mass'][i, :, -1, i].mean()):.2g}"
        for i, n in enumerate(names)
    ]
    return f"Probability of each latent's promoted tokens, unsteered and at the highest strength: {'; '.join(parts)}."


def steering(names: Sequence[str], strengths: np.ndarray, log_mass: np.ndarray, share: np.ndarray) -> Figure:
    """Three panels, mean over seeds with their range.

    log_mass (latents, seeds, strengths, sets): log-probability of each latent's tokens (the last set: random ones)
    while a latent is steered; share (latents, seeds, strengths) of generated tokens that are of the latent's kind.
    """
    n = len(names)
    log_mass = grid(log_mass, "log_mass", (n, None, len(strengths), n + 1))
    share = grid(share, "share", (n, log_mass.shape[1], len(strengths)))
    zero, one = (int(np.argmin(abs(np.asarray(strengths) - s))) for s in (0, 1))
    moved = (log_mass[:, :, one] - log_mass[:, :, zero]).mean(1)
    with styled():
        figure = Figure(figsize=(13.5, 5.2), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
        _lines(left, strengths, np.exp([log_mass[i, :, :, i] for i in range(n)]), names)
        left.set_yscale("log")
        left.set_title("Probability of the tokens a latent promotes", fontsize=10.5, loc="left", color=INK)
        _lines(right, strengths, share, names)
        right.set(ylim=(-0.02, 1.02), yticks=[0, 0.5, 1], yticklabels=["0", "50 %", "100 %"])
        right.set_title("Generated tokens that are of its kind", fontsize=10.5, loc="left", color=INK)
        _matrix(middle, moved, names)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return figure


def _lines(axes: Axes, strengths: np.ndarray, values: np.ndarray, names: Sequence[str]) -> None:
    """A line a latent with the range over seeds, values (latents, seeds, strengths)."""
    values = np.asarray(values)
    for i, name in enumerate(names):
        mean, low, high = values[i].mean(0), values[i].min(0), values[i].max(0)
        axes.plot(strengths, mean, color=COLOURS(i % 10), marker=MARKERS[i % 10], markersize=4.5, linewidth=1.4,
                  label=fitted(name, 9, 200))  # fmt: skip
        axes.fill_between(strengths, low, high, color=COLOURS(i % 10), alpha=0.15, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=0.8, dashes=(3, 2))
    axes.set_xlabel("Strength, in units of the latent's largest activation")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)


def _matrix(axes: Axes, moved: np.ndarray, names: Sequence[str]) -> None:
    """Which latent was steered by which tokens moved, (latents, latents + 1)."""
    most = float(np.abs(moved).max()) or 1.0
    axes.imshow(moved, cmap=WEIGHTS, vmin=-most, vmax=most, aspect="auto")
    short = [fitted(name.split(" (")[0], 9, 80) for name in names]
    axes.set(xticks=range(len(names) + 1), yticks=range(len(names)), yticklabels=short)
    axes.set_xticklabels([*short, "random"], rotation=40, ha="right")
    for (row, column), value in np.ndenumerate(moved):
        bold = row == column
        axes.text(column, row, f"{value:+.1f}", ha="center", va="center", fontsize=8,
                  fontweight="bold" if bold else "normal", color="white" if abs(value) > 0.6 * most else INK)  # fmt: skip
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="Whose tokens", ylabel="Latent steered")
    axes.set_title("Change of log-probability at strength 1, nats", fontsize=10.5, loc="left", color=INK)
