"""The exact expected loss of a toy model on sparse features, without sampling.

Features: x_j = 0 with probability 1 - p_j, else uniform on [0, 1] (or [-1, 1], `signed`), independent or in
correlated or anticorrelated sets (`law`). Model: z = b + W^T W x, with x' = z ("linear") or x' = relu(z)
("relu"). Closed form for the linear model; for the ReLU model every z_i is a sum of independent variables, and
only its one-dimensional law matters. Everything can be jitted, vmapped and differentiated in W, b, importance
and density. Where a row of W^T W and its b vanish together the loss has a kink; the gradient there is the one
for relu'(0) = 1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.expected_loss import arguments, enumeration, quadrature, series, sets
from superposition.features import Anticorrelated, Correlated, FeatureLaw, SparseUniform

ACTIVATIONS = ("linear", "relu", "leaky-relu", *quadrature.SMOOTH)
LEAK = 0.1  # slope of the leaky ReLU below zero
METHODS = ("auto", "enumeration", "series")
# Enumeration doubles with every feature; beyond this the series is always the better choice.
MAX_ENUMERATED = 10
# Up to here enumeration is faster than the series, at any accuracy.
_ENUMERATED_BY_DEFAULT = 3
_CORNERS_BY_DEFAULT = 256
# Relative error of the loss in the worst cases tried, trained models with interference of 0.0001 to 0.001: 2.3e-4 at
# 64 nodes, 8e-7 at 1024. The gradient's, relative to a gradient of size density, is some hundred times more.
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
    law: FeatureLaw | None = None,
) -> Array:
    r"""Expected loss, summed over features.

    $$L = \sum_i I_i \, E (x_i - x'_i)^2$$

    Arguments and errors as for `expected_losses`, and `importance` (n,). Returns a scalar.
    """
    arguments.weighing("importance", importance, arguments.weights(params)[1].shape[0])
    losses = expected_losses(
        params, importance, density, activation=activation, method=method, nodes=nodes, signed=signed, law=law
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
    law: FeatureLaw | None = None,
) -> Array:
    r"""Expected squared error of every feature, not weighted by importance.

    $$L_i = E (x_i - x'_i)^2 = E x_i^2 - 2 E x_i (z_i)_+ + E (z_i)_+^2$$

    - `params`: anything with `W` (m, n) and `b` (n,). Their dtype is the dtype of the computation.
    - `importance`: ignored; there so that both functions are called alike.
    - `density`: P(x_i != 0), scalar or (n,).
    - `method`: "enumeration" (n <= 10, exact to rounding, cost 2^n), "series" (any n, cost n^2 `nodes`), or
      "auto": enumeration up to n = 3.
    - `nodes`: terms of the series; default 64 in float32, 1024 in float64. For smooth activations, Gauss nodes
      a feature; default 8 and 16.
    - `activation`: linear, relu and leaky-relu (slope 0.1) in closed form; gelu, softplus, square and tanh by
      quadrature, n <= 3.
    - `signed`: active features uniform on [-1, 1] rather than [0, 1]; a `law` says so itself.
    - `law`: `Correlated` or `Anticorrelated` for features in sets; its own density is ignored, and `density`
      is then a set's, scalar or (n_sets,). Enumeration takes the pattern of active features one by one.

    Returns (n,). Raises ConfigError (a ValueError) for an unknown `activation` or `method`, n too large to
    enumerate, `nodes` < 1, shapes that do not fit, and densities or importances that are out of range where they
    can be looked at: values that JAX traces are not. Source: Elhage et al., Toy Models of Superposition (2022), "Mathematical
    Understanding"; its binomial sum over active features, extended to every number of them.
    """
    del importance
    signed = validate.truth("signed", signed)
    W, b = arguments.weights(params)
    n = W.shape[1]
    if isinstance(law, FeatureLaw):
        signed = getattr(law, "signed", signed)
    if isinstance(law, Correlated | Anticorrelated):
        arguments.numbers("density", density, law.n_units(n), 1.0, of="set")
        settings = _settings(n, W.dtype, activation, method, nodes, corners=sets.corners(law, n))
        p = jnp.broadcast_to(jnp.asarray(density, W.dtype), (law.n_units(n),))
        return sets.losses(W, b, p, law, activation, *settings)
    if not isinstance(law, SparseUniform | None):
        raise ConfigError(
            "law must be SparseUniform, Correlated or Anticorrelated for the exact expected loss; got "
            f"{type(law).__name__}; sample it instead"
        )
    arguments.numbers("density", density, n, 1.0)
    method, nodes = _settings(n, W.dtype, activation, method, nodes)
    A = W.T @ W
    p = jnp.broadcast_to(jnp.asarray(density, A.dtype), (n,))
    if activation in quadrature.SMOOTH:
        return quadrature.losses(A, b, p, activation, signed, nodes)

    mean = jnp.zeros_like(p) if signed else p / 2
    residual = jnp.eye(n, dtype=A.dtype) - A
    linear = (residual @ mean - b) ** 2 + residual**2 @ (p / 3 - mean**2)
    if activation == "linear":
        return linear

    # Two ways to write the same loss: from x' = 0 by what relu lets pass, or from x' = z by what it cuts
    # off, that is, by relu(-z). Starting from the smaller error loses the least to cancellation.
    cut = linear < series.TIE * (p / 3)
    sign = jnp.where(cut, -1, 1).astype(A.dtype)
    whole_square = (A @ mean + b) ** 2 + A**2 @ (p / 3 - mean**2)
    A, b = sign[:, None] * A, sign * b
    if method == "enumeration":
        square, cross = enumeration.positive_moments(A, b, p, signed)
    else:
        square, cross = series.positive_moments(A, b, p, signed, nodes)
    relu = jnp.where(cut, linear, p / 3) + sign * square - 2 * cross
    if activation == "relu":
        return relu
    # Leaky: x' = s z + (1 - s) z_+, whose square is s z^2 + (1 - s) z_+^2 less s (1 - s) of what relu cuts off.
    cut_off = jnp.where(cut, square, whole_square - square)
    return LEAK * linear + (1 - LEAK) * relu - LEAK * (1 - LEAK) * cut_off


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

    By enumeration up to n = 8, to rounding; else by a long series, to 5e-8 relative in the worst cases tried (exact
    antipodal pairs at a density of 1e-8). Arguments and
    errors as for `expected_loss`.
    """
    n = arguments.weights(params)[1].shape[0]
    validate.choice("activation", activation, ACTIVATIONS)
    validate.choice("method", method, METHODS)
    signed = validate.truth("signed", signed)
    nodes = None if nodes is None else validate.integer("nodes", nodes, 1)
    arguments.numbers("importance", importance, n)
    arguments.numbers("density", density, n, 1.0)
    W, b, importance, density = (np.asarray(x, np.float64) for x in (params.W, params.b, importance, density))
    if activation in quadrature.SMOOTH:
        nodes = quadrature.REFERENCE_NODES
    elif method == "auto" and n <= 8:
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


def _settings(
    n: int, dtype: Any, activation: str, method: str, nodes: int | None, corners: int | None = None
) -> tuple[str, int]:
    validate.choice("activation", activation, tuple(ACTIVATIONS))
    if activation not in ("linear", "relu") and corners is not None:
        raise ConfigError(f"features in sets have an exact loss for linear and relu only; got {activation!r}")
    if nodes is not None:
        nodes = validate.integer("nodes", nodes, 1)
    validate.instance("method", method, str)
    if activation in quadrature.SMOOTH:
        if n > quadrature.MAX_FEATURES or method != "auto":
            raise ConfigError(
                f"{activation} is integrated numerically, for at most {quadrature.MAX_FEATURES} features and "
                f"method='auto'; got {n} features, method={method!r}"
            )
        return method, quadrature.NODES.get(str(dtype), 8) if nodes is None else nodes
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if method == "enumeration" and (2**n if corners is None else corners) > 2**MAX_ENUMERATED:
        in_sets = (
            "" if corners is None else f" ({corners} corners, at most {2**MAX_ENUMERATED}) in these sets"
        )
        raise ConfigError(
            f"enumeration takes at most {MAX_ENUMERATED} features, the model has {n}{in_sets}; use method='series'"
        )
    if method == "auto":
        few = n <= _ENUMERATED_BY_DEFAULT if corners is None else corners <= _CORNERS_BY_DEFAULT
        method = "enumeration" if few else "series"
    return method, _NODES.get(str(dtype), 64) if nodes is None else nodes
