"""Streams of activations for SAEs. A new source is one file and one line here."""

from superposition.activations._base import HELD_OUT_STEP, Batch, Source, Stream
from superposition.activations.array import ArrayActivations, array_stream
from superposition.activations.files import FileActivations, file_stream
from superposition.activations.given import as_stream
from superposition.activations.mixing import Mixing, mixed_stream
from superposition.activations.planted import PlantedActivations, planted_stream
from superposition.activations.toy import ToyActivations, toy_stream

__all__ = [
    "HELD_OUT_STEP",
    "ArrayActivations",
    "Batch",
    "FileActivations",
    "Mixing",
    "PlantedActivations",
    "Source",
    "Stream",
    "ToyActivations",
    "array_stream",
    "as_stream",
    "file_stream",
    "mixed_stream",
    "planted_stream",
    "toy_stream",
]
