"""The exact expected loss of a toy model on independent sparse features, without sampling.

Features: x_j = 0 with probability 1 - p_j, else uniform on [0, 1] (or [-1, 1], `signed`). Model: z = b +
W^T W x, with x' = z ("linear") or x' = relu(z) ("relu"). Closed form for the linear model; for the ReLU
model every z_i is a sum of independent variables, and only its one-dimensional law matters. Everything can
be jitted, vmapped and differentiated in W, b, importance and density. Where a row of W^T W and its b vanish
together the loss has a kink; the gradient there is the one for relu'(0) = 1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from superposition.errors import ConfigError
from superposition.expected_loss import enumeration, series

ACTIVATIONS = ("linear", "relu")
METHODS = ("auto", "enumeration", "series")
# Enumeration doubles with every feature; beyond this the series is always the better choice.
MAX_ENUMERATED = 10
# Up to here enumeration is faster than the series, at any accuracy.
_ENUMERATED_BY_DEFAULT = 3
# Relative error of the loss in the worst cases tried, trained models with interference around 0.001: 5e-5 at
# 64 nodes, 1e-8 at 1024. The gradient's, relative to a gradient of size density, is some hundred times more.
_NODES = {"float32": 64, "float64": 1024}


def expected_loss(
    params: Any,
    importance: ArrayLike,
    density: ArrayLike,
    *,
    activation: str,
    method: str = "auto",
    nodes: int | None = None,
    signed: bool = False,
) -> Array:
    r"""Expected loss, summed over features.

    $$L = \sum_i I_i \, E (x_i - x'_i)^2$$

    Arguments and errors as for `expected_losses`, and `importance` (n,). Returns a scalar.
    """
    losses = expected_losses(
        params, importance, density, activation=activation, method=method, nodes=nodes, signed=signed
    )
    return jnp.sum(jnp.asarray(importance, losses.dtype) * losses)


def expected_losses(
    params: Any,
    importance: ArrayLike | None,
    density: ArrayLike,
    *,
    activation: str,
    method: str = "auto",
    nodes: int | None = None,
    signed: bool = False,
) -> Array:
    r"""Expected squared error of every feature, not weighted by importance.

    $$L_i = E (x_i - x'_i)^2 = E x_i^2 - 2 E x_i (z_i)_+ + E (z_i)_+^2$$

    - `params`: anything with `W` (m, n) and `b` (n,). Their dtype is the dtype of the computation.
    - `importance`: ignored; there so that both functions are called alike.
    - `density`: P(x_i != 0), scalar or (n,).
    - `method`: "enumeration" (n <= 10, exact to rounding, cost 2^n), "series" (any n, cost n^2 `nodes`), or
      "auto": enumeration up to n = 3.
    - `nodes`: terms of the series; default 64 in float32, 1024 in float64.
    - `signed`: active features uniform on [-1, 1] rather than [0, 1].

    Returns (n,). Raises ConfigError (a ValueError) for an unknown `activation` or `method`, n too large to
    enumerate, or `nodes` < 1. Source: Elhage et al., Toy Models of Superposition (2022), "Mathematical
    Understanding"; its binomial sum over active features, extended to every number of them.
    """
    del importance
    W, b = jnp.asarray(params.W), jnp.asarray(params.b)
    n = W.shape[1]
    method, nodes = _settings(n, W.dtype, activation, method, nodes)
    A = W.T @ W
    p = jnp.broadcast_to(jnp.asarray(density, A.dtype), (n,))

    mean = jnp.zeros_like(p) if signed else p / 2
    residual = jnp.eye(n, dtype=A.dtype) - A
    linear = (residual @ mean - b) ** 2 + residual**2 @ (p / 3 - mean**2)
    if activation == "linear":
        return linear

    # Two ways to write the same loss: from x' = 0 by what relu lets pass, or from x' = z by what it cuts
    # off, that is, by relu(-z). Starting from the smaller error loses the least to cancellation.
    cut = linear < p / 3
    sign = jnp.where(cut, -1, 1).astype(A.dtype)
    A, b = sign[:, None] * A, sign * b
    if method == "enumeration":
        square, cross = enumeration.positive_moments(A, b, p, signed)
    else:
        square, cross = series.positive_moments(A, b, p, signed, nodes)
    return jnp.where(cut, linear, p / 3) + sign * square - 2 * cross


def reference_loss(
    params: Any,
    importance: ArrayLike,
    density: ArrayLike,
    *,
    activation: str,
    method: str = "auto",
    nodes: int | None = 8192,
    signed: bool = False,
) -> float:
    """The expected loss as a Python float, in double precision whatever the dtypes and JAX's settings.

    By enumeration up to n = 8, to rounding; else by a long series, to about 1e-9 relative. Arguments and
    errors as for `expected_loss`.
    """
    W, b, importance, density = (np.asarray(x, np.float64) for x in (params.W, params.b, importance, density))
    if method == "auto" and W.shape[1] <= 8:
        method = "enumeration"
    with jax.enable_x64(True):
        loss = _compiled(
            _Arrays(W, b),
            importance,
            density,
            activation=activation,
            method=method,
            nodes=nodes,
            signed=signed,
        )
        return float(loss)


class _Arrays(NamedTuple):
    W: Any
    b: Any


_compiled = partial(jax.jit, static_argnames=("activation", "method", "nodes", "signed"))(expected_loss)


def _settings(n: int, dtype: Any, activation: str, method: str, nodes: int | None) -> tuple[str, int]:
    if activation not in ACTIVATIONS:
        raise ConfigError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}")
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if method == "enumeration" and n > MAX_ENUMERATED:
        raise ConfigError(
            f"enumeration takes at most {MAX_ENUMERATED} features, the model has {n}; use method='series'"
        )
    if nodes is not None and nodes < 1:
        raise ConfigError(f"nodes must be at least 1; got {nodes}")
    if method == "auto":
        method = "enumeration" if n <= _ENUMERATED_BY_DEFAULT else "series"
    return method, _NODES.get(str(dtype), 64) if nodes is None else nodes
