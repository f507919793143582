"""The toy model that computes: the absolute value of every feature, through fewer neurons than it takes."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition.toy._base import ToyModel
from superposition.toy._tied import xavier
from superposition.typing import ComputationParams, PRNGKey


@dataclass(frozen=True)
class AbsoluteValue(ToyModel):
    """h = ReLU(W_in x), y = ReLU(W_out h + b), target |x|: W_in (n_hidden, n_features), W_out (n_features, n_hidden).

    Elhage et al. 2022, "Computation in superposition", where x is signed (U[-1, 1] when active) and the hidden layer
    has no bias. One feature takes two neurons: |x| = ReLU(x) + ReLU(-x). Weights start as Xavier's uniform, b at 0.
    """

    shapes: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_in": ("n_hidden", "n_features"),
        "W_out": ("n_features", "n_hidden"),
        "b": ("n_features",),
    }

    def init_params(self, key: PRNGKey) -> ComputationParams:
        """Fresh parameters from a key."""
        into, out = jax.random.split(key)
        n, m = self.n_features, self.n_hidden
        return ComputationParams(xavier(into, m, n), xavier(out, n, m), jnp.zeros(n))

    def encode(self, params: ComputationParams, x: Array) -> Array:
        """H = ReLU(W_in x), (n_features,) -> (n_hidden,)."""
        return jax.nn.relu(params.W_in @ x)

    def apply(self, params: ComputationParams, x: Array) -> Array:
        """Y = ReLU(W_out h + b), (n_features,) -> (n_features,)."""
        return jax.nn.relu(params.W_out @ self.encode(params, x) + params.b)

    def target(self, x: Array) -> Array:
        """|x|."""
        return jnp.abs(x)

    def gradient(self, params: ComputationParams, importance: Array, x: Array) -> ComputationParams:
        """As autodiff, with examples last throughout: five matrix products and nothing transposed between them."""
        before = params.W_in @ x
        h = jax.nn.relu(before)
        z = params.W_out @ h + params.b[:, None]
        scale = 2 / x.shape[1]
        g = jnp.where(z > 0, (scale * importance)[:, None] * (z - jnp.abs(x)), 0.0)
        back = jnp.where(before > 0, params.W_out.T @ g, 0.0)
        return ComputationParams(back @ x.T, g @ h.T, g @ jnp.ones(x.shape[1]))

    def silent_gradient(self, params: ComputationParams, importance: Array) -> ComputationParams:
        """dL/db = 2 I_i ReLU(b_i): on the all-zero example y = ReLU(b)."""
        W_in, W_out, b = params
        return ComputationParams(jnp.zeros_like(W_in), jnp.zeros_like(W_out), 2 * importance * jax.nn.relu(b))
