"""What the models of the paper's main part share: x' = f(W^T W x + b), tied weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.toy import gradient
from superposition.toy._base import ToyModel
from superposition.typing import Examples, Importance, PerFeature, PerHidden, PRNGKey, ToyParams

INITS = ("xavier", "anthropic")
NARROW_FEATURES = 4


@dataclass(frozen=True)
class Tied(ToyModel):
    """h = W x, x' = f(W^T h + b): W (n_hidden, n_features), b (n_features,).

    init="xavier": W_ij ~ U(-r, r), r = sqrt(6 / (n_hidden + n_features)), the same for a model whether it
    trains alone or among thousands. init="anthropic": N(0, 2 / (n_hidden (n_features + notebook_instances))),
    the released notebook's, whose spread depends on how many instances it batched (10 in its introduction).
    b starts at 0. Raises ConfigError for sizes < 1 or an unknown init.

    >>> import jax.numpy as jnp
    >>> from superposition import toy
    >>> from superposition.typing import ToyParams
    >>> params = ToyParams(jnp.array([[1.0, -1.0]]), jnp.zeros(2))
    >>> toy.Linear(2, 1).apply(params, jnp.array([1.0, 0.0])).tolist()
    [1.0, -1.0]
    >>> toy.ReLUOutput(2, 1).apply(params, jnp.array([1.0, 0.0])).tolist()
    [1.0, 0.0]
    """

    activation: ClassVar[Literal["linear", "relu"]]
    linear_hidden: ClassVar[bool] = True
    shapes: ClassVar[dict[str, tuple[str, ...]]] = {"W": ("n_hidden", "n_features"), "b": ("n_features",)}

    init: str = "xavier"
    """Start of the weights: xavier, or anthropic (the released notebook's)."""
    notebook_instances: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.choice("init", self.init, INITS)
        validate.integer("notebook_instances", self.notebook_instances, 1)

    @property
    def narrow(self) -> bool:
        """So for up to 4 features."""
        return self.n_features <= NARROW_FEATURES

    def init_params(self, key: PRNGKey) -> ToyParams:
        """Fresh parameters from a key."""
        if self.init == "anthropic":
            std = math.sqrt(2 / (self.n_hidden * (self.n_features + self.notebook_instances)))
            W = std * jax.random.normal(key, (self.n_hidden, self.n_features))
        else:
            W = xavier(key, self.n_hidden, self.n_features)
        return ToyParams(W, jnp.zeros(self.n_features))

    def encode(self, params: ToyParams, x: PerFeature) -> PerHidden:
        """H = W x, (n_features,) -> (n_hidden,)."""
        return params.W @ x

    def apply(self, params: ToyParams, x: PerFeature) -> PerFeature:
        """X' = f(W^T W x + b), (n_features,) -> (n_features,)."""
        z = params.W.T @ self.encode(params, x) + params.b
        return jax.nn.relu(z) if self.activation == "relu" else z

    def gradient(self, params: ToyParams, importance: PerFeature, x: Examples) -> ToyParams:
        """By superposition.toy.gradient.wide."""
        return gradient.wide(self.activation, params, importance, x)

    def narrow_gradient(
        self, params: ToyParams, importance: Importance, x: Sequence[Float[Array, "batch cell"]]
    ) -> ToyParams:
        """By superposition.toy.gradient.narrow."""
        return gradient.narrow(self.activation, params, importance, x)

    def gradient_at_zero(self, params: ToyParams, importance: PerFeature) -> ToyParams:
        """dL/db = 2 I_i f(b_i): on the all-zero example x' = f(b)."""
        return ToyParams(
            jnp.zeros_like(params.W), gradient.silent_bias_gradient(self.activation, params, importance)
        )


def xavier(key: PRNGKey, rows: int, columns: int) -> Float[Array, "{rows} {columns}"]:
    """A (rows, columns) matrix of U(-r, r), r = sqrt(6 / (rows + columns))."""
    bound = math.sqrt(6 / (rows + columns))
    return jax.random.uniform(key, (rows, columns), minval=-bound, maxval=bound)


def require_tied(model: ToyModel, what: str) -> "Tied":
    """The model, or ConfigError where it has no W whose columns are its features' directions.

    >>> from superposition import toy
    >>> toy.require_tied(toy.Linear(5, 2), "a stream of hidden activations").n_hidden
    2
    """
    if not isinstance(model, Tied):
        raise ConfigError(
            f"{what} takes a model with tied weights and no hidden activation (linear, relu-output), in which "
            f"W's columns are the features' directions; got {type(model).__name__}"
        )
    return model
