r"""The ReLU model without bias at n = 2, m = 1, solved: every stationary point is a root of a polynomial.

x' = relu(W^T W x), W = (w_1, w_2), features of density p, importances (1, r). Let a >= b be |w_1|, |w_2| in
descending order, k = b / a in [0, 1], u = a^2, and I_a, I_b their importances. Along a direction (k and the
signs) the expected loss is a quadratic in u, C_0 - C_1(k) u + C_2(k) u^2 with C_0 = p (1 + r) / 3 and

same sign (relu never cuts):
$$C_1/p = \tfrac23 (I_a + I_b k^2) + \tfrac p2 (I_a + I_b) k, \quad
  C_2/p = (I_a + I_b k^2) (\tfrac13 + \tfrac p2 k + \tfrac13 k^2)$$
opposite signs, q = 1 - p:
$$C_1/p = I_a (\tfrac23 q + p (\tfrac23 - \tfrac k2 + \tfrac{k^3}{12})) + I_b (\tfrac23 q k^2 + \tfrac p4 k^3),$$
$$C_2/p = I_a (\tfrac q3 + p (\tfrac13 - \tfrac k2 + \tfrac{k^2}3 - \tfrac{k^3}{12}))
  + I_b (\tfrac q3 k^4 + \tfrac p{12} k^5).$$

The least loss of a direction is C_0 - C_1^2 / (4 C_2), and the directions that are stationary are the roots
of 2 C_1' C_2 - C_1 C_2'. Source: T. McGrath's comment in Elhage et al. (2022), which shows the surfaces;
the formulas are derived here and held against the enumerated expected loss in the tests.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from superposition._internal import validate
from superposition.errors import ConfigError

ANTIPODAL_BELOW = 4 * (10 - math.sqrt(14)) / 43
"""Density below which the antipodal pair wins at r = 1: the root of 43 p^2 - 80 p + 32, 0.582171."""

_SWEEPS = 3  # of Newton's method on a root: eigenvalues of a companion matrix lose digits at small density


class NoBiasMinimum(NamedTuple):
    """W (..., 2) with w_1 > 0, its loss (...), and the least loss with w_1 w_2 >= 0 and with w_1 w_2 <= 0."""

    W: np.ndarray
    loss: np.ndarray
    same_sign: np.ndarray
    opposite_sign: np.ndarray


def no_bias_minimum(relative_importance: Any, density: Any) -> NoBiasMinimum:
    """The global minimum over w_1 and w_2, exact to rounding of p (1 + r) / 3, the loss of w = 0.

    Of a loss much below that, as at small p, fewer digits are right. r and p broadcast against each other. Raises
    ConfigError unless 1e-12 <= r <= 1e12 and 1e-100 <= p <= 1: beyond, the polynomials' coefficients round to 0.
    """
    r, p = _settings(relative_importance, density)
    found = []  # per sign: u, k of the best direction, whether w_2 is the larger, and the loss
    for opposite in (False, True):
        best: Any = None
        for swapped in (False, True):
            gain, u, k = _best_direction(r, p, opposite, swapped)
            new = np.stack([gain, u, k, np.full_like(gain, swapped)])
            best = new if best is None else np.where(new[0] > best[0], new, best)
        found.append(best)
    top = np.where(found[0][0] >= found[1][0], found[0], found[1])
    sign = np.where(found[0][0] >= found[1][0], 1.0, -1.0)
    large = np.sqrt(top[1])
    small = top[2] * large
    swapped = top[3] > 0
    W = np.stack([np.where(swapped, small, large), sign * np.where(swapped, large, small)], -1)
    start = (1 + r) / 3
    return NoBiasMinimum(W, p * (start - top[0]), p * (start - found[0][0]), p * (start - found[1][0]))


def no_bias_loss(w_1: Any, w_2: Any, relative_importance: Any, density: Any) -> np.ndarray:
    """The exact expected loss of x' = relu(W^T W x) at W = (w_1, w_2); all four broadcast."""
    r, p = _settings(relative_importance, density)
    w_1, w_2 = np.broadcast_arrays(np.asarray(w_1, float), np.asarray(w_2, float))
    swapped = np.abs(w_2) > np.abs(w_1)
    u, small = np.maximum(np.abs(w_1), np.abs(w_2)) ** 2, np.minimum(np.abs(w_1), np.abs(w_2))
    k = np.divide(small, np.sqrt(u), out=np.zeros_like(small), where=u > 0)
    linear, square = _at(k, r, p, w_1 * w_2 < 0, swapped)
    return np.asarray(p * ((1 + r) / 3 - linear * u + square * u**2))


def direction_loss(angle: Any, relative_importance: Any, density: Any) -> np.ndarray:
    """The least loss along the direction (cos, sin)(angle) of (w_1, w_2); period pi. All three broadcast."""
    r, p = _settings(relative_importance, density)
    c, s = np.cos(np.asarray(angle, float)), np.sin(np.asarray(angle, float))
    swapped = np.abs(s) > np.abs(c)
    k = np.minimum(np.abs(c), np.abs(s)) / np.maximum(np.abs(c), np.abs(s))
    linear, square = _at(k, r, p, c * s < 0, swapped)
    return np.asarray(p * ((1 + r) / 3 - linear**2 / (4 * square)))


