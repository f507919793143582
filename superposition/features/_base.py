"""The interface of every feature law: what a toy model, a planted world and an exact loss may ask of it.

A law is a distribution of features x in R^n_features. Its recipe is a frozen dataclass; the arrays that sampling needs
are its `constants`, a function of the densities alone, which may be traced. A batch is then a pure function of
(constants, words, step), so that nothing is carried from step to step and a run can be resumed anywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float64

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.features._draw import key_words
from superposition.features.rates import Rates
from superposition.typing import HostVector, PRNGKey, PyTree, Step, Words

Numbers = float | Sequence[float] | np.ndarray | Array
FIRST_MOMENT = 0.5  # of U[0, 1]
SECOND_MOMENT = 1 / 3


class Sets(NamedTuple):
    """Independent sets of features of one size: features 0..size-1 are the first set, and so on.

    A set is active with the density of its unit. Then all its features are (`together`), or exactly one of them, chosen
    uniformly. An active feature is U[0, 1], or U[-1, 1] when `signed`, independently of all else.

    >>> from superposition import features
    >>> features.Correlated(n_sets=2, density=0.1).independent_sets(6)
    Sets(n_sets=2, size=3, together=True, signed=False)
    """

    n_sets: int
    size: int
    together: bool
    signed: bool


@dataclass(frozen=True)
class FeatureLaw(Recipe, ABC):
    """A distribution of features x in R^n_features, with how often its units are active.

    A unit is what has a density of its own: a feature, or a set of features. density p = P(unit is active) in (0, 1],
    sparsity S = 1 - p in [0, 1). Give one of them: a number, one number per unit, or for density `Rates` (Zipf and
    others), which fit any number of features. Default: density 1. signed: active features take both signs.

    A law declares on its class:

    - `exact`: whether `expected_loss` knows its exact loss; `independent_sets` then says how. A subclass has to declare
      it again, since it may be another distribution.
    - `conditional`: whether it can be drawn given that at least one unit is active.

    Raises ConfigError for density and sparsity together, and for values out of range.

    >>> from superposition import features
    >>> law = features.SparseUniform(sparsity=0.9)
    >>> isinstance(law, features.FeatureLaw), law.densities(2).round(3).tolist(), law.exact
    (True, [0.1, 0.1], True)
    """

    exact: ClassVar[bool] = False
    conditional: ClassVar[bool] = False

    density: Numbers | Rates | None = None
    """Densities 1 - S = P(x_i != 0), each in (0, 1]."""
    sparsity: Numbers | None = None
    """Sparsities S, each in [0, 1), in place of densities."""
    signed: bool = False
    """Draw non-zero features from U[-1, 1] in place of U[0, 1]."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "exact" not in vars(cls):
            cls.exact = False

    def __post_init__(self) -> None:
        validate.settle(self)
        if self.density is not None and self.sparsity is not None:
            raise ConfigError(
                f"give density or sparsity, not both; got density={validate.shown(self.density)} and "
                f"sparsity={validate.shown(self.sparsity)} (density = 1 - sparsity)"
            )
        if self.sparsity is not None:
            validate.in_range("sparsity", self.sparsity, 0.0, 1.0, open_high=True, many=True)
            object.__setattr__(self, "density", _plain(1 - np.asarray(self.sparsity, float)))
            object.__setattr__(self, "sparsity", None)
        if self.density is None:
            object.__setattr__(self, "density", 1.0)
        if not isinstance(self.density, Rates):
            validate.in_range("density", self.density, 0.0, 1.0, open_low=True, many=True)

    def n_units(self, n_features: int) -> int:
        """The number of densities that n_features have: one per feature, unless a law says otherwise."""
        return n_features

    def densities(self, n_features: int) -> HostVector:
        """Density of every unit, float64 (n_units,). ConfigError where their number does not fit n_features."""
        units = self.n_units(n_features)
        if isinstance(self.density, Rates):
            return self.density.vector(units)
        validate.length("density", self.density, units)
        return np.broadcast_to(np.asarray(self.density, np.float64), (units,))

    def check(self, n_features: int) -> None:
        """Raise ConfigError where this law cannot have so many features."""
        self.densities(n_features)

    def scaled(self, n_features: int, new: int) -> Self:
        """The law for `new` features that is most like this one for n_features."""
        del n_features, new
        return self

    @abstractmethod
    def n_uniforms(self, n_features: int) -> int:
        """The number of uniform numbers that one example takes."""

    @abstractmethod
    def constants(self, density: Float[np.ndarray, "n_units"] | Float[Array, "n_units"]) -> PyTree:
        """The arrays that `draw` needs, from the densities (n_units,), which may be traced."""

    @abstractmethod
    def draw(
        self,
        constants: PyTree,
        words: Words,
        step: Step,
        n_features: int,
        batch_size: int,
        *,
        conditional: bool = False,
    ) -> Float[Array, "{n_features} {batch_size}"]:
        """Batch number `step` of the stream of `words` (2,): x (n_features, batch_size), features first.

        `conditional` draws given that at least one unit is active; only a law that declares `conditional` can.
        """

    def sample(
        self, key: PRNGKey, n_features: int, batch_size: int, *, conditional: bool = False
    ) -> Float[Array, "{batch_size} {n_features}"]:
        """Draw x, (batch_size, n_features).

        `conditional` draws given that at least one unit is active. Raises ConfigError for sizes that do not fit, and for
        a law that cannot be drawn conditionally.
        """
        validate.integer("batch_size", batch_size, 1)
        if conditional and not self.conditional:
            raise ConfigError(
                f"{type(self).__name__} cannot be drawn given that something is active; use conditional=False"
            )
        constants = self.constants(self.densities(n_features))
        words = key_words(key)
        return self.draw(constants, words, jnp.uint32(0), n_features, batch_size, conditional=conditional).T

    def activations(
        self,
        constants: PyTree,
        dictionary: Float[Array, "n_features d_in"],
        bias: Float[Array, "d_in"],
        words: Words,
        step: Step,
        batch_size: int,
    ) -> tuple[Float[Array, "{batch_size} d_in"], Float[Array, "{batch_size} n_features"]]:
        """A planted batch: x @ dictionary + bias (batch_size, d_in), and x (batch_size, n_features).

        dictionary (n_features, d_in), bias (d_in,).
        """
        x = self.draw(constants, words, step, len(dictionary), batch_size).T
        return x @ dictionary + bias[None], x

    @abstractmethod
    def mean(self, n_features: int) -> HostVector:
        """E x, float64 (n_features,). ConfigError where there is no closed form."""

    @abstractmethod
    def second_moment(self, n_features: int) -> Float64[np.ndarray, "n_features n_features"]:
        """E x x^T, float64 (n_features, n_features). ConfigError where there is no closed form."""

    def independent_sets(self, n_features: int) -> Sets | None:
        """The sets of features that an exact loss integrates, None for independent features; of exact laws only."""
        raise ConfigError(
            f"{type(self).__name__} has no exact expected loss with {n_features} features; sample it instead"
        )

    def without_density(self) -> Self:
        """This law with its density left open, None: what a program is compiled for when densities are arrays."""
        law = replace(self, density=1.0)
        object.__setattr__(law, "density", None)
        return law


def _plain(values: np.ndarray) -> Any:
    return float(values) if values.ndim == 0 else tuple(float(v) for v in values)
