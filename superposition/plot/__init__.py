"""Drawings in the papers' manner: a sweep, trained models or arrays in, a matplotlib Figure out."""

from superposition.plot.animation import save_animation
from superposition.plot.charts import bars, doses, matrix
from superposition.plot.columns import Group, columns
from superposition.plot.features_2d import features_2d
from superposition.plot.layers import architecture, network
from superposition.plot.neurons import neurons
from superposition.plot.panels import (
    THREE_IN_TWO,
    TRIANGLE,
    TWO_IN_ONE,
    Measured,
    Panel,
    Phase,
    Shortfall,
    Theory,
)
from superposition.plot.paths import dimensionalities, training_path
from superposition.plot.phase import phase_colour, phase_diagram
from superposition.plot.recovery import Curve, Map, against_l0, found, maps
from superposition.plot.sae import decoder_cosines, history, matched_cosines
from superposition.plot.save import save
from superposition.plot.slide import style
from superposition.plot.units import detection, fired_on
from superposition.plot.vectors import angles, neuron_view, raster

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
    "angles",
    "architecture",
    "bars",
    "columns",
    "decoder_cosines",
    "detection",
    "dimensionalities",
    "doses",
    "features_2d",
    "fired_on",
    "found",
    "history",
    "maps",
    "matched_cosines",
    "matrix",
    "network",
    "neuron_view",
    "neurons",
    "phase_colour",
    "phase_diagram",
    "raster",
    "save",
    "save_animation",
    "style",
    "training_path",
]
