"""Batch gradients of the models with a ReLU in the hidden layer: h = ReLU(W_in x), y = ReLU(W_out h + b).

With g_i = 2 I_i (y_i - target_i) [z_i > 0], z = W_out h + b, and u = [W_in x > 0] W_out^T g, averaged over the batch:

    dL/db = g,   dL/dW_out = g h^T,   dL/dW_in = u x^T.

Examples come last, (feature, batch). These models are small and train by the thousand, where a matrix product of a
few rows costs more to call than to compute: a product that sums over at most 8 numbers is unrolled into one loop
with what surrounds it. Models last, as `gradient.narrow` has them, were measured 2 to 4 times slower here: with two
weights layers there is too much for one loop, and every sum over the batch becomes a pass of its own.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

UNROLLED = 8


def hidden_relu(
    W_in: Float[Array, "n_hidden n_features"],
    W_out: Float[Array, "n_features n_hidden"],
    b: Float[Array, "n_features"],
    importance: Float[Array, "n_features"],
    x: Float[Array, "n_features batch"],
    target: Float[Array, "n_features batch"],
) -> tuple[
    Float[Array, "n_hidden n_features"], Float[Array, "n_features n_hidden"], Float[Array, "n_features"]
]:
    """dL/dW_in (m, n), dL/dW_out (n, m), dL/db (n,) of one model on a batch: x and target (n, batch)."""
    before = product(W_in, x)
    h = jax.nn.relu(before)
    z = product(W_out, h) + b[:, None]
    scale = 2 / x.shape[1]
    g = jnp.where(z > 0, (scale * importance)[:, None] * (z - target), 0.0)
    u = jnp.where(before > 0, product(W_out.T, g), 0.0)
    return u @ x.T, g @ h.T, g @ jnp.ones(x.shape[1], g.dtype)


def product(A: Float[Array, "rows k"], x: Float[Array, "k batch"]) -> Float[Array, "rows batch"]:
    """A x, (rows, k) (k, batch) -> (rows, batch); unrolled where k is small."""
    k = A.shape[1]
    if k > UNROLLED:
        return A @ x
    return sum((A[:, i, None] * x[i][None] for i in range(1, k)), A[:, 0, None] * x[0][None])
