"""Batch gradients of the tied toy models, in the two layouts that are fast on a CPU.

With g_i = 2 I_i (x'_i - x_i) [z_i > 0] (no bracket for the linear model), averaged over the batch:

    dL/db = g,   dL/dW = h g^T + (W g) x^T.

`wide` keeps examples last, (feature, batch), so that each model is a few matrix products. While
n_features <= 4 n_hidden, dL/dW = W (G + G^T) with G = g x^T takes one product in place of three; and up to
8 hidden dimensions W^T h is summed elementwise, in one loop with the residual. `narrow` keeps models last,
(feature, batch, cell), and unrolls the features, so that thousands of tiny models fill the vector lanes; a
product with a row of ones sums over the batch much faster than XLA's reduction does. Both equal autodiff
of ToyModel.loss (tests/test_toy.py).
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal.rank import lead
from superposition.typing import ToyParams

Activation = Literal["linear", "relu"]


def wide(
    activation: Activation,
    params: ToyParams,
    importance: Float[Array, "n_features"],
    x: Float[Array, "n_features batch"],
) -> ToyParams:
    """Gradient of one model on a batch: W (m, n), b (n,), importance (n,), x (n, batch)."""
    W, b = params
    m, n = W.shape
    h = W @ x
    z = sum(W[k][:, None] * h[k][None] for k in range(m)) if m <= 8 else W.T @ h
    g = _residual(activation, z + b[:, None], x, importance[:, None])
    if n <= 4 * m:
        G = g @ x.T
        dW = W @ (G + G.T)
    else:
        dW = h @ g.T + (W @ g) @ x.T
    scale = 2 / x.shape[1]
    return ToyParams(dW * scale, (g @ jnp.ones(x.shape[1])) * scale)


def narrow(activation: Activation, params: ToyParams, importance: Array, x: Sequence[Array]) -> ToyParams:
    """Gradients of many models: W (cell, m, n), b and importance (cell, n), x n arrays (batch, cell)."""
    W, b, weight = (jnp.moveaxis(a, 0, -1) for a in (*params, importance))
    m, n, _ = W.shape
    features = range(n)
    h = [sum(lead(W[k, i], x[i]) * x[i] for i in features) for k in range(m)]
    z = [sum(lead(W[k, i], h[k]) * h[k] for k in range(m)) + lead(b[i], h[0]) for i in features]
    g = [_residual(activation, z[i], x[i], lead(weight[i], x[i])) for i in features]
    Wg = [sum(lead(W[k, i], g[i]) * g[i] for i in features) for k in range(m)]
    batch = x[0].shape[0]
    ones = jnp.ones((1, batch))
    dW = [[(ones @ (h[k] * g[i] + Wg[k] * x[i]))[0] for i in features] for k in range(m)]
    db = [(ones @ g[i])[0] for i in features]
    scale = 2 / batch
    return ToyParams(
        jnp.moveaxis(jnp.stack([jnp.stack(row) for row in dW]), -1, 0) * scale,
        jnp.stack(db, -1) * scale,
    )


def many_wide(activation: Activation, params: ToyParams, importance: Array, x: Array) -> ToyParams:
    """`wide` over a leading cell axis: x (cell, n, batch)."""
    return jax.vmap(lambda p, i, xs: wide(activation, p, i, xs))(params, importance, x)


def silent_bias_gradient(activation: Activation, params: ToyParams, importance: Array) -> Array:
    """dL/db on the all-zero example, where x' = f(b): 2 I_i f(b_i)."""
    b = params.b
    return 2 * importance * (jax.nn.relu(b) if activation == "relu" else b)


def _residual(activation: Activation, z: Array, x: Array, weight: Array) -> Array:
    if activation == "linear":
        return weight * (z - x)
    return jnp.where(z > 0, weight * (z - x), 0.0)
