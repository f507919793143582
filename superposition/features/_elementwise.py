"""Laws of independent units that are elementwise functions of uniform numbers.

A unit is a feature, or a set of features. Since a law of this kind maps uniforms to features elementwise, it runs
unchanged for one example, a batch, or thousands of models that share one draw (common random numbers), with examples or
models in the last axis.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from superposition.features._base import FIRST_MOMENT, SECOND_MOMENT, FeatureLaw
from superposition.features._draw import BELOW_ONE, uniform
from superposition.typing import Examples, Step, Uniforms, Words


class Thresholds(NamedTuple):
    """Constants that sampling compares with, (n_units, *rest); computed once, not every step.

    inverse 1 / p; reached c_i = 1 - prod_{j<=i} (1 - p_j) and before c_{i-1}, the chances that some unit up
    to i, or before it, is active; any q = c_last, (*rest).

    >>> import jax.numpy as jnp
    >>> from superposition import features
    >>> limits = features.thresholds(jnp.array([0.5, 0.5]))
    >>> limits.before.tolist(), limits.reached.tolist()
    ([0.0, 0.5], [0.5, 0.75])
    """

    density: Array
    inverse: Array
    before: Array
    reached: Array
    any: Array


def thresholds(density: Float[Array, "n_units *rest"]) -> Thresholds:
    """Thresholds of units with these densities, (n_units, *rest).

    >>> import jax.numpy as jnp
    >>> float(thresholds(jnp.array([0.5, 0.5])).any)  # the chance that one of two units is active
    0.75
    """
    reached = -jnp.expm1(jnp.cumsum(jnp.log1p(-density), 0))
    before = jnp.concatenate([jnp.zeros_like(reached[:1]), reached[:-1]])
    return Thresholds(density, 1 / density, before, reached, reached[-1])


def firing(u: Array, limits: Thresholds, chooser: Array | None) -> tuple[Array, Array]:
    """Which units are active, and a fresh U[0, 1) for each that is; u and limits (n_units, *batch).

    One uniform gives both: given u < p, u / p is uniform. With `chooser` (one more uniform per example)
    the draw is conditional on at least one active unit: the first is found by inverting
    P(first <= i | any) = c_i / q, those before it are inactive, those after it are free. Exact, with static
    shapes. Elementwise: rows of u and of the thresholds give rows.
    """
    fires = u < limits.density
    value = u * limits.inverse  # u < p keeps this <= 1 after rounding
    if chooser is None:
        return fires, value
    t = (chooser * (limits.any * BELOW_ONE))[
        None
    ]  # strictly below q after rounding: some unit is always active
    after_first = t < limits.before
    return jnp.where(after_first, fires, t < limits.reached), jnp.where(after_first, value, u)


@dataclass(frozen=True)
class ElementwiseLaw(FeatureLaw):
    """Independent units, whose features are elementwise functions of uniform numbers; see `FeatureLaw`.

    >>> from superposition import features
    >>> [name for name, law in features.FEATURES.items() if issubclass(law, features.ElementwiseLaw)]
    ['sparse-uniform', 'correlated', 'anticorrelated', 'bernoulli']
    """

    conditional: ClassVar[bool] = True

    @abstractmethod
    def transform(self, u: Uniforms, limits: Thresholds, n_features: int, *, conditional: bool) -> Examples:
        """Uniforms u (n_uniforms, *batch) and thresholds (n_units, *batch) -> x (n_features, *batch)."""

    def rows(
        self, u: Uniforms, limits: Thresholds, n_features: int, *, conditional: bool
    ) -> list[Float[Array, "*batch"]]:
        """The same as a list of n_features arrays; a law may compute them apart, so that XLA fuses each into its use."""
        return list(self.transform(u, limits, n_features, conditional=conditional))

    def constants(self, density: Float[np.ndarray, "n_units"] | Float[Array, "n_units"]) -> Thresholds:
        """The thresholds of densities (n_units,), each (n_units, 1)."""
        return thresholds(jnp.asarray(density, float)[:, None])

    def draw(
        self,
        constants: Thresholds,
        words: Words,
        step: Step,
        n_features: int,
        batch_size: int,
        *,
        conditional: bool = False,
    ) -> Float[Array, "{n_features} {batch_size}"]:
        """Features x (n_features, batch_size) of one step, `transform` of that step's uniforms."""
        u = uniform(words, step, (self.n_uniforms(n_features), batch_size))
        return self.transform(u, constants, n_features, conditional=conditional)

    def values(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """An active feature's magnitude from u in [0, 1): U[0, 1], or U[-1, 1] when signed."""
        return 2 * u - 1 if self.signed else u

    def moments_of_values(self) -> tuple[float, float]:
        """E v and E v^2 of an active feature's value v."""
        return 0.0 if self.signed else FIRST_MOMENT, SECOND_MOMENT

    def _first_moments(self, n_features: int) -> tuple[np.ndarray, float, float]:
        """Unit densities, E v and E v^2 of an active feature, in float64."""
        return self.densities(n_features), *self.moments_of_values()
