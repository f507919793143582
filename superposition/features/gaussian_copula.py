"""Features whose coins are correlated, without any trees."""

from dataclasses import dataclass

from superposition.features.gated import GatedLaw


@dataclass(frozen=True)
class GaussianCopula(GatedLaw):
    """Features that are active together more, or less, often than chance: a random low-rank Gaussian copula.

    Feature i is active when z_i ~ N(0, 1) exceeds its quantile, and corr(z_i, z_j) = F_i . F_j with
    F_ik ~ N(0, correlation_scale^2), (n_features, correlation_rank), drawn once by `seed`. So P(x_i != 0) stays p_i for
    magnitudes that are always positive, the default U[0, 1]. Rank 0 is independence.

    density or sparsity: a number, one per feature, or for density `Rates`. Raises ConfigError out of range.
    Source: SynthSAEBench (arXiv 2602.14687), "Correlation".

    >>> law = GaussianCopula(density=0.25, correlation_rank=2, correlation_scale=0.5)
    >>> law.firing_probabilities(3).tolist()
    [0.25, 0.25, 0.25]
    >>> bool(abs(law.second_moment(3)[0, 1] - law.mean(3)[0] ** 2) > 1e-4)  # not independent
    True
    """

    correlation_rank: int = 4
    """Rank of the correlation's factor."""
    correlation_scale: float = 0.4
    """Size of the factor's entries: 0 leaves features independent."""

    @property
    def correlation(self) -> tuple[int, float]:
        """correlation_rank and correlation_scale."""
        return self.correlation_rank, self.correlation_scale
