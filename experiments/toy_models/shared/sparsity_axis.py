"""The logarithmic axis of sparsity, 1/(1-S), that two figures share."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from superposition.errors import ConfigError
from superposition.plot.style import CREAM, FRAME, grid


def positive(inverse_density: np.ndarray) -> np.ndarray:
    """Return 1/(1-S) as an array of positive numbers; ConfigError for others."""
    x = grid(inverse_density, "inverse_density", (None,))
    if not (np.isfinite(x).all() and (x > 0).all()):
        raise ConfigError("inverse_density must be positive and finite, for a logarithmic axis")
    return x


def log_axis(axes: Axes, x: np.ndarray) -> None:
    """Make the x axis logarithmic in 1/(1-S), with the ticks of the paper."""
    axes.set_xscale("log")
    axes.set_xlim(x.min() / 1.06, x.max() * 1.06)
    axes.set_facecolor(CREAM)
    axes.spines[:].set(visible=True, color=FRAME)
    ticks = [
        t for t in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000) if x.min() <= t * 1.01 <= x.max() * 1.02
    ]
    axes.set_xticks(ticks, minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}"))
    axes.set_xlabel(r"Sparsity  $1\,/\,(1-S)$", fontsize=11)