def antipodal_boundary(relative_importance: Any) -> np.ndarray:
    """Density at which the minima of the two signs are equal: below it, w_1 and w_2 have opposite signs.

    4 (10 - sqrt 14) / 43 at r = 1; elsewhere the root has no closed form and is found to 1e-12. Raises
    ConfigError unless 1e-4 <= r <= 1e4: beyond, the two minima differ by less than rounding.
    """

    def gap(p: float, r: float) -> float:
        found = no_bias_minimum(r, p)
        return float((found.same_sign - found.opposite_sign) / p)

    r, _ = _settings(relative_importance, 1.0)
    validate.between("relative_importance", r, 1e4, 1e-4)
    roots = [brentq(gap, 1e-4 * min(x, 1 / x), 1.0, args=(x,), xtol=1e-13) for x in r.ravel()]
    return np.array(roots).reshape(r.shape)


def _settings(relative_importance: Any, density: Any) -> tuple[np.ndarray, np.ndarray]:
    validate.between("relative_importance", relative_importance, 1e12, 1e-12)
    validate.between("density", density, 1.0, 1e-100)
    r, p = np.asarray(relative_importance, float), np.asarray(density, float)
    try:
        r, p = np.broadcast_arrays(r, p)
    except ValueError as error:
        raise ConfigError(
            f"relative_importance and density must broadcast against each other; got {r.shape} and {p.shape}"
        ) from error
    return r, p


def _coefficients(
    r: np.ndarray, p: np.ndarray, opposite: bool, swapped: bool
) -> tuple[np.ndarray, np.ndarray]:
    """C_1 / p and C_2 / p as polynomials in k, (..., power), lowest first."""
    zero, one = np.zeros_like(p), np.ones_like(p)
    large, small = (r, one) if swapped else (one, r)
    weights = (large[..., None], small[..., None])

    def rows(own: list[Any], other: list[Any]) -> np.ndarray:
        parts = (np.stack(np.broadcast_arrays(*row), -1) for row in (own, other))
        return np.asarray(sum(w * part for w, part in zip(weights, parts, strict=True)))

    third = one / 3
    if not opposite:
        return (
            rows([2 * third, p / 2, zero], [zero, p / 2, 2 * third]),
            rows([third, p / 2, third, zero, zero], [zero, zero, third, p / 2, third]),
        )
    q = 1 - p
    return (
        rows([2 * third, -p / 2, zero, p / 12], [zero, zero, 2 * q / 3, p / 4]),
        rows([third, -p / 2, p / 3, -p / 12, zero, zero], [zero, zero, zero, zero, q / 3, p / 12]),
    )


def _value(polynomial: np.ndarray, k: np.ndarray) -> np.ndarray:
    value = polynomial[..., -1]
    for power in range(polynomial.shape[-1] - 2, -1, -1):
        value = value * k + polynomial[..., power]
    return value


def _at(
    k: np.ndarray, r: np.ndarray, p: np.ndarray, opposite: Any, swapped: Any
) -> tuple[np.ndarray, np.ndarray]:
    """C_1 / p and C_2 / p at k, for every cell's own signs and order."""
    linear = square = np.ones(())
    for o in (False, True):
        for s in (False, True):
            here = (opposite == o) & (swapped == s)
            first, second = _coefficients(r, p, o, s)
            linear = np.where(here, _value(first, k), linear)
            square = np.where(here, _value(second, k), square)
    return linear, square


def _best_direction(
    r: np.ndarray, p: np.ndarray, opposite: bool, swapped: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Greatest C_1^2 / (4 C_2) over k in [0, 1], with u = C_1 / (2 C_2) and k there."""
    linear, square = _coefficients(r, p, opposite, swapped)
    slope = 2 * _product(_derivative(linear), square) - _product(linear, _derivative(square))
    # The highest power cancels (same sign), and k = 0 is a root (opposite signs): neither is kept.
    slope = slope[..., 1:] if opposite else slope[..., :-1]
    degree = slope.shape[-1] - 1
    companion = np.zeros((*p.shape, degree, degree))
    companion[..., np.arange(1, degree), np.arange(degree - 1)] = 1
    companion[..., -1] = -slope[..., :-1] / slope[..., -1:]
    # Whatever is evaluated bounds the loss from above, so complex roots need not be told from real ones.
    k = np.clip(np.linalg.eigvals(companion).real, 0, 1)
    rate, wide = _derivative(slope)[..., None, :], slope[..., None, :]
    for _ in range(_SWEEPS):
        steepness = _value(rate, k)
        move = np.divide(_value(wide, k), steepness, out=np.zeros_like(k), where=steepness != 0)
        k = np.clip(k - move, 0, 1)
    ends = np.broadcast_to([0.0, 1.0], (*p.shape, 2))
    k = np.concatenate([k, ends], -1)
    first, second = _value(linear[..., None, :], k), _value(square[..., None, :], k)
    gain = np.where(first > 0, first**2 / (4 * second), 0)
    best = gain.argmax(-1)[..., None]
    take = [np.take_along_axis(x, best, -1)[..., 0] for x in (gain, first / (2 * second), k)]
    return take[0], take[1], take[2]


def _derivative(polynomial: np.ndarray) -> np.ndarray:
    return polynomial[..., 1:] * np.arange(1, polynomial.shape[-1])


def _product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    product = np.zeros((*x.shape[:-1], x.shape[-1] + y.shape[-1] - 1))
    for power in range(x.shape[-1]):
        product[..., power : power + y.shape[-1]] += x[..., power : power + 1] * y
    return product
