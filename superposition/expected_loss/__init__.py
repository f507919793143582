"""The exact expected loss of a toy model on sparse features, without sampling.

Features: x_j = 0 with probability 1 - p_j, else uniform on [0, 1] (or [-1, 1] when signed), independently; or any law
that declares `exact` (features in sets). Model: z = b + W^T W x, with x' = z ("linear") or x' = relu(z)
("relu"). Closed form for the linear model; for the ReLU model every z_i is a sum of independent variables, and
only its one-dimensional distribution matters. Everything can be jitted, vmapped and differentiated in W, b, importance
and density. Where a row of W^T W and its b vanish together the loss has a kink; the gradient there is the one
for relu'(0) = 1.
"""

from dataclasses import replace
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
from superposition.features import FeatureLaw, Sets, SparseUniform
from superposition.typing import PerFeature, Scalar

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
    features: ArrayLike | FeatureLaw,
    *,
    activation: str,
    method: str = "auto",
    nodes: int | None = None,
    signed: bool = False,
) -> Scalar:
    r"""Expected loss, summed over features.

    $$L = \sum_i I_i \, E (x_i - x'_i)^2$$

    importance: I, one number or (n,), >= 0. Other arguments and errors as for `expected_losses`. Returns a scalar.

    >>> import numpy as np
    >>> from superposition.typing import ToyParams
    >>> nothing = ToyParams(np.zeros((2, 5)), np.zeros(5))  # x' = 0, so the loss is sum_i I_i p_i / 3
    >>> round(float(expected_loss(nothing, np.ones(5), 0.3, activation="relu")), 6)
    0.5
    """
    arguments.weighing("importance", importance, arguments.weights(params)[1].shape[0])
    losses = expected_losses(
        params, features, activation=activation, method=method, nodes=nodes, signed=signed
    )
    return jnp.sum(jnp.asarray(importance, losses.dtype) * losses)


