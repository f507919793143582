"""A code and what it costs: its functions, and loss curves against a linear code's reference line."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import AutoLocator, Locator, LogLocator

from experiments.lab.claim import Result
from experiments.toy_models.nonlinear_compression.config import LEVELS
from superposition.errors import ConfigError
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, place, plain, quote, styled
from superposition.theory import compression as code

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


def draw(result: Result) -> Figure:
    """The code, its loss against segments, against noise, and against sparsity."""
    a: Any = result.arrays
    t = np.linspace(0, 1, 601)
    step, sharp = (code.staircase(3 * t, 3, w) for w in (0.1, 0.0))
    linear = np.full_like(a["width"], float(code.linear_error()))
    return compression(
        [
            Curves(
                "The code: Z = 3, epsilon = 0.1",
                "t",
                "read back",
                t,
                {"x' = s(Zt)/Z": step / 3, "y' = Zt − s(Zt)": 3 * t - step},
                {"with jumps": sharp / 3, "": 3 * t - sharp},
                note="t = (s(Zx) + y)/Z, s the floor function with sloped jumps",
            ),
            Curves(
                "Loss against width of the segments",
                "epsilon",
                "E (x−x')² + E (y−y')²",
                a["width"],
                {f"Z = {z}": a["best_constant"][k] for k, z in enumerate(LEVELS)},
                {"linear, 1/12": linear, "Z = 3, no constant": a["floor"][LEVELS.index(3)]},
                note="dense inputs; a line ends where segments meet",
            ),
            Curves(
                "Loss against noise in t (with jumps)",
                "standard deviation of the noise",
                "loss",
                a["noise"],
                {f"Z = {z}": a["noisy"][k] for k, z in enumerate(LEVELS)},
                {"linear": a["noisy_linear"]},
                log_x=True,
                note="dense inputs",
            ),
            Curves(
                "Loss against density (with jumps, no noise)",
                "feature density (1−S)",
                "loss",
                a["density"],
                {
                    "Z = 3": a["sparse"][LEVELS.index(3)],
                    "Z = 10": a["sparse"][LEVELS.index(10)],
                    "superposition": a["superposition"],
                },
                {"linear": a["sparse_linear"]},
                log_x=True,
                log_y=True,
                note="superposition: x' = relu(WᵀWx), one dimension, best W",
            ),
        ]
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    claims = result.claims
    return (
        "Four panels. The code's two readouts over t, a staircase and a sawtooth with sloped jumps. Its loss against the "
        f"width of the slopes, rising but below the linear reference line: {claims[0].measured}. Loss against noise, where "
        f"curves of several Z cross the linear one: {claims[5].measured}. Loss against density: {claims[7].measured}."
    )


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
