"""Losses of several solutions against a parameter, models trained there, and what the solutions look like."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from experiments.lab.claim import Result
from experiments.toy_models.shared.planes import plane, upright
from superposition.plot.style import DPI, INK, MUTED, Figure, grid, place, plain, styled, write

COLOURS, MARKED = ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "#AA3377"


class Branch(NamedTuple):
    """A solution's name and loss (x,) along the axis; NaN where it is not a minimum."""

    name: str
    loss: np.ndarray


def draw(result: Result) -> Figure:
    """Both branches, refits behind them, and the best solution along the axis."""
    arrays = result.arrays
    names = ("pentagon (exact)", "two digons, the varied feature at 0 (exact)")
    return branches(
        arrays["relative"],
        [Branch(name, loss) for name, loss in zip(names, arrays["loss"], strict=True)],
        (arrays["refit_relative"], arrays["refit_loss"]),
        arrays["planes"],
        arrays["at"],
        crossing=result.numbers["crossing"],
        label=f"density of one feature, relative to the others' ({result.config.baseline:g})",
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    crossing, end = result.numbers["crossing"], result.numbers["pentagon_ends"]
    return (
        "Expected loss against the relative density of one of five features, two lines: the pentagon and two digons. "
        f"They cross at {crossing:.3f}, the digons lower to the left; the pentagon's line ends at {end:.3f}. "
        "Above, the best solutions: two digons on the left, pentagons on the right."
    )


def branches(
    x: np.ndarray,
    lines: Sequence[Branch],
    refits: tuple[np.ndarray, np.ndarray],
    planes: np.ndarray,
    at: np.ndarray,
    *,
    crossing: float,
    label: str,
    marked: int = 0,
) -> Figure:
    """Loss against x (x,), both logarithmic, a line a branch, and dots for refits: x (k,), loss (k, seed).

    planes W (p, 2, n), drawn above at x = `at` (p,), the feature `marked` in another colour, pointing up; a
    dashed line where two branches cross. Elhage et al. 2022, "Perturbing a single feature".
    """
    x = grid(x, "x", (None,))
    planes = grid(planes, "planes", (None, 2, None))
    at = grid(at, "at", (len(planes),))
    limit = 1.2 * max(1.0, float(np.nanmax(np.linalg.norm(planes, axis=1))))
    side, pitch, left = 1.35, 1.47, 0.95
    width = left + len(planes) * pitch + 0.1
    span = len(planes) * pitch - (pitch - side)
    with styled():
        figure = Figure(figsize=(width, side + 4.9), dpi=DPI, facecolor="white")
        axes = place(figure, left, side + 1.0, span, 3.3)
        axes.set(xscale="log", yscale="log", xlim=(x.min(), x.max()))
        axes.spines[["left", "bottom"]].set(visible=True)
        spots = np.repeat(refits[0], np.shape(refits[1])[1])
        axes.scatter(spots, np.ravel(refits[1]), 13, color="#222222", alpha=0.6, linewidth=0, zorder=5, clip_on=False,
                     label="trained, one dot a seed")  # fmt: skip
        for line, colour in zip(lines, COLOURS, strict=False):
            axes.plot(x, line.loss, color=colour, linewidth=2.2, zorder=3, label=plain(line.name))
            ends = np.flatnonzero(np.isfinite(line.loss))
            if len(ends) and ends[0] > 0:  # the branch ends inside the picture
                axes.plot(x[ends[0]], line.loss[ends[0]], "o", color="white", markeredgecolor=colour,
                          markersize=7, markeredgewidth=1.8, zorder=4, gid="end")  # fmt: skip
        axes.axvline(crossing, color=INK, linewidth=1, dashes=(5, 4), zorder=1)
        axes.annotate(f"cross at {crossing:.4f} = 1/{1 / crossing:.2f}", (crossing, 0.03), (6, 0), fontsize=9.5,
                      xycoords=("data", "axes fraction"), textcoords="offset points", color=INK)  # fmt: skip
        ticks = [t for t in (0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 3.0) if x.min() <= t <= x.max()]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{t:g}" for t in ticks], fontsize=9.5)
        low, high = (float(f(line.loss)) for f, line in ((np.nanmin, lines[-1]), (np.nanmax, lines[-1])))
        levels = [
            v for v in (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1) if low / 2 < v < 2 * high
        ]
        axes.yaxis.set_major_locator(FixedLocator(levels))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticklabels([f"{v:g}" for v in levels], fontsize=9.5)
        axes.set_xlabel(label, fontsize=10.5)
        axes.set_ylabel("expected loss", fontsize=10.5)
        axes.tick_params(length=4, color=INK)
        axes.legend(loc="upper left", fontsize=9.5, frameon=False)
        for k, W in enumerate(planes):
            spot = left + k * pitch
            colours = [MARKED if i == marked else "#555555" for i in range(W.shape[1])]
            shapes = ["D" if i == marked else "o" for i in range(W.shape[1])]
            plane(place(figure, spot, 0.42, side, side), upright(W, marked), colours, shapes, limit)
            write(figure, spot + side / 2, 0.33, f"{at[k]:.2f}×", 9.5, ha="center", color=MUTED)
            where = left + span * float(np.log(at[k] / x.min()) / np.log(x.max() / x.min()))
            lead = place(figure, 0, 0.42 + side, width, 0.58)
            lead.set(xlim=(0, width), ylim=(0.58, 0), facecolor="none")
            lead.plot([spot + side / 2, where], [0.06, 0.53], color="#bbbbbb", linewidth=1)
    return figure
