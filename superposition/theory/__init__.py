"""What is known without training: the linear optimum, the paper's phases, and exact minima."""

from superposition.theory.branches import Branches, follow
from superposition.theory.closed_forms import (
    PHASES_2_1,
    PHASES_3_2,
    TRIANGLE,
    Phase,
    boundary_2_1,
    boundary_3_2,
    linear_optimum,
    phase_losses,
    variance,
)
from superposition.theory.minimum import Minimum, exact_minimum

__all__ = [
    "PHASES_2_1",
    "PHASES_3_2",
    "TRIANGLE",
    "Branches",
    "Minimum",
    "Phase",
    "boundary_2_1",
    "boundary_3_2",
    "exact_minimum",
    "follow",
    "linear_optimum",
    "phase_losses",
    "variance",
]
