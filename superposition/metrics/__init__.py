"""Reconstruction, sparsity and recovery of known features: one definition for toys and language models.

Arrays are batch-first: `latents` (batch, d_sae), true `coefficients` (batch, n_features), `x` and `x_hat`
(batch, d_in), `W_dec` (d_sae, d_in), `dictionary` (n_features, d_in); NumPy or JAX. Whatever averages over
examples can be streamed: sum each batch, `add`, and finish with the function of the same name and `_from`.
"""

from superposition.metrics.absorption import (
    Absorption,
    AbsorptionCounts,
    Hedging,
    HedgingDegree,
    absorption_counts,
    absorption_from,
    absorption_rate,
    hedging,
    hedging_degree,
)
from superposition.metrics.classification import (
    Bands,
    Classification,
    Magnitude,
    Scores,
    activation_correlation,
    activation_correlation_from,
    classify,
    classify_from,
    f1_by_frequency,
    f1_by_frequency_from,
    magnitude_slope,
    magnitude_slope_from,
)
from superposition.metrics.detection import (
    Detections,
    Detector,
    best_detectors,
    detections,
    judge,
    thresholds_of,
)
from superposition.metrics.moments import Comoments, Moments, add
from superposition.metrics.ranking import average_precision
from superposition.metrics.reconstruction import (
    DensityHistogram,
    Reconstruction,
    cosine,
    dead_fraction,
    dense_fraction,
    densities,
    density_histogram,
    explained_variance,
    fvu,
    l0,
    reconstruction_from,
    relative_norm,
)
from superposition.metrics.recovery import (
    Match,
    cosines,
    found,
    match,
    mcc,
    mmcs,
    nearest,
    recovery_scores,
    uniqueness,
)
from superposition.metrics.splitting import (
    Coalescing,
    CoFiring,
    Coverage,
    Splitting,
    coalescing,
    cofiring,
    coverage,
    lineage,
    split_features,
)
from superposition.metrics.streaming import Sums, accumulate
from superposition.metrics.universality import (
    Chance,
    Consensus,
    Partners,
    Shared,
    against_chance,
    best_partners,
    consensus,
    consensus_by_activation,
    correlation_sums,
    correlations,
    partners,
    rotated,
    shared,
    shuffled,
)

__all__ = [
    "Absorption", "AbsorptionCounts", "Bands", "Chance", "Classification", "CoFiring", "Coalescing",
    "Comoments", "Consensus", "Coverage", "DensityHistogram", "Detections", "Detector", "Hedging",
    "HedgingDegree", "Magnitude", "Match", "Moments", "Partners", "Reconstruction", "Scores", "Shared",
    "Splitting", "Sums", "absorption_counts", "absorption_from", "absorption_rate", "accumulate",
    "activation_correlation", "activation_correlation_from", "add", "against_chance", "average_precision", "best_detectors",
    "best_partners", "classify", "classify_from", "coalescing", "cofiring", "consensus",
    "consensus_by_activation", "correlation_sums", "correlations", "cosine", "cosines", "coverage",
    "dead_fraction", "dense_fraction", "densities", "density_histogram", "detections", "explained_variance",
    "f1_by_frequency", "f1_by_frequency_from", "found", "fvu", "hedging", "hedging_degree", "judge", "l0",
    "lineage", "magnitude_slope", "magnitude_slope_from", "match", "mcc", "mmcs", "nearest", "partners",
    "reconstruction_from", "recovery_scores", "relative_norm", "rotated", "shared", "shuffled", "split_features", "thresholds_of",
    "uniqueness",
]  # fmt: skip
