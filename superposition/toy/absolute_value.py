"""The toy model that computes: the absolute value of every feature, through fewer neurons than it takes."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition.toy import unrolled
from superposition.toy._base import ToyModel
from superposition.toy._tied import xavier
from superposition.typing import ComputationParams, Examples, PerFeature, PerHidden, PRNGKey

INITS = ("open", "xavier")


@dataclass(frozen=True)
class AbsoluteValue(ToyModel):
    """h = ReLU(W_in x), y = ReLU(W_out h + b), target |x|: W_in (n_hidden, n_features), W_out (n_features, n_hidden).

    Elhage et al. 2022, "Computation in superposition", where x is signed (U[-1, 1] when active) and the hidden layer
    has no bias. One feature takes two neurons: |x| = ReLU(x) + ReLU(-x). W_in starts as Xavier's uniform, b at 0.
    init="open": W_out = |W_in|^T / 4, so that nearly every output rises with either sign of its feature: all but the
    share 2^(1 - n_hidden) whose column of W_in has one sign. init="xavier": W_out is Xavier's uniform too; then about
    half the outputs start below 0 for one of the signs or both, where their ReLU passes no gradient, and most never
    learn it. Raises ConfigError for sizes < 1 or an unknown init.

    >>> import jax.numpy as jnp
    >>> from superposition import AbsoluteValue, ComputationParams
    >>> params = ComputationParams(jnp.array([[1.0], [-1.0]]), jnp.array([[1.0, 1.0]]), jnp.zeros(1))
    >>> AbsoluteValue(n_features=1, n_hidden=2).apply(params, jnp.array([-0.5])).tolist()  # ReLU(x) + ReLU(-x)
    [0.5]
    """

    shapes: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_in": ("n_hidden", "n_features"),
        "W_out": ("n_features", "n_hidden"),
        "b": ("n_features",),
    }

    input_weights: ClassVar[str] = "W_in"

    init: str = "open"
    """Start of the weights: open or xavier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.choice("init", self.init, INITS)

    def init_params(self, key: PRNGKey) -> ComputationParams:
        """Fresh parameters from a key."""
        into, out = jax.random.split(key)
        n, m = self.n_features, self.n_hidden
        W_in = xavier(into, m, n)
        W_out = jnp.abs(W_in.T) / 4 if self.init == "open" else xavier(out, n, m)
        return ComputationParams(W_in, W_out, jnp.zeros(n))

    def encode(self, params: ComputationParams, x: PerFeature) -> PerHidden:
        """H = ReLU(W_in x), (n_features,) -> (n_hidden,)."""
        return jax.nn.relu(params.W_in @ x)

    def apply(self, params: ComputationParams, x: PerFeature) -> PerFeature:
        """Y = ReLU(W_out h + b), (n_features,) -> (n_features,)."""
        return jax.nn.relu(params.W_out @ self.encode(params, x) + params.b)

    def target(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_features *batch"]:
        """|x|."""
        return jnp.abs(x)

    def gradient(self, params: ComputationParams, importance: PerFeature, x: Examples) -> ComputationParams:
        """As autodiff, by superposition.toy.unrolled.hidden_relu."""
        return ComputationParams(*unrolled.hidden_relu(*params, importance, x, jnp.abs(x)))

    def gradient_at_zero(self, params: ComputationParams, importance: PerFeature) -> ComputationParams:
        """dL/db = 2 I_i ReLU(b_i): on the all-zero example y = ReLU(b)."""
        W_in, W_out, b = params
        return ComputationParams(jnp.zeros_like(W_in), jnp.zeros_like(W_out), 2 * importance * jax.nn.relu(b))
