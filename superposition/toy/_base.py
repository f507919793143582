"""What every toy model is: sizes, parameters, a map of features to outputs, and the importance-weighted loss.

A model is a frozen dataclass of hyperparameters; its methods are pure and written for one example. A model may
replace the gradients below by faster ones; they must stay equal to autodiff of `loss` (tests/test_toy.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.typing import Examples, Importance, PerFeature, PerHidden, PRNGKey, PyTree, Scalar


@dataclass(frozen=True)
class ToyModel(Recipe, ABC):
    """A map from features x (n_features,) through hidden activations h (n_hidden,) to as many outputs.

    `shapes` names the axes of every parameter, in the order of the NamedTuple that `init_params` returns.
    Raises ConfigError for sizes < 1.

    >>> from superposition import toy
    >>> isinstance(toy.ReLUOutput(5, 2), toy.ToyModel), toy.ReLUOutput.shapes["W"]
    (True, ('n_hidden', 'n_features'))
    """

    shapes: ClassVar[dict[str, tuple[str, ...]]]
    input_weights: ClassVar[str] = "W"
    """The parameter (n_hidden, n_features) that the hidden layer is a function of: h = f(W x)."""
    linear_hidden: ClassVar[bool] = False
    """Whether h = W x, so that the columns of W are the directions of the features."""

    n_features: int = 20
    """Number of features n."""
    n_hidden: int = 5
    """Number of hidden dimensions m."""

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.sizes(self)

    @property
    def narrow(self) -> bool:
        """Whether thousands of these train fastest with models, not examples, in the vector lanes."""
        return False

    @abstractmethod
    def init_params(self, key: PRNGKey) -> Any:
        """Fresh parameters from a key."""

    @abstractmethod
    def encode(self, params: Any, x: PerFeature) -> PerHidden:
        """Features (n_features,) -> hidden activations h (n_hidden,)."""

    @abstractmethod
    def apply(self, params: Any, x: PerFeature) -> PerFeature:
        """Features (n_features,) -> outputs (n_features,)."""

    def __call__(
        self, params: Any, x: Float[Array, "*batch n_features"]
    ) -> Float[Array, "*batch n_features"]:
        """As `apply`, with any leading batch axes: features (..., n_features) -> outputs (..., n_features)."""
        x = validate.array("x", x)
        if x.ndim == 0 or x.shape[-1] != self.n_features:
            raise ConfigError(f"x must be (..., n_features={self.n_features}); got shape {x.shape}")
        if getattr(type(params), "_fields", None) is None or len(params) != len(self.shapes):
            names = ", ".join(self.shapes)
            raise ConfigError(
                f"params must be what init_params returns ({names}); got {type(params).__name__}"
            )
        rows = x.reshape(-1, self.n_features)
        return jax.vmap(self.apply, in_axes=(None, 0))(params, rows).reshape(x.shape)

    def target(self, x: PerFeature) -> PerFeature:
        """What the outputs should be; the features themselves unless a model computes something."""
        return x

    def loss(self, params: Any, x: PerFeature, importance: PerFeature) -> Scalar:
        """sum_i I_i (target_i - x'_i)^2 for one example (Elhage et al. 2022, "Loss")."""
        return jnp.sum(importance * (self.target(x) - self.apply(params, x)) ** 2)

    def gradient(self, params: Any, importance: PerFeature, x: Examples) -> Any:
        """Gradient of the mean loss of one model on a batch: importance (n,), x (n, batch)."""

        def mean_loss(p: PyTree) -> Array:
            return jnp.mean(jax.vmap(self.loss, in_axes=(None, 1, None))(p, x, importance))

        return jax.grad(mean_loss)(params)

    def narrow_gradient(
        self, params: Any, importance: Importance, x: Sequence[Float[Array, "batch cell"]]
    ) -> Any:
        """Gradients of many models: parameters (cell, ...), importance (cell, n), x n arrays (batch, cell).

        Called where `narrow` holds.
        """
        raise NotImplementedError(f"{type(self).__name__} has no layout with models last")

    def gradient_at_zero(self, params: Any, importance: PerFeature) -> Any:
        """Gradient of one model's loss on the all-zero example."""
        return jax.grad(self.loss)(params, jnp.zeros(self.n_features), importance)
