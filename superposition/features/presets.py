"""Planted worlds by name: a law of features times a dictionary."""

from superposition.features.dictionary import Dictionary
from superposition.features.gaussian_copula import GaussianCopula
from superposition.features.hierarchical import Hierarchical, Levels
from superposition.features.independent import Independent
from superposition.features.magnitudes import NormalMagnitudes
from superposition.features.planted import Planted
from superposition.features.rates import Constant, Geometric, Zipf

NEARLY_ONE = NormalMagnitudes(first=1.0, last=1.0, std_mean=0.1)

SHARKEY = Planted(
    GaussianCopula(
        density=Geometric(decay=0.99, mean_active=5.0), correlation_rank=32, correlation_scale=0.125
    ),
    Dictionary(n_features=512, d_in=256),
)
"""Sharkey, Braun & Millidge 2022: 512 random directions in 256 dimensions, decay 0.99, 5 active, U[0, 1] values.

They too correlate features through Gaussians, with a full random covariance that modulates each feature's
probability; here it is a copula of rank 32 in which half of every feature's variance is shared, so that the
marginals stay c 0.99^i exactly.
"""

SYNTH_SAE_BENCH_16K = Planted(
    Hierarchical(
        density=Zipf(exponent=0.5, low=5e-4, high=0.4),
        magnitudes=NormalMagnitudes(first=5.0, last=4.0, std_mean=0.5, std_std=0.5),
        roots=128,
        branching=4,
        depth=3,
        exclusive=True,
        compensate="published",
        scale_children=True,
        correlation_rank=25,
        correlation_scale=0.1,
        seed=42,
    ),
    Dictionary(n_features=16384, d_in=768, kind="orthogonalized"),
    bias_norm=0.5,
    seed=42,
)
"""SynthSAEBench-16k v2 (arXiv 2602.14687): the published numbers and laws, our own random draws of the arrays.

On average 34.4 features are active, 25.1 of them among the 4096 most frequent; rho_mm = 0.145.
"""

SYNTH_SAE_BENCH = Planted(
    Hierarchical(
        density=Zipf(exponent=0.5, low=8e-3, high=0.4),
        magnitudes=NormalMagnitudes(first=5.0, last=4.0, std_mean=0.5, std_std=0.5),
        roots=8,
        branching=4,
        depth=3,
        exclusive=True,
        compensate="published",
        scale_children=True,
        correlation_rank=25,
        correlation_scale=0.1,
        seed=42,
    ),
    Dictionary(n_features=1024, d_in=256, kind="orthogonalized"),
    bias_norm=0.5,
    seed=42,
)
"""SynthSAEBench-16k with a sixteenth of the features: 8 trees of the same shape, two thirds of the features as there.

d_in is a third, not a sixteenth, since rho_mm depends on d_in more than on n_features: 0.19 here (0.28 with 128
dimensions). The rarest rate is sixteen times as high, so that the tail carries the same share of the activity and a
run of minutes meets every feature; 10.1 are active on average, the same number per dimension within a tenth.
"""

ORTHOGONAL = Planted(
    Independent(density=Constant(mean_active=2.0), magnitudes=NEARLY_ONE),
    Dictionary(n_features=32, d_in=64, kind="orthogonal"),
)
"""No superposition: 32 orthogonal features in 64 dimensions, independent, 2 active; any SAE should be perfect."""

HIERARCHY = Planted(
    Hierarchical(
        density=Levels(high=0.25, ratio=0.2),
        magnitudes=NEARLY_ONE,
        roots=8,
        branching=4,
        depth=1,
        exclusive=True,
        compensate="exact",
    ),
    Dictionary(n_features=40, d_in=64, kind="orthogonal"),
)
"""For absorption: 8 parents that fire with probability 0.25, each with 4 exclusive children of 0.05, all orthogonal.

A child fires on a fifth of its parent's examples (the numbers of Chanin et al. 2025, arXiv 2505.11756).
"""

CORRELATED = Planted(
    GaussianCopula(
        density=Constant(mean_active=4.0),
        magnitudes=NEARLY_ONE,
        correlation_rank=4,
        correlation_scale=0.4,
    ),
    Dictionary(n_features=32, d_in=64, kind="orthogonal"),
)
"""For hedging: 32 orthogonal features of probability 0.125 in 64 dimensions, pairs correlated by about +-0.3."""
