"""Where x comes from: distributions of features. A new law is one file and one line here."""

from superposition.features._base import FeatureLaw, Thresholds, thresholds
from superposition.features._draw import key_words, uniform
from superposition.features.correlated import Anticorrelated, Correlated
from superposition.features.dictionary import mean_max_cosine, orthogonal, orthogonalized, random_unit
from superposition.features.hierarchy import Forest
from superposition.features.planted import Planted
from superposition.features.presets import (
    CORRELATED,
    HIERARCHY,
    ORTHOGONAL,
    SHARKEY,
    SYNTH_SAE_BENCH,
    SYNTH_SAE_BENCH_16K,
)
from superposition.features.sparse_uniform import SparseUniform
from superposition.features.world import World

FEATURES: dict[str, type[FeatureLaw]] = {
    "sparse-uniform": SparseUniform,
    "correlated": Correlated,
    "anticorrelated": Anticorrelated,
}

PLANTED: dict[str, Planted] = {
    "sharkey": SHARKEY,
    "synth-sae-bench": SYNTH_SAE_BENCH,
    "synth-sae-bench-16k": SYNTH_SAE_BENCH_16K,
    "orthogonal": ORTHOGONAL,
    "hierarchy": HIERARCHY,
    "correlated": CORRELATED,
}

__all__ = [
    "FEATURES",
    "PLANTED",
    "Anticorrelated",
    "Correlated",
    "FeatureLaw",
    "Forest",
    "Planted",
    "SparseUniform",
    "Thresholds",
    "World",
    "key_words",
    "mean_max_cosine",
    "orthogonal",
    "orthogonalized",
    "random_unit",
    "thresholds",
    "uniform",
]
