"""The toy model with a ReLU on its hidden layer, which makes the neurons a privileged basis."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from superposition.toy import unrolled
from superposition.toy._base import ToyModel
from superposition.toy._tied import xavier
from superposition.typing import Examples, PerFeature, PerHidden, PRNGKey, ToyParams


@dataclass(frozen=True)
class ReLUHidden(ToyModel):
    """h = ReLU(W x), x' = ReLU(W^T h + b): W (n_hidden, n_features) tied, b (n_features,).

    Elhage et al. 2022, "Superposition in a privileged basis". The hidden layer has no bias: with one the model can
    escape into the linear regime. W starts as W_ij ~ U(-r, r), r = sqrt(6 / (n_hidden + n_features)), b at 0.

    >>> import jax.numpy as jnp
    >>> from superposition import ReLUHidden, ToyParams
    >>> params = ToyParams(jnp.array([[1.0, -1.0]]), jnp.zeros(2))
    >>> ReLUHidden(n_features=2, n_hidden=1).encode(params, jnp.array([0.2, 1.0])).tolist()
    [0.0]
    """

    shapes: ClassVar[dict[str, tuple[str, ...]]] = {"W": ("n_hidden", "n_features"), "b": ("n_features",)}

    def init_params(self, key: PRNGKey) -> ToyParams:
        """Fresh parameters from a key."""
        return ToyParams(xavier(key, self.n_hidden, self.n_features), jnp.zeros(self.n_features))

    def encode(self, params: ToyParams, x: PerFeature) -> PerHidden:
        """H = ReLU(W x), (n_features,) -> (n_hidden,)."""
        return jax.nn.relu(params.W @ x)

    def apply(self, params: ToyParams, x: PerFeature) -> PerFeature:
        """X' = ReLU(W^T h + b), (n_features,) -> (n_features,)."""
        return jax.nn.relu(params.W.T @ self.encode(params, x) + params.b)

    def gradient(self, params: ToyParams, importance: PerFeature, x: Examples) -> ToyParams:
        """As autodiff: W is used twice, so dL/dW = h g^T + u x^T (superposition.toy.unrolled)."""
        W, b = params
        into, out, db = unrolled.hidden_relu(W, W.T, b, importance, x, x)
        return ToyParams(into + out.T, db)

    def gradient_at_zero(self, params: ToyParams, importance: PerFeature) -> ToyParams:
        """dL/db = 2 I_i ReLU(b_i): on the all-zero example x' = ReLU(b)."""
        W, b = params
        return ToyParams(jnp.zeros_like(W), 2 * importance * jax.nn.relu(b))
