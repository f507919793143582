r"""The expected loss taken apart by how many features are active at once (Elhage et al. 2022).

For n independent features of one density p, of which k are active with probability C(n, k) p^k (1-p)^(n-k),

$$L = \sum_{k=0}^n p^k (1-p)^{n-k} L_k, \qquad L_0 = \sum_i I_i f(b_i)^2,$$

$$L_1 = \sum_i \int_0^1 I_i (x - f(\|W_i\|^2 x + b_i))^2 dx
      + \sum_{i \ne j} \int_0^1 I_i f(W_i \cdot W_j x + b_i)^2 dx,$$

f being the ReLU or the identity: what a feature's own output misses when it is active alone, which the paper
calls feature benefit, and what the others' outputs then show, interference. L_k sums over the C(n, k) sets of k
active features. L_0 is O(n), L_1 O(n^2) and L_2 O(n^3), all exact; further k enumerate the sets. Everything can
be jitted, vmapped and differentiated in W, b and importance.
"""

from functools import partial
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.expected_loss import arguments, expected_loss
from superposition.typing import ToyParams

ACTIVATIONS = ("linear", "relu")
MAX_ENUMERATED = 8
_GAUSS = np.array([0.5 - 12**-0.5, 0.5 + 12**-0.5])  # two nodes: exact for cubics


def losses_by_count(params: Any, importance: ArrayLike, *, activation: str, most: int = 2) -> Array:
    """L_0, L_1 ... L_most, (most + 1,): exact at any n up to most = 2, and up to n features at n <= 8.

    params: anything with W (m, n) and b (n,); importance a number or (n,), >= 0. Raises ConfigError for an
    unknown activation, shapes that do not fit, most outside [0, n], or more than two active features of more than 8.
    """
    W, b, weight = _arrays(params, importance, activation)
    n = W.shape[1]
    validate.integer("most", most, 0, n + 1)
    if most > 2 and n > MAX_ENUMERATED:
        raise ConfigError(
            f"sets of more than 2 active features are enumerated for at most {MAX_ENUMERATED} features; got "
            f"most={most} and {n} features; use most=2, and the expected loss for what is left"
        )
    return _terms(W, b, weight, activation, most)


def count_weights(density: float, n_features: int, most: int) -> np.ndarray:
    """p^k (1-p)^(n-k) for k = 0 ... most, (most + 1,): the weights of L_0 ... L_most in the expected loss."""
    validate.number("density", density)
    validate.in_range("density", density, 0.0, 1.0)
    validate.integer("n_features", n_features, 1)
    validate.integer("most", most, 0, n_features + 1)
    k = np.arange(most + 1)
    return np.asarray(float(density) ** k * (1 - float(density)) ** (n_features - k))


def one_active(params: Any, importance: ArrayLike, *, activation: str) -> Array:
    """Entries (output i, active feature j) whose sum is L_1: feature benefit on the diagonal, interference off it.

    Arguments and errors as for `losses_by_count`.
    """
    W, b, weight = _arrays(params, importance, activation)
    return weight[:, None] * _one_active(W, b, activation)


class LinearTerms(NamedTuple):
    """The linear model's loss in units of Var x_i: feature benefit (n,), and interference with every output (n,)."""

    benefit: Array
    interference: Array


def linear_terms(W: ArrayLike, importance: ArrayLike) -> LinearTerms:
    """I_i (1 - ||W_i||^2)^2 and sum_{j != i} I_i (W_i . W_j)^2, each (n,).

    With the best bias, b = (1 - W^T W) E x, the linear model's expected loss is (p/3 - p^2/4) times their sum,
    at every density p. Source: Elhage et al. 2022, "Mathematical Understanding", after Saxe et al. 2014.
    Raises ConfigError for shapes that do not fit or an importance < 0.
    """
    W = arguments.floating(W)
    if W.ndim != 2:
        raise ConfigError(f"W must be (m, n); got {W.shape}; vmap over several models")
    arguments.numbers("importance", importance, W.shape[1])
    weight = jnp.broadcast_to(jnp.asarray(importance, W.dtype), W.shape[1:])
    A = W.T @ W
    own = jnp.diagonal(A)
    return LinearTerms(weight * (1 - own) ** 2, weight * ((A**2).sum(1) - own**2))


def _arrays(params: Any, importance: ArrayLike, activation: str) -> tuple[Array, Array, Array]:
    validate.choice("activation", activation, ACTIVATIONS)
    W, b = arguments.weights(params)
    arguments.numbers("importance", importance, W.shape[1])
    return W, b, jnp.broadcast_to(jnp.asarray(importance, W.dtype), b.shape)


