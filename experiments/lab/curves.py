"""Curves with a band over seeds, in colours and markers that every eye tells apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.lab.seeds import half_interval

# Okabe and Ito's palette without its yellow, which is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = "osD^vP*X"


def curve(axes: Axes, x: Sequence[float], values: np.ndarray, number: int, label: str, **style: Any) -> None:
    """Mean over the last axis with its 95 % interval as a band; values (x, seeds)."""
    mean, half = values.mean(-1), half_interval(values)
    colour = COLOURS[number % len(COLOURS)]
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        x, mean, color=colour, marker=MARKERS[number % len(MARKERS)], markersize=5, label=label, **style
    )


def quiet(axes: Axes, which: str = "y") -> None:
    """Axes with two spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, length=3)
    axes.grid(axis=which, color="#eeeeee", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
