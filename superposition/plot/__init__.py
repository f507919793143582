"""Drawings in the papers' manner: plain numpy arrays in, a matplotlib Figure out."""

from superposition.plot.columns import Group, columns
from superposition.plot.features_2d import features_2d
from superposition.plot.phase import (
    THREE_IN_TWO,
    TRIANGLE,
    TWO_IN_ONE,
    Measured,
    Panel,
    Phase,
    Shortfall,
    Theory,
    phase_colour,
    phase_diagram,
)
from superposition.plot.save import save

__all__ = [
    "THREE_IN_TWO",
    "TRIANGLE",
    "TWO_IN_ONE",
    "Group",
    "Measured",
    "Panel",
    "Phase",
    "Shortfall",
    "Theory",
    "columns",
    "features_2d",
    "phase_colour",
    "phase_diagram",
    "save",
]
