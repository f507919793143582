"""Every axis name and array alias of the library, once.

| axis         | length of                                          |
|--------------|----------------------------------------------------|
| `n_features` | true units of the world, x                         |
| `n_hidden`   | hidden dimensions of a toy model                   |
| `batch`      | examples in one step                               |
| `cell`       | models that train side by side in one program      |
| `d_in`       | numbers that an SAE reads of an example, x         |
| `d_out`      | numbers that it writes, y; d_in but of transcoders |
| `d_sae`      | latents of an SAE                                  |
| `pos`        | positions of a text                                |
| `d_model`    | numbers of a language model's residual stream      |
| `d_vocab`    | its tokens                                         |

Sparsity S = P(x_i = 0), density p = 1 - S = P(x_i != 0). W is (n_hidden, n_features), as in the paper.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jax import Array
from jaxtyping import Float, Float64, Integer, Key, UInt32

Weights: TypeAlias = Float[Array, "*cell n_hidden n_features"]
Bias: TypeAlias = Float[Array, "*cell n_features"]
Importance: TypeAlias = Float[Array, "*cell n_features"]
Density: TypeAlias = Float[Array, "*cell"] | Float[Array, "*cell n_features"]
Examples: TypeAlias = Float[Array, "n_features *batch"]
Gram: TypeAlias = Float[Array, "*cell n_features n_features"]
Uniforms: TypeAlias = Float[Array, "n_uniforms *batch"]
Step: TypeAlias = Integer[Array, ""]
HostVector: TypeAlias = Float64[np.ndarray, "n_features"]
Rate: TypeAlias = Float[np.ndarray, "n_features"] | Float[Array, "n_features"]
Words: TypeAlias = UInt32[Array, "*cell 2"]
Scalar: TypeAlias = Float[Array, ""]
PerFeature: TypeAlias = Float[Array, "n_features"]
PerHidden: TypeAlias = Float[Array, "n_hidden"]
PerLatent: TypeAlias = Float[Array, "d_sae"]
Inputs: TypeAlias = Float[Array, "*batch d_in"]
Outputs: TypeAlias = Float[Array, "*batch d_out"]
Latents: TypeAlias = Float[Array, "*batch d_sae"]
InputBatch: TypeAlias = Float[Array, "batch d_in"]
TargetBatch: TypeAlias = Float[Array, "batch d_out"]
PRNGKey: TypeAlias = Key[Array, ""]
PyTree: TypeAlias = Any


class ToyParams(NamedTuple):
    """Parameters of a toy model: W (n_hidden, n_features) and b (n_features,).

    >>> import jax.numpy as jnp
    >>> params = ToyParams(W=jnp.eye(2), b=jnp.zeros(2))
    >>> params.W.shape
    (2, 2)
    """

    W: Weights
    b: Bias


class ComputationParams(NamedTuple):
    """Parameters of a toy model that computes: W_in (n_hidden, n_features), W_out (n_features, n_hidden), b (n_features,).

    >>> import jax.numpy as jnp
    >>> params = ComputationParams(W_in=jnp.ones((3, 2)), W_out=jnp.ones((2, 3)), b=jnp.zeros(2))
    >>> params._fields
    ('W_in', 'W_out', 'b')
    """

    W_in: Weights
    W_out: Float[Array, "*cell n_features n_hidden"]
    b: Bias
