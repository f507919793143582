"""Drawings in the papers' manner: a sweep, trained models or arrays in, a matplotlib Figure out."""

from superposition.plot.animation import save_animation
from superposition.plot.columns import Group, columns
from superposition.plot.features_2d import features_2d
from superposition.plot.neurons import neurons
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
from superposition.plot.recovery import Curve, Map, against_l0, found, maps
from superposition.plot.sae import decoder_cosines, history, matched_cosines
from superposition.plot.save import save

__all__ = [
    "THREE_IN_TWO",
    "TRIANGLE",
    "TWO_IN_ONE",
    "Curve",
    "Group",
    "Map",
    "Measured",
    "Panel",
    "Phase",
    "Shortfall",
    "Theory",
    "against_l0",
    "columns",
    "decoder_cosines",
    "features_2d",
    "found",
    "history",
    "maps",
    "matched_cosines",
    "neurons",
    "phase_colour",
    "phase_diagram",
    "save",
    "save_animation",
]
