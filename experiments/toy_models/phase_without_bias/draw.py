"""The picture of `phase_without_bias`, and its alt text."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.claim import Result
from experiments.toy_models.phase_without_bias.claims import classify
from superposition import plot

PHASES = (
    *(phase._replace(perp=()) for phase in plot.TWO_IN_ONE),
    plot.Phase("Confused feature\n(both as one)", "#f0b429", (1, 1)),
)


def draw(result: Result) -> Figure:
    """Phases without and with bias, the weights behind them, and what the bias saves."""
    arrays: Any = result.arrays
    panels: list[Any] = [
        plot.Theory("Without bias: phases", classify(arrays["W"]), PHASES),
        plot.Theory("With bias: phases", classify(arrays["W_with_bias"]), PHASES),
    ]
    for title, W, borders in (
        ("Without bias: weights", arrays["W"], classify(arrays["W"])),
        ("With bias: weights", arrays["W_with_bias"], classify(arrays["W"])),
    ):
        panels.append(plot.Measured(title, np.abs(W[..., 1]), W[..., 0] ** 2, borders))
    excess = arrays["loss"] / arrays["loss_with_bias"] - 1
    panels.append(plot.Shortfall("What having no bias costs", excess, "loss without / with bias − 1"))
    return plot.phase_diagram(panels, arrays["relative_importance"], arrays["density"])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    shares = [
        np.bincount(classify(result.arrays[k]).ravel(), minlength=4) / result.arrays["loss"].size
        for k in ("W", "W_with_bias")
    ]
    words = [
        f"{name} {100 * a:.0f} % of cells without bias and {100 * b:.0f} % with"
        for name, a, b in zip(
            ("extra feature dropped", "other feature dropped", "antipodal pair", "confused feature"),
            *shares,
            strict=True,
        )
    ]
    return (
        "Phase diagrams of two features in one dimension at the exact minimum, without and with a bias, over relative "
        "importance 0.1 to 10 and density 1 to 0.01: "
        + "; ".join(words)
        + ". The confused phase is a cap at the top "
        "middle, above the antipodal phase. The last panel maps how much more the loss is without a bias."
    )
