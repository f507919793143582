r"""Exact losses of the configurations a small uniform model passes through while it learns.

All features have density p = 1 - S and importance 1. A k-gon stores k features in a plane, on a regular k-gon
of squared radius s with one bias b, both at their best (k = 2 is a digon, k = 1 a dedicated feature); a
feature that is not stored costs its variance, p/3 - p^2/4. With a_j = s cos(2 pi j / k), one of the k costs

$$p/3 - 2 E x_0 z_+ + E z_+^2, \qquad z = b + \sum_j a_j x_j.$$

Integrating features one by one writes both means as sums over every feature being absent, at 0, or at 1, of
terms c s^{-u} (b + s v)_+^q (Elhage et al. 2022, "Mathematical Understanding", to every order): 3^k of them.
"""

from functools import cache
from itertools import product
from math import factorial
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from superposition._internal import validate
from superposition.theory.closed_forms import variance

MAX_SIDES = 8
STARTS = ((1.0, 0.0), (1.3, -0.25), (1.7, -0.6), (2.2, -1.1), (0.5, 0.3))  # s and b
LEAST_S = 0.1  # the terms cancel as s -> 0, and no k-gon at its best comes near: s >= 1/4
ORTHOGONAL = 1e-9  # cosines below this are rounding; such a feature leaves z alone


class Kgon(NamedTuple):
    """A regular k-gon at its best: the loss of one of its features, its radius and its bias."""

    loss: float
    radius: float
    bias: float


def kgon(k: int, density: float) -> Kgon:
    """The regular k-gon, 1 <= k <= 8, of least exact loss at a density in (0, 1]. Raises ConfigError."""
    return _kgon(validate.integer("k", k, 1, MAX_SIDES + 1), _density(density))


@cache
def _kgon(k: int, density: float) -> Kgon:
    if k == 1:
        return Kgon(0.0, 1.0, 0.0)
    terms = _terms(k)
    chance = density ** (terms.active - 1) * (1 - density) ** (terms.features - terms.active)
    found = _least(terms, chance, 1.0)
    return found._replace(loss=found.loss * density)


def kgon_one_active(k: int) -> Kgon:
    """The limit of `kgon` as p -> 0: one feature is active at a time, and loss is that of such an event.

    0 for k <= 4, .015826 for the pentagon (reference 5.6). b <= 0: a positive one costs b^2 at all times.
    """
    return _one_active(validate.integer("k", k, 1, MAX_SIDES + 1))


@cache
def _one_active(k: int) -> Kgon:
    terms = _terms(k)
    return _least(terms, (terms.active == 1).astype(float), 0.0)


def kgon_levels(n_features: int, density: float, most: int = 8) -> dict[int, float]:
    """Loss of n_features in a plane, k of them on a k-gon and the others dropped, for k = 1 ... most."""
    validate.integer("n_features", n_features, 1)
    density = _density(density)
    dropped = float(variance(density))
    return {
        k: k * kgon(k, density).loss + (n_features - k) * dropped
        for k in range(1, min(n_features, validate.integer("most", most, 1, MAX_SIDES + 1)) + 1)
    }


def digon_levels(n_features: int, n_hidden: int, density: float) -> np.ndarray:
    """Loss with k = 0 ... min(n, 2m) features stored, (k + 1,), the others dropped.

    Up to k = m each has a dimension of its own and costs nothing; beyond, k - m dimensions hold a digon.
    """
    validate.integer("n_features", n_features, 1)
    validate.integer("n_hidden", n_hidden, 1)
    density = _density(density)
    k = np.arange(min(n_features, 2 * n_hidden) + 1)
    digons = np.maximum(k - n_hidden, 0)
    return 2 * digons * kgon(2, density).loss + (n_features - k) * float(variance(density))


def _density(density: float) -> float:
    # Before the cache, which takes only what can be hashed, and to which True is 1.
    density = validate.number("density", density)
    validate.in_range("density", density, 0.0, 1.0, open_low=True)
    return density


class _Terms(NamedTuple):
    """c s^-u (b + s v)_+^q, and how many features are active in the event it belongs to, out of how many."""

    c: np.ndarray
    u: np.ndarray
    v: np.ndarray
    q: np.ndarray
    active: np.ndarray
    features: int


@cache
def _terms(k: int) -> _Terms:
    """Of -2 E x_0 z_+ + E z_+^2, chances of the events not yet counted in."""
    cosines = np.cos(2 * np.pi * np.arange(k) / k)
    cosines = cosines[np.abs(cosines) > ORTHOGONAL]
    # Rows: every way for the features to be absent (0), at 0 (1) or at 1 (2). The first is x_0's own.
    state = np.array(list(product(range(3), repeat=len(cosines))))
    active = (state > 0).sum(1)
    c = np.prod(np.where(state == 0, 1.0, np.where(state == 1, -1.0, 1.0) / cosines), axis=1)
    c *= np.array([2 / factorial(n + 2) for n in range(len(cosines) + 1)])[active]
    v = (state == 2) @ cosines
    # 2 s E x_0 z_+ = E z_+^2 with x_0 at 1, less E z_+^2, given that x_0 is active.
    absent, there = state[:, 0] == 0, state[:, 0] > 0
    parts = (
        (c, active, v, active + 2, active),
        (-c[absent], active[absent] + 1, 1 + v[absent], active[absent] + 2, active[absent] + 1),
        (c[there], active[there] + 1, v[there], active[there] + 2, active[there]),
    )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _Terms(columns[0], columns[1], columns[2], columns[3], columns[4], len(cosines))


def _least(terms: _Terms, chance: np.ndarray, highest_bias: float) -> Kgon:
    """Least loss over s and b, and where; loss and chances are those of an event, divided by p."""
    kept = chance > 0
    c = terms.c[kept] * chance[kept]
    u, v, q = (x[kept].astype(float) for x in (terms.u, terms.v, terms.q))

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        s, b = x
        base = np.maximum(b + s * v, 0)
        value, slope = c * s**-u * base**q, c * s**-u * q * base ** (q - 1)
        return 1 / 3 + value.sum(), np.array([(slope * v - u / s * value).sum(), slope.sum()])

    bounds = [(LEAST_S, None), (None, highest_bias)]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 200}
    starts = [(s, min(b, highest_bias)) for s, b in STARTS]
    fits = [minimize(loss, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for x in starts]
    best = min(fits, key=lambda fit: float(fit.fun))
    return Kgon(max(0.0, float(best.fun)), float(np.sqrt(best.x[0])), float(best.x[1]))
