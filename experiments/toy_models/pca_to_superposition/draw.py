"""The number of collapsed pairs over density, with the plane of the optimum at each step."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from experiments.lab.claim import Result
from experiments.toy_models.pca_to_superposition.config import PAPER
from experiments.toy_models.shared.planes import SET_COLOURS, SHAPES, plane, upright
from superposition.plot.style import DPI, INK, Figure, grid, place, styled, write


def draw(result: Result) -> Figure:
    """Optima along the density axis over the number of collapsed pairs."""
    a = result.arrays
    bands = [(max(low, float(a["density"][0])), high, count) for low, high, count in PAPER]
    seeds = (a["seed_density"], a["seed_shares"])
    return collapse(a["density"], a["collapsed"], a["planes"], a["at"], seeds, 2, bands)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    edges = np.flatnonzero(np.diff(a["collapsed"]))
    parts = [
        f"{int(a['collapsed'][k])} to {int(a['collapsed'][k + 1])} at {a['density'][k]:.3f}" for k in edges
    ]
    return (
        "Number of collapsed pairs of correlated features at the exact optimum, a step curve over density: "
        + ", ".join(parts)
        + ". Above, the optimal features in the plane; discs show what trained seeds do."
    )


def collapse(
    density: np.ndarray,
    count: np.ndarray,
    planes: np.ndarray,
    at: np.ndarray,
    seeds: tuple[np.ndarray, np.ndarray],
    per_set: int,
    paper: Sequence[tuple[float, float, int]] = (),
) -> Figure:
    """How many pairs collapse, a step curve over density, under planes of the optimum. Elhage et al. 2022.

    density (d,) and count (d,): the exact optimum. planes W (k, 2, n) drawn above at densities `at` (k,).
    seeds: densities (s,) and the share of trained models with 0, 1 ... collapsed pairs, (s, pairs + 1), as
    discs by area. paper: intervals (low, high, count) drawn as bands.
    """
    planes = grid(planes, "planes", (None, 2, None))
    density = grid(density, "density", (None,))
    count = grid(count, "count", (len(density),))
    at = grid(at, "at", (len(planes),))
    shares = grid(seeds[1], "shares of seeds", (len(seeds[0]), None))
    pairs = shares.shape[1] - 1
    limit = 1.25 * max(1.0, float(np.nanmax(np.linalg.norm(planes, axis=1))))
    side, pitch, left = 1.45, 1.57, 0.85
    width = left + len(planes) * pitch + 0.1
    kinds = np.arange(planes.shape[2]) // per_set
    with styled():
        figure = Figure(figsize=(width, side + 4.35), dpi=DPI, facecolor="white")
        span = len(planes) * pitch - (pitch - side)
        axes = place(figure, left, side + 1.05, span, 2.6)
        axes.set(xscale="log", xlim=(density.min(), density.max()), ylim=(-0.45, pairs + 0.45))
        axes.spines[["left", "bottom"]].set(visible=True)
        for number, (low, high, value) in enumerate(paper):
            axes.fill_between([low, high], value - 0.22, value + 0.22, color="#e9dcc3", linewidth=0, zorder=1,
                              label="the paper's ranges" if number == 0 else None)  # fmt: skip
        axes.plot(density, count, color="black", linewidth=2, drawstyle="steps-mid", zorder=3,
                  label="exact global optimum")  # fmt: skip
        for value in range(pairs + 1):
            axes.scatter(seeds[0], np.full(len(seeds[0]), value), 170 * shares[:, value], color="#0072B2",
                         alpha=0.55, linewidth=0, zorder=2, clip_on=False,
                         label="trained seeds (area: share)" if value == 0 else None)  # fmt: skip
        axes.set_yticks(range(pairs + 1), [str(v) for v in range(pairs + 1)], fontsize=10)
        axes.set_ylabel("collapsed pairs", fontsize=10.5)
        axes.set_xlabel("density of a pair, 1 − S", fontsize=10.5)
        ticks = [
            t
            for t in (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
            if density.min() <= t <= density.max()
        ]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{t:g}" for t in ticks], fontsize=9.5)
        axes.tick_params(length=4, color=INK)
        axes.legend(loc="upper left", fontsize=9, frameon=False, markerscale=0.6)
        for k, W in enumerate(planes):
            x = left + k * pitch
            small = place(figure, x, 0.42, side, side)
            plane(small, upright(W), [SET_COLOURS[i] for i in kinds], [SHAPES[i] for i in kinds], limit)
            write(figure, x + side / 2, 0.33, f"1 − S = {at[k]:.3g}", 9.5, ha="center", color=INK)
            where = left + span * float(np.log(at[k] / density.min()) / np.log(density.max() / density.min()))
            lead = place(figure, 0, 0.42 + side, width, 0.63)
            lead.set(xlim=(0, width), ylim=(0.63, 0), facecolor="none")
            lead.plot([x + side / 2, where], [0.06, 0.57], color="#bbbbbb", linewidth=1)
    return figure
