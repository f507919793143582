"""Where x comes from: distributions of features. A new law is one file and one line here."""

from superposition.features._base import FeatureLaw, Thresholds, thresholds
from superposition.features._draw import key_words, uniform
from superposition.features.correlated import Anticorrelated, Correlated
from superposition.features.sparse_uniform import SparseUniform

FEATURES: dict[str, type[FeatureLaw]] = {
    "sparse-uniform": SparseUniform,
    "correlated": Correlated,
    "anticorrelated": Anticorrelated,
}

__all__ = [
    "FEATURES",
    "Anticorrelated",
    "Correlated",
    "FeatureLaw",
    "SparseUniform",
    "Thresholds",
    "key_words",
    "thresholds",
    "uniform",
]
