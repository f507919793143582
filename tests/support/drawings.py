"""What is seen of a figure: its pixels, its words, and models whose drawing is known."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from superposition.plot import (
    TWO_IN_ONE,
    Group,
    Measured,
    Panel,
    Phase,
    Shortfall,
    Theory,
    columns,
    phase_diagram,
)


def drawn(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def two_columns(n: int = 6) -> Figure:
    W = np.zeros((2, 3, n))
    W[0, :, :3] = np.diag([1.0, 0.8, 0.5])
    W[1, 0, :2] = 1.0, -0.5
    groups = [Group("Linear", 0, 0, "**bold** words."), Group("ReLU", 1, 1)]
    return columns(
        W, np.zeros((2, n)), ["(any)", 0.3], importance_label="0.7^i", groups=groups, hidden_rule=True
    )


def bars(figure: Figure, label: str = "norms") -> list[Any]:
    return [c for axes in figure.axes for c in axes.containers if c.get_label() == label]


X, Y = np.logspace(-1, 1, 5), np.logspace(0, -2, 4)


CLASSES = np.broadcast_to(np.arange(5) % 3, (4, 5))


ONES = np.ones((4, 5))


def all_five(classes: np.ndarray = CLASSES, phases: tuple[Phase, ...] = TWO_IN_ONE) -> Figure:
    panels: list[Panel] = [
        Theory("Theory", classes, phases),
        Measured("Exact minimum", ONES, 0 * ONES, borders=classes),
        Measured("Paper's rule", ONES, ONES),
        Measured("Best", ONES, np.nan * ONES),
        Shortfall("Shortfall", np.where(np.arange(5) == 2, 0.02, 1e-5) * ONES),
    ]
    return phase_diagram(panels, X, Y)
