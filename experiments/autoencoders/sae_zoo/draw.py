"""The scores of every architecture as dots with intervals over seeds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.lines import Line2D

from experiments.autoencoders.sae_zoo.config import PAPER
from experiments.lab.architectures import NAMES
from experiments.lab.claim import Result
from experiments.lab.curves import COLOURS, quiet
from experiments.lab.seeds import half_interval
from superposition.plot.style import DPI, INK, Figure, grid, styled

METRICS = {"f1": "$F_1$", "mcc": "MCC", "ev": "Explained variance", "uniqueness": "Uniqueness", "l0": "$L_0$",
           "dead": "Dead latents"}  # fmt: skip


def draw(result: Result) -> Figure:
    """A panel a metric, a row an architecture: seeds, their mean and interval, the published value."""
    names = result.config.architectures
    published = np.full((len(names), len(METRICS)), np.nan)
    for i, name in enumerate(names):
        published[i, :4] = PAPER.get(name, np.nan)
    return dots(result.arrays["values"], [NAMES[n] for n in names], list(METRICS.values()), published)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    f1, ev = result.arrays["values"].mean(1)[:, [0, 2]].T
    names = [NAMES[n] for n in result.config.architectures]
    parts = [f"{n} {a:.2f}, {b:.2f}" for n, a, b in zip(names, f1, ev, strict=True)]
    return f"Dot plots of SAE architectures at equal L0; mean F1 and explained variance: {'; '.join(parts)}."


def dots(
    values: np.ndarray, rows: Sequence[str], panels: Sequence[str], published: np.ndarray | None = None
) -> Figure:
    """A panel a metric, a row an SAE: every seed, mean with 95 % interval, and a published value where given.

    values (rows, seeds, panels); published (rows, panels), NaN for none.
    """
    shown = grid(values, "values", (len(rows), None, len(panels)))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    place = -np.arange(len(rows))
    with styled():
        figure = Figure(
            figsize=(10.4, lines * (0.9 + 0.27 * len(rows))), dpi=DPI, facecolor="white", layout="constrained"
        )
        axes_grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for p, (axes, name) in enumerate(zip(axes_grid, panels, strict=False)):
            seeds = shown[:, :, p]
            mean, half = seeds.mean(1), half_interval(seeds)
            axes.hlines(place, mean - half, mean + half, color=COLOURS[0], linewidth=1.6, zorder=2)
            axes.plot(mean, place, "o", color=COLOURS[0], markersize=5.5, zorder=3)
            axes.plot(seeds.T, np.tile(place, (seeds.shape[1], 1)), "|", color=INK, markersize=8, zorder=4)
            if published is not None:
                axes.plot(published[:, p], place, "D", color=COLOURS[1], markerfacecolor="white", markersize=5.5,
                          zorder=1, gid="published")  # fmt: skip
            axes.set_title(name, fontsize=10.5, loc="left", color=INK)
            axes.set_yticks(place, rows)
            axes.set_ylim(place[-1] - 0.6, 0.6)
            axes.margins(x=0.08)
            if not seeds.any():
                axes.set_xlim(-0.005, 0.1)
            quiet(axes, "both")
        for axes in axes_grid[len(panels) :]:
            axes.set_visible(False)
        handles = [
            Line2D([], [], color=COLOURS[0], marker="o", label="mean and 95 % interval"),
            Line2D([], [], color=INK, marker="|", linestyle="", markersize=8, label="one seed"),
        ]
        if published is not None:
            handles.append(Line2D([], [], color=COLOURS[1], marker="D", markerfacecolor="white", linestyle="",
                                  label="published, at full size"))  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    return figure
