"""What W looks like: its Gram matrix and dimensionalities, the polytopes its features form, their energies."""

from superposition.geometry.matrix import (
    DEAD,
    antipodal_pairs,
    cosines,
    dimensionality,
    gram,
    interference,
    norms,
    represented,
)
from superposition.geometry.polytopes import Arrangement, Component, census, recognise

__all__ = [
    "DEAD",
    "Arrangement",
    "Component",
    "antipodal_pairs",
    "census",
    "cosines",
    "dimensionality",
    "gram",
    "interference",
    "norms",
    "recognise",
    "represented",
]
