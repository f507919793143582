"""Features in trees: a child fires only where its parent does."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from jaxtyping import Float64

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features._gated_draw import Rules
from superposition.features.gated import GatedLaw
from superposition.features.hierarchy import Forest
from superposition.features.rates import Rates
from superposition.typing import HostVector, Rate

COMPENSATIONS = ("no", "published", "exact")


@dataclass(frozen=True)
class Levels(Rates):
    """Densities by the level of a tree: high ratio^level for its nodes, the root being level 0, and `low` outside.

    They are for `Hierarchical` alone, which knows the trees. Raises ConfigError out of range.

    >>> Hierarchical(density=Levels(high=0.4, ratio=0.5, low=0.1)).densities(4).tolist()
    [0.4, 0.2, 0.2, 0.1]
    """

    high: float = 0.4
    ratio: float = 0.2
    low: float = 5e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.in_range("ratio", self.ratio, 0.0, 1e15, open_low=True)

    def vector(self, n: int) -> Float64[np.ndarray, "{n}"]:
        """Raise ConfigError: a law without trees has no levels."""
        raise ConfigError(
            "densities by Levels are for Hierarchical, which has trees; give other rates, or numbers"
        )


@dataclass(frozen=True)
class Hierarchical(GatedLaw):
    """Features in trees: a child is active only where its parent is, and exclusive siblings one at a time.

    Features are numbered breadth first: `roots` roots, then their children, `branching` each, and so on for `depth`
    levels; the features after these are in no tree and independent. The density of a feature is that of its own coin:

    - compensate="no": P(child) = P(parent) p_child w, w <= 1 being the chance that no exclusive sibling is chosen;
    - compensate="exact": coins are such that P(x_i != 0) is p_i (`Forest.compensated`);
    - compensate="published": SynthSAEBench's approximation of that (`Forest.published`).

    scale_children: a child's magnitude is multiplied by its parent's final magnitude over the parent's mean magnitude.
    correlation_rank, correlation_scale: of the coins' Gaussian copula (`GaussianCopula`); by default they are
    independent, and then the first two moments are known.

    density or sparsity: a number, one per feature, or for density `Rates` (`Levels` for one number a level). Raises
    ConfigError for values out of range, trees that do not fit the features, and densities that no coins give.
    Source: SynthSAEBench (arXiv 2602.14687), "Hierarchy".

    >>> law = Hierarchical(density=0.5, roots=1, branching=2, depth=1, exclusive=False)
    >>> law.firing_probabilities(4).tolist()  # a root, its two children, and a feature in no tree
    [0.5, 0.25, 0.25, 0.5]
    """

    roots: int = 1
    """Number of trees."""
    branching: int = 2
    """Children of every feature that has any."""
    depth: int = 1
    """Levels below the roots."""
    exclusive: bool = True
    """Siblings never fire together."""
    compensate: Literal["no", "published", "exact"] = "no"
    """Raise children's rates by what their parents take away: no, published or exact."""
    scale_children: bool = False
    """Multiply a child's magnitude by its parent's over the parent's mean."""
    correlation_rank: int = 0
    """Rank of the factor of the coins' correlation."""
    correlation_scale: float = 0.1
    """Size of its entries: 0 leaves the coins independent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.choice("compensate", self.compensate, COMPENSATIONS)
        hash(self.forest)  # built, so that its sizes are checked

    @property
    def correlation(self) -> tuple[int, float]:
        """correlation_rank and correlation_scale."""
        return self.correlation_rank, self.correlation_scale

    @property
    def forest(self) -> Forest:
        """The trees among the features."""
        return Forest(self.roots, self.branching, self.depth, self.exclusive)

    @property
    def rules(self) -> Rules:
        """What a batch is compiled for."""
        return super().rules._replace(scale_children=self.scale_children and self.roots > 0)

    def densities(self, n_features: int) -> HostVector:
        """The densities asked for, float64 (n_features,)."""
        if isinstance(self.density, Levels):
            return self.forest.level_rates(
                n_features, self.density.high, self.density.ratio, self.density.low
            )
        return super().densities(n_features)

    def coins(self, density: Rate) -> Rate:
        """P(a feature's own coin falls heads) after compensation, (n_features,), from the densities."""
        if self.compensate == "no" or not self.roots:
            return density
        return (self.forest.compensated if self.compensate == "exact" else self.forest.published)(density)

    def scaled(self, n_features: int, new: int) -> Self:
        """The law for `new` features with as large a part of them in trees: roots rounded down, to at least 1."""
        return replace(self, roots=max(1, self.roots * new // n_features)) if self.roots else self
