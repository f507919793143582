"""Vulnerability beside features per dimension, one against the other, and what training under attack does."""

from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, NullLocator

from experiments.lab.claim import Result
from superposition.errors import ConfigError
from superposition.plot.style import DPI, INK, MUTED, Figure, grid, styled

HARM, LOAD = "#c1440e", "#22577a"


class Training(NamedTuple):
    """After attacks of a fraction (k,) of the input norm: features per dimension, and how many have norm > 1/2.

    Both (k, seeds).
    """

    fraction: np.ndarray
    per_dimension: np.ndarray
    represented: np.ndarray


def draw(result: Result) -> Figure:
    """Vulnerability and features per dimension over sparsity, one against the other, and after training."""
    a = result.arrays
    training = Training(a["training_attacks"], a["training_per_dimension"], a["training_represented"])
    return adversarial(
        1 / np.array(result.config.uniform.densities),
        a["relative"],
        a["ascent"],
        a["per_dimension"],
        training,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    relative, load = result.arrays["relative"].mean(1), result.arrays["per_dimension"].mean(1)
    last = 1 / result.config.uniform.densities[-1]
    return (
        f"Over 1/(1-S) from 1 to {last:.0f}, relative vulnerability rises from {relative[0]:.2f} to {relative[-1]:.1f} "
        f"while features per dimension rise from {load[0]:.2f} to {load[-1]:.1f}; one against the other, the models "
        "lie on one rising curve; and features per dimension after training under attacks of growing norm."
    )


def adversarial(
    inverse_density: np.ndarray,
    vulnerability: np.ndarray,
    ascent: np.ndarray,
    per_dimension: np.ndarray,
    training: Training,
) -> Figure:
    """Three panels: over 1/(1-S) (k,), one against the other, and training under attack. Elhage et al. 2022.

    vulnerability and per_dimension (k, seeds), both 1 without superposition; ascent (k,), the same by gradient
    ascent. Raises ConfigError for other shapes, or numbers that a logarithmic axis cannot show.
    """
    x = grid(inverse_density, "inverse_density", (None,))
    harm = grid(vulnerability, "vulnerability", (len(x), None))
    load = grid(per_dimension, "per_dimension", harm.shape)
    climbed = grid(ascent, "ascent", x.shape)
    if not all((v > 0).all() for v in (x, harm, load, climbed)):
        raise ConfigError(
            "inverse_density, vulnerability, per_dimension and ascent must be > 0, for logarithmic axes."
        )
    with styled():
        figure = Figure(figsize=(13.2, 4.4), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
        _over_sparsity(left, x, harm, climbed, load)
        _against(figure, middle, x, harm, load)
        _training(right, training)
    return figure


def _over_sparsity(
    axes: Axes, x: np.ndarray, harm: np.ndarray, climbed: np.ndarray, load: np.ndarray
) -> None:
    order = np.argsort(x)
    x, harm, climbed, load = x[order], harm[order], climbed[order], load[order]
    for values, colour in ((harm, HARM), (load, LOAD)):
        axes.fill_between(x, values.min(1), values.max(1), color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, values.mean(1), color=colour, linewidth=1.8, marker="o", markersize=3.5)
    axes.plot(x, climbed, color=HARM, linewidth=1.2, dashes=(4, 2))
    axes.set(xscale="log", yscale="log", xlim=(x.min() * 0.93, x.max() * 1.07))
    _logarithmic(axes.xaxis, x.min(), x.max())
    top = max(harm.max(), climbed.max(), load.max())
    axes.set_ylim(min(harm.min(), load.min(), climbed.min()) * 0.8, top * 2.6)
    _logarithmic(axes.yaxis, *axes.get_ylim())
    words = (
        (0.98, "Adversarial vulnerability, $(L'-L)/(L'_0-L_0)$", HARM, "bold"),
        (0.92, "the same, attacked by gradient ascent (dashed)", HARM, "normal"),
        (0.86, "Features per dimension, $1/D^* = ||W||_F^2/m$", LOAD, "bold"),
    )
    for y, text, colour, weight in words:
        axes.text(0.03, y, text, color=colour, weight=weight, fontsize=9, va="top", transform=axes.transAxes)
    _frame(axes, "Vulnerability rises with superposition", "$1/(1-S)$", "relative to no superposition")


def _against(figure: Figure, axes: Axes, x: np.ndarray, harm: np.ndarray, load: np.ndarray) -> None:
    shades, scale = colormaps["viridis"], LogNorm(x.min(), max(x.max(), x.min() * 1.01))
    colours = np.repeat(x[:, None], harm.shape[1], 1)
    axes.scatter(
        load, harm, c=colours, cmap=shades, norm=scale, s=22, edgecolor="white", linewidth=0.4, zorder=3
    )
    ends = np.array([load.min() * 0.9, load.max() * 1.1])
    for power, words in ((1, "in proportion"), (2, "as the square")):
        axes.plot(
            ends, ends**power, color=MUTED, linewidth=0.9, dashes=(2, 2), zorder=1, scalex=False, scaley=False
        )
        spot = ends[1] ** (0.72 if power == 1 else 0.64)
        axes.annotate(
            words, (spot, spot**power), (6, -4), textcoords="offset points", va="top", fontsize=8, color=MUTED
        )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=(harm.min() * 0.75, harm.max() * 1.6))
    _logarithmic(axes.xaxis, *ends)
    _logarithmic(axes.yaxis, *axes.get_ylim())
    bar = figure.colorbar(ScalarMappable(scale, shades), ax=axes, pad=0.02, shrink=0.8)
    bar.set_label("$1/(1-S)$")
    bar.outline.set_visible(False)  # type: ignore[operator]
    _logarithmic(bar.ax.yaxis, x.min(), x.max())
    _frame(
        axes,
        "One against the other, every model",
        "Features per dimension, $1/D^*$",
        "Adversarial vulnerability",
    )


def _training(axes: Axes, training: Training) -> None:
    fraction = grid(training.fraction, "fraction", (None,))
    load = grid(training.per_dimension, "per_dimension", (len(fraction), None))
    represented = grid(training.represented, "represented", load.shape)
    percent = 100 * fraction
    axes.fill_between(percent, load.min(1), load.max(1), color=LOAD, alpha=0.2, linewidth=0)
    axes.plot(percent, load.mean(1), color=LOAD, linewidth=1.8, marker="o", markersize=4)
    axes.axhline(1, color=MUTED, linewidth=0.9, dashes=(2, 2))
    axes.set_ylim(0, max(1.2, load.max() * 1.25))
    for at, here, count in zip(percent, load.max(1), represented.mean(1), strict=True):
        axes.annotate(f"{count:.2g}", (at, here), (6, 5), textcoords="offset points", ha="left", fontsize=8.5)
    axes.text(0.97, 0.97, "numbers: features with $||W_i|| > 1/2$", color=INK, fontsize=9, ha="right", va="top",
              transform=axes.transAxes)  # fmt: skip
    axes.annotate("one feature a dimension", (percent.min(), 1), (0, -4), textcoords="offset points", fontsize=8.5,
                  color=MUTED, va="top")  # fmt: skip
    _frame(
        axes,
        "Training under attack removes it",
        "Norm of training attacks (% of input norm)",
        "Features per dimension",
    )


def _frame(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, weight="bold")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)


def _logarithmic(axis: Axis, low: float, high: float) -> None:
    """Ticks 1, 2, 5, 10 ... between low and high, written out."""
    steps = [m * 10.0**k for k in range(-3, 5) for m in (1, 2, 5)]
    ticks = [t for t in steps if low * 0.999 <= t <= high * 1.001]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
