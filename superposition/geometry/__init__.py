"""What W looks like: Gram matrix and dimensionalities, polytopes of features and their energies, codes of neurons."""

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
from superposition.geometry.motif import Motif, motifs
from superposition.geometry.neurons import Neurons, concentration, feature_codes, neurons
from superposition.geometry.polytopes import Arrangement, Component, census, recognise

__all__ = [
    "DEAD",
    "Arrangement",
    "Component",
    "Motif",
    "Neurons",
    "antipodal_pairs",
    "census",
    "concentration",
    "cosines",
    "dimensionality",
    "feature_codes",
    "gram",
    "interference",
    "motifs",
    "neurons",
    "norms",
    "recognise",
    "represented",
]