@partial(jax.jit, static_argnums=(3, 4))
def _terms(W: Array, b: Array, weight: Array, activation: str, most: int) -> Array:
    terms = [weight @ (jnp.maximum(b, 0) ** 2 if activation == "relu" else b**2)]
    if most > 0:
        terms.append(weight @ _one_active(W, b, activation).sum(1))
    if most > 1:
        terms.append(weight @ _two_active(W, b, activation))
    if most > 2:
        terms += _enumerated(W, b, weight, activation, most)
    return jnp.stack(terms)


def _one_active(W: Array, b: Array, activation: str) -> Array:
    """Squared error of output i when j alone is active, (i, j)."""
    A = W.T @ W
    return _mean_square_error(jnp.zeros_like(A), jnp.eye(len(b), dtype=A.dtype), b[:, None], A, activation)


def _two_active(W: Array, b: Array, activation: str) -> Array:
    """Squared error of output i summed over pairs of active features, (i,).

    The inner integral, over the second feature, is piecewise cubic in the first, u: it bends only where
    b_i + A_ij u or b_i + A_ij u + A_ik passes 0, and two Gauss nodes a piece integrate it exactly.
    """
    A = W.T @ W
    n = len(b)
    own = jnp.eye(n, dtype=A.dtype)

    def first(j: Array) -> Array:
        slope = A[:, j, None]
        safe = jnp.where(slope == 0, 1.0, slope)
        bends = jnp.stack([-(b[:, None] + 0 * A) / safe, -(b[:, None] + A) / safe])
        bends = jnp.where(slope == 0, 0.0, jnp.clip(jax.lax.stop_gradient(bends), 0.0, 1.0))
        zero = jnp.zeros_like(A)
        ends = jnp.stack([zero, bends.min(0), bends.max(0), zero + 1])
        total = zero
        for left, right in pairwise(ends):
            for node in _GAUSS:
                u = left + (right - left) * node
                errors = _mean_square_error(u * own[:, j, None], own, b[:, None] + slope * u, A, activation)
                total += (right - left) / 2 * errors
        return jnp.where(jnp.arange(n)[None] == j, 0.0, total).sum(1)

    return jax.lax.map(first, jnp.arange(n)).sum(0) / 2  # every pair came in both orders


def zero_crossing(start: Array, slope: Array) -> Array:
    """Where start + slope v passes 0 on the way from v = 0 to 1; 0 or 1 if it has a positive or negative part only."""
    # Divided only where there is a crossing, and by no tiny number: else the quotient's slope overflows, and the
    # gradient is 0 inf = nan.
    within = (jnp.abs(start) < jnp.abs(slope)) & (jnp.abs(slope) > jnp.finfo(slope.dtype).tiny ** 0.5)
    beyond = jnp.where((start < 0) == (slope < 0), 0.0, 1.0)
    return jnp.where(within, jnp.clip(-start / jnp.where(within, slope, 1.0), 0.0, 1.0), beyond)


def _mean_square_error(target: Array, rise: Array, start: Array, slope: Array, activation: str) -> Array:
    """Average over v in [0, 1] of (target + rise v - f(start + slope v))^2, as a sum of terms >= 0."""
    low, high = jnp.zeros_like(slope), jnp.ones_like(slope)
    if activation == "relu":
        crossing = zero_crossing(start, slope)
        # At start = slope = 0 the ReLU counts as open: relu'(0) = 1, as in the expected loss.
        low = jnp.where(slope > 0, crossing, jnp.where((slope == 0) & (start < 0), 1.0, 0.0))
        high = jnp.where(slope < 0, crossing, 1.0)

    def between(left: Array, right: Array, value: Array, rate: Array) -> Array:
        first, last = value + rate * left, value + rate * right
        return (right - left) * (first**2 + first * last + last**2) / 3

    closed = between(jnp.zeros_like(low), low, target, rise) + between(
        high, jnp.ones_like(high), target, rise
    )
    return closed + between(low, high, target - start, rise - slope)


def _enumerated(W: Array, b: Array, weight: Array, activation: str, most: int) -> list[Array]:
    """L_3 ... L_most, summed over sets: given one, its features have density 1 and all others 0."""
    n = W.shape[1]
    sets = [members for k in range(3, most + 1) for members in combinations(range(n), k)]
    active = np.array([np.isin(range(n), members) for members in sets])

    def given(density: Array) -> Array:
        return expected_loss(ToyParams(W, b), weight, density, activation=activation, method="enumeration")

    # One after another: vectorised over sets, the recursion takes several times longer to compile.
    losses = jax.lax.map(given, jnp.asarray(active, W.dtype))
    return [losses[active.sum(1) == k].sum() for k in range(3, most + 1)]
