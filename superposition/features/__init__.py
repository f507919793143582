"""Where x comes from: laws of features. A new law is one file and one line in FEATURES."""

from superposition.features._base import FeatureLaw, Sets
from superposition.features._draw import key_words, uniform
from superposition.features._elementwise import ElementwiseLaw, Thresholds, thresholds
from superposition.features.bernoulli import Bernoulli
from superposition.features.correlated import Anticorrelated, Correlated
from superposition.features.dictionary import (
    Dictionary,
    mean_max_cosine,
    orthogonal,
    orthogonalized,
    random_unit,
)
from superposition.features.gaussian_copula import GaussianCopula
from superposition.features.hierarchical import Hierarchical, Levels
from superposition.features.hierarchy import Forest
from superposition.features.independent import Independent
from superposition.features.magnitudes import MAGNITUDES, Magnitudes, NormalMagnitudes, UniformMagnitudes
from superposition.features.planted import Planted, World
from superposition.features.presets import (
    CORRELATED,
    HIERARCHY,
    ORTHOGONAL,
    SHARKEY,
    SYNTH_SAE_BENCH,
    SYNTH_SAE_BENCH_16K,
)
from superposition.features.rates import Constant, Geometric, LinearRates, Rates, Zipf
from superposition.features.sparse_uniform import SparseUniform
from superposition.features.stored import RATES

# Every law of features by the name that commands and files give it.
FEATURES: dict[str, type[FeatureLaw]] = {
    "sparse-uniform": SparseUniform,
    "correlated": Correlated,
    "anticorrelated": Anticorrelated,
    "independent": Independent,
    "copula": GaussianCopula,
    "hierarchical": Hierarchical,
    "bernoulli": Bernoulli,
}

# Planted worlds by name: a law, a dictionary and a size, as their papers have them.
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
    "MAGNITUDES",
    "PLANTED",
    "RATES",
    "Anticorrelated",
    "Bernoulli",
    "Constant",
    "Correlated",
    "Dictionary",
    "ElementwiseLaw",
    "FeatureLaw",
    "Forest",
    "GaussianCopula",
    "Geometric",
    "Hierarchical",
    "Independent",
    "Levels",
    "LinearRates",
    "Magnitudes",
    "NormalMagnitudes",
    "Planted",
    "Rates",
    "Sets",
    "SparseUniform",
    "Thresholds",
    "UniformMagnitudes",
    "World",
    "Zipf",
    "key_words",
    "mean_max_cosine",
    "orthogonal",
    "orthogonalized",
    "random_unit",
    "thresholds",
    "uniform",
]
