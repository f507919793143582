"""What the toy models share: W and b, their start, and the importance-weighted loss.

A model is a frozen dataclass of hyperparameters; its methods are pure and written for one example.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array

from superposition import _validate
from superposition.typing import PRNGKey, ToyParams

INITS = ("xavier", "anthropic")


@dataclass(frozen=True)
class ToyModel:
    """h = W x, x' = f(W^T h + b): W (n_hidden, n_features), b (n_features,), tied weights.

    init="xavier": W_ij ~ U(-r, r), r = sqrt(6 / (n_hidden + n_features)), the same for a model whether it
    trains alone or among thousands. init="anthropic": N(0, 2 / (n_hidden (n_features + notebook_instances))),
    the released notebook's, whose spread depends on how many instances it batched (10 in its introduction).
    b starts at 0. Raises ConfigError for sizes < 1 or an unknown init.
    """

    activation: ClassVar[Literal["linear", "relu"]]

    n_features: int = 20
    n_hidden: int = 5
    init: str = "xavier"
    notebook_instances: int = 10

    def __post_init__(self) -> None:
        _validate.sizes(self)
        _validate.choice("init", self.init, INITS)
        _validate.integer("notebook_instances", self.notebook_instances, 1)

    def init_params(self, key: PRNGKey) -> ToyParams:
        """Fresh parameters from a key."""
        shape = (self.n_hidden, self.n_features)
        if self.init == "anthropic":
            std = math.sqrt(2 / (self.n_hidden * (self.n_features + self.notebook_instances)))
            W = std * jax.random.normal(key, shape)
        else:
            bound = math.sqrt(6 / (self.n_hidden + self.n_features))
            W = jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        return ToyParams(W, jnp.zeros(self.n_features))

    def encode(self, params: ToyParams, x: Array) -> Array:
        """H = W x, (n_features,) -> (n_hidden,)."""
        return params.W @ x

    def apply(self, params: ToyParams, x: Array) -> Array:
        """X' = f(W^T W x + b), (n_features,) -> (n_features,)."""
        z = params.W.T @ self.encode(params, x) + params.b
        return jax.nn.relu(z) if self.activation == "relu" else z

    def loss(self, params: ToyParams, x: Array, importance: Array) -> Array:
        """sum_i I_i (x_i - x'_i)^2 for one example (Elhage et al. 2022, "Loss")."""
        return jnp.sum(importance * (x - self.apply(params, x)) ** 2)
