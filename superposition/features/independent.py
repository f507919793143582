"""Independent features with any magnitudes."""

from dataclasses import dataclass, field

from superposition.features.gated import GatedLaw
from superposition.features.magnitudes import Magnitudes, NormalMagnitudes


@dataclass(frozen=True)
class Independent(GatedLaw):
    """Independent features: x_i = 0 with probability 1 - p_i, else a magnitude, by default |x_i| ~ N(1, 0.5) above 0.

    E x_i = p_i E max(0, m_i), E x_i^2 = p_i E max(0, m_i)^2, and E x_i x_j = E x_i E x_j. A rectified magnitude of 0
    counts as not active, so that P(x_i != 0) = p_i P(m_i > 0). signed: with a random sign.

    density or sparsity: a number, one per feature, or for density `Rates`. Raises ConfigError out of range.

    >>> from superposition.features import NormalMagnitudes
    >>> law = Independent(density=0.5, magnitudes=NormalMagnitudes(first=2.0, last=1.0, std_mean=0.0))
    >>> law.mean(2).tolist()
    [1.0, 0.5]
    """

    magnitudes: Magnitudes = field(default_factory=NormalMagnitudes)
