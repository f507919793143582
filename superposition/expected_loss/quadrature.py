"""The expected loss of smooth activations, by Gauss-Legendre nodes in every feature: few features only."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal.rank import lead

SMOOTH: dict[str, Callable[[Array], Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "softplus": jax.nn.softplus,
    "square": jnp.square,
    "tanh": jnp.tanh,
}
"""Activations without a kink, by name. Polynomials of degree d are exact from (2 d + 1) / 2 nodes on."""

MAX_FEATURES = 3
NODES = {"float32": 8, "float64": 16}
"""Nodes a feature by default. At 16 the loss of random models with entries of W^T W about 1 is off by at most 2e-9
(tanh, the worst), of 4 by 1e-5: what bounds it is how near in units of z the poles of the activation are."""
REFERENCE_NODES = 32


def losses(A: Array, b: Array, density: Array, activation: str, signed: bool, nodes: int) -> Array:
    r"""E (x_i - f(b_i + sum_j a_ij x_j))^2 for every i, f smooth.

    Every feature takes the value 0 with weight 1 - p and `nodes` values with weights p w_k, so that the
    (nodes + 1)^n grid of all of them is the law of x. A (n, n), b (n,), density (n,); returns (n,).
    """
    n = len(b)
    at, weight = np.polynomial.legendre.leggauss(nodes)
    at = at if signed else (at + 1) / 2
    values = jnp.asarray(np.concatenate([[0.0], at]), A.dtype)
    shares = jnp.concatenate(
        [1 - density[:, None], density[:, None] * jnp.asarray(weight / 2, A.dtype)[None]], axis=1
    )
    x = jnp.stack(jnp.meshgrid(*[values] * n, indexing="ij")).reshape(n, -1)
    probability = jnp.ones((), A.dtype)
    for share in shares:
        probability = probability[..., None] * lead(share, probability[..., None])
    return ((x - SMOOTH[activation](A @ x + b[:, None])) ** 2 * probability.ravel()[None]).sum(1)
