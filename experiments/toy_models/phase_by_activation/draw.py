"""The picture of `phase_by_activation`, and its alt text."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.claim import Result
from experiments.toy_models.phase_by_activation.claims import shares
from experiments.toy_models.phase_by_activation.config import NAMES
from experiments.toy_models.shared import phase_figure
from superposition import plot, theory


def draw(result: Result) -> Figure:
    """One diagram per activation, ReLU's borders laid over, beside the paper's theory."""
    arrays: Any = result.arrays
    r, p = arrays["relative_importance"], arrays["density"]
    classes = phase_figure.classify(arrays["norm"], arrays["interference"])
    panels: list[Any] = [
        plot.Theory("Theory (ReLU, the paper's)", _theory(r, p), plot.TWO_IN_ONE),
        *(
            plot.Measured(
                f"{NAMES[a]}: {100 * share:.0f} % in superposition",
                arrays["norm"][k],
                arrays["interference"][k],
                classes[0] if k else None,
            )
            for k, (a, share) in enumerate(zip(result.config.activations, shares(arrays)[:, 2], strict=True))
        ),
    ]
    return plot.phase_diagram(panels, r, p)


def _theory(r: np.ndarray, p: np.ndarray) -> np.ndarray:
    best: np.ndarray = theory.phase_losses(theory.PHASES_2_1, r[None, :], p[:, None]).argmin(0)
    return best


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"{NAMES[a]} {100 * absent:.0f}, {100 * alone:.0f} and {100 * shared:.0f} %"
        for a, (absent, alone, shared) in zip(result.config.activations, shares(result.arrays), strict=True)
    ]
    return (
        "Phase diagrams of an extra feature at the exact minimum, n=2, m=1, one per activation, over relative importance "
        "0.1 to 10 and density 1 to 0.01. Cells in which it is not represented, dedicated and in superposition: "
        + "; ".join(parts)
        + "."
    )
