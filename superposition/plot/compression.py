"""A code and what it costs: its functions, and loss curves against a linear code's reference line."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, Locator, LogLocator

from superposition.errors import ConfigError
from superposition.plot.style import DPI, INK, MUTED, fitted, grid, place, plain, quote, styled

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
WIDE, HIGH, LEFT, TOP, ACROSS, DOWN = 3.9, 2.7, 0.8, 0.45, 6.7, 3.75  # inches


class Curves(NamedTuple):
    """One panel: lines over x by name, and dashed grey `reference` lines; `note` is written under the title."""

    title: str
    x_label: str
    y_label: str
    x: np.ndarray
    lines: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]
    log_x: bool = False
    log_y: bool = False
    note: str = ""


def compression(panels: Sequence[Curves]) -> Figure:
    """Panels two by two, each with its key; a line that is NaN somewhere is not drawn there."""
    if not panels or any(len(panel.lines) > len(COLOURS) for panel in panels):
        raise ConfigError(f"give at least one panel, of at most {len(COLOURS)} lines each.")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with styled():
        size = (LEFT + ACROSS * columns - 0.6, TOP + DOWN * (rows - 1) + HIGH + 0.55)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        for number, panel in enumerate(panels):
            left, top = LEFT + ACROSS * (number % columns), TOP + DOWN * (number // columns)
            quote(
                figure,
                left,
                top - 0.22,
                fitted(panel.title, 11, 72 * WIDE, "bold"),
                11,
                weight="bold",
                va="bottom",
            )
            quote(figure, left, top - 0.05, fitted(panel.note, 8.5, 72 * WIDE), 8.5, color=MUTED, va="bottom")
            _curves(place(figure, left, top, WIDE, HIGH), panel)
    return figure


def _curves(axes: Axes, panel: Curves) -> None:
    x = grid(panel.x, "x", (None,))
    axes.spines[["left", "bottom"]].set(visible=True, linewidth=0.8)
    for (name, values), colour in zip(panel.lines.items(), COLOURS, strict=False):
        axes.plot(x, grid(values, name, (len(x),)), color=colour, linewidth=1.8, label=plain(name, 40))
    for (name, values), dash in zip(panel.reference.items(), ("--", ":", "-.") * 2, strict=False):
        line = grid(values, name, (len(x),))
        axes.plot(x, line, color=INK, linewidth=1.3, linestyle=dash, label=plain(name, 40), zorder=1.5)
    axes.set(xscale="log" if panel.log_x else "linear", yscale="log" if panel.log_y else "linear")
    axes.set_xlim(x.min(), x.max())
    if not panel.log_y:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(_locator(panel.log_x))
    axes.yaxis.set_major_locator(_locator(panel.log_y))
    axes.tick_params(length=4, color=INK, labelsize=9)
    axes.set_xlabel(plain(panel.x_label), fontsize=9.5, parse_math=False)
    axes.set_ylabel(plain(panel.y_label), fontsize=9.5, parse_math=False)
    axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.03), handlelength=1.8)


def _locator(logarithmic: bool) -> Locator:
    return LogLocator() if logarithmic else AutoLocator()