def expected_losses(
    params: Any,
    features: ArrayLike | FeatureLaw,
    *,
    activation: str,
    method: str = "auto",
    nodes: int | None = None,
    signed: bool = False,
) -> PerFeature:
    r"""Expected squared error of every feature, not weighted by importance.

    $$L_i = E (x_i - x'_i)^2 = E x_i^2 - 2 E x_i (z_i)_+ + E (z_i)_+^2$$

    - `params`: anything with `W` (m, n) and `b` (n,). Their dtype is the dtype of the computation.
    - `features`: a law that declares `exact`, whose density may be traced; or the density P(x_i != 0) of independent
      features, scalar or (n,), `signed` then saying whether active ones are uniform on [-1, 1] rather than [0, 1].
    - `method`: "enumeration" (n <= 10, exact to rounding, cost 2^n), "series" (any n, cost n^2 `nodes`), or
      "auto": enumeration up to n = 3. Of features in sets, enumeration takes the patterns of active features one by one.
    - `nodes`: terms of the series; default 64 in float32, 1024 in float64. For smooth activations, Gauss nodes
      a feature; default 8 and 16.
    - `activation`: linear, relu and leaky-relu (slope 0.1) in closed form; gelu, softplus, square and tanh by
      quadrature, n <= 3. Of features in sets, linear and relu alone.

    Returns (n,). Raises ConfigError (a ValueError) for a law without an exact loss, `signed` beside a law, an unknown
    `activation` or `method`, n too large to enumerate, `nodes` < 1, shapes that do not fit, and densities that are out
    of range where they can be looked at: values that JAX traces are not. Source: Elhage et al., Toy Models of
    Superposition (2022), "Mathematical Understanding"; its binomial sum over active features, extended to every number
    of them.

    >>> import numpy as np
    >>> from superposition.features import Correlated
    >>> from superposition.typing import ToyParams
    >>> pair = ToyParams(np.array([[1.0, -1.0]]), np.zeros(2))  # an antipodal pair loses E min(x_1, x_2)^2 p each way
    >>> law = Correlated(density=0.3, n_sets=1)
    >>> [round(float(loss), 6) for loss in expected_losses(pair, law, activation="relu")]
    [0.05, 0.05]
    """
    signed = validate.truth("signed", signed)
    W, b = arguments.weights(params)
    n = W.shape[1]
    density, sets_of_features, signed = _decomposed(features, n, signed)
    if sets_of_features is not None:
        corners = sets.corners(sets_of_features)
        settings = _settings(n, W.dtype, activation, method, nodes, corners=corners)
        p = jnp.broadcast_to(jnp.asarray(density, W.dtype), (sets_of_features.n_sets,))
        return sets.losses(W, b, p, sets_of_features, activation, *settings)
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
    features: ArrayLike | FeatureLaw,
    *,
    activation: str,
    method: str = "auto",
    nodes: int | None = 8192,
    signed: bool = False,
) -> float:
    """The expected loss as a Python float, in double precision whatever the dtypes and JAX's settings.

    By enumeration up to n = 8 independent features (256 corners of features in sets), to rounding; else by a long
    series, to 5e-8 relative in the worst cases tried (exact antipodal pairs at a density of 1e-8). Arguments and
    errors as for `expected_loss`.

    >>> import numpy as np
    >>> from superposition.typing import ToyParams
    >>> kept = ToyParams(np.eye(2), np.zeros(2))  # as many dimensions as features: nothing is lost
    >>> reference_loss(kept, np.ones(2), 0.3, activation="relu")
    0.0
    """
    n = arguments.weights(params)[1].shape[0]
    validate.choice("activation", activation, ACTIVATIONS)
    validate.choice("method", method, METHODS)
    signed = validate.truth("signed", signed)
    nodes = None if nodes is None else validate.integer("nodes", nodes, 1)
    arguments.numbers("importance", importance, n)
    density, sets_of_features, signed = _decomposed(features, n, signed)
    law = features.without_density() if isinstance(features, FeatureLaw) else SparseUniform(signed=signed)
    W, b, importance, density = (np.asarray(x, np.float64) for x in (params.W, params.b, importance, density))
    if activation in quadrature.SMOOTH:
        nodes = quadrature.REFERENCE_NODES
    elif method == "auto" and n <= 8 and sets_of_features is None:
        method = "enumeration"
    with jax.enable_x64(True):
        loss = _compiled(
            _Arrays(W, b),
            importance,
            density,
            law=law,
            activation=activation,
            method=method,
            nodes=nodes,
        )
        return float(loss)


class _Arrays(NamedTuple):
    W: Any
    b: Any


@partial(jax.jit, static_argnames=("law", "activation", "method", "nodes"))
def _compiled(params: Any, importance: Array, density: Array, *, law: FeatureLaw, **settings: Any) -> Array:
    return expected_loss(params, importance, replace(law, density=density), **settings)


def _decomposed(
    features: ArrayLike | FeatureLaw, n: int, signed: bool
) -> tuple[ArrayLike, Sets | None, bool]:
    """The densities, the sets that the features form (None: independent), and whether they are signed."""
    if not isinstance(features, FeatureLaw):
        arguments.numbers("density", features, n, 1.0)
        return features, None, signed
    if signed:
        raise ConfigError(f"signed goes with a density; {type(features).__name__} says itself whether it is")
    if not features.exact:
        raise ConfigError(
            f"{type(features).__name__} has no exact expected loss, which takes a law that declares it, as "
            "SparseUniform, Correlated and Anticorrelated do; sample it instead"
        )
    groups = features.independent_sets(n)
    density: Any = features.density
    if validate.is_traced(density):
        of, units = ("feature", n) if groups is None else ("set", groups.n_sets)
        arguments.numbers("density", density, units, 1.0, of=of)
        return density, groups, features.signed
    return features.densities(n), groups, features.signed


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
