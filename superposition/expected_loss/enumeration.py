"""Moments of rectified sums of sparse features by exact integration, one feature after another."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# Up to here the recursion is unrolled into scalar arithmetic, which vectorises over models; beyond, one
# compiled step is repeated on arrays of full size, or compilation takes minutes.
_UNROLLED = 3

# Moments of the features done so far, and how far their sum reaches below and above 0.
_Done = tuple[list[Array], Array, Array]


def positive_moments(A: Array, b: Array, density: Array, signed: bool) -> tuple[Array, Array]:
    r"""E (z_i)_+^2 and E x_i (z_i)_+ for every i, with z = b + A x.

    $$E x_i (z_i)_+ = \tfrac12 \partial_{a_{ii}} E (z_i)_+^2$$

    A (n, n), b (n,), density (n,); returns two arrays (n,). Cost of order n^4 2^n (signed: 3^n).
    """

    def row(a: Array, intercept: Array, own: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda a: mean_positive_square(a, intercept, density, signed), (a,), (own,))

    square, slope = jax.vmap(row)(A, b, jnp.eye(len(b), dtype=A.dtype))
    return square, slope / 2


def mean_positive_square(a: Array, b: Array, density: Array, signed: bool) -> Array:
    r"""E (b + sum_j a_j x_j)_+^2 for x_j independent, zero with probability 1 - p_j, else uniform.

    Features are integrated out one by one. With S_r(x) = E (x + sum over the features done so far)_+^r, the
    next gives

    $$S_r(x) \leftarrow (1-p) S_r(x) + p \frac{S_{r+1}(x + a) - S_{r+1}(x + a_0)}{(r+1)(a - a_0)},$$

    a_0 = 0, or -a for the signed law. The quotient cancels catastrophically when |a| is small beside the
    values subtracted. Two rules prevent that. Features come in ascending |a|, and where z has one sign on
    the whole support the answer is a plain moment (or zero). Otherwise 0 lies inside the support, so all
    values there are at most n |a|, and every quotient is accurate relative to the scale of its own support.

    a (n,), b scalar, density (n,); returns a scalar.
    """
    n = a.shape[0]
    corners = (-1, 0, 1) if signed else (0, 1)
    # z -> z / scale leaves the answer unchanged up to scale^2 and keeps high powers away from underflow.
    scale = jax.lax.stop_gradient(jnp.maximum(jnp.abs(b), jnp.max(jnp.abs(a))))
    scale = jnp.where(scale > 0, scale, 1)
    slopes, densities = _ascending(list(a / scale), list(density))

    one, zero = jnp.ones((), a.dtype), jnp.zeros((), a.dtype)
    done: _Done = [one, *[zero] * (n + 2)], zero, zero
    width, inactive = len(corners), corners.index(0)
    x: Any  # with powers, lists of scalars when unrolled, else arrays
    powers: Any
    if n <= _UNROLLED:
        # x: vertices of the support, the smallest slope varying fastest. powers: x_+^2, x_+^3 ... there.
        x = [b / scale]
        for slope in reversed(slopes):
            x = [vertex + slope * corner for vertex in x for corner in corners]
        powers = [[jnp.maximum(vertex, 0) ** r for vertex in x] for r in range(2, n + 3)]
        for slope, p in zip(slopes, densities, strict=True):
            done = _add_feature(done, slope, p, signed)
            x = x[inactive::width]
            corner_powers = [[row[c::width] for row in powers] for c in (0, inactive, width - 1)]
            columns = [
                _integrate_out(x[i], [[r[i] for r in c] for c in corner_powers], done, slope, p, width - 1)
                for i in range(len(x))
            ]
            powers = list(zip(*columns, strict=True))
        return scale**2 * powers[0][0]

    def step(state: tuple[Array, Array, _Done], feature: tuple[Array, Array]) -> tuple[Any, None]:
        x, powers, done = state
        done = _add_feature(done, *feature, signed)
        corner_powers = [list(powers[:, c::width]) for c in (0, inactive, width - 1)]
        x = x[inactive::width]
        powers = jnp.stack(_integrate_out(x, corner_powers, done, *feature, width - 1))
        unused = (0, len(x) * (width - 1))
        return (jnp.pad(x, unused), jnp.pad(powers, [(0, 1), unused]), done), None

    x = (b / scale).reshape(1)
    for slope in reversed(slopes):
        x = (x[:, None] + (slope * jnp.array(corners, a.dtype))[None]).ravel()
    state = x, jnp.stack([jnp.maximum(x, 0) ** r for r in range(2, n + 3)]), done
    (_, powers, _), _ = jax.lax.scan(step, state, (jnp.stack(slopes), jnp.stack(densities)))
    return scale**2 * powers[0, 0]


def _integrate_out(
    x: Array, corner_powers: list[list[Array]], done: _Done, slope: Array, p: Array, span: int
) -> list[Array]:
    """S_r(x), r = 2, 3 ..., from S_r at the lowest, inactive and highest value of the next feature."""
    moments, below, above = done
    # Below rounding error of the scale a slope cannot matter, and dividing by it can only overflow.
    divisible = jnp.abs(slope) > jnp.finfo(slope.dtype).eps
    mixed = (x < below) & (x > -above) & divisible
    lowest, inactive, highest = corner_powers
    length = jnp.where(divisible, span * slope, 1)
    return [
        jnp.where(
            mixed,
            (1 - p) * inactive[i] + p * (highest[i + 1] - lowest[i + 1]) / ((i + 3) * length),
            jnp.where(x >= below, _moment(moments, x, i + 2), 0),
        )
        for i in range(len(inactive) - 1)
    ]


def _ascending(slopes: list[Array], densities: list[Array]) -> tuple[list[Array], list[Array]]:
    # An insertion network of selects: unlike a sort followed by a gather it is elementwise under vmap,
    # also backwards.
    for end in range(1, len(slopes)):
        for j in range(end, 0, -1):
            swap = jnp.abs(slopes[j - 1]) > jnp.abs(slopes[j])
            for values in (slopes, densities):
                left, right = values[j - 1], values[j]
                values[j - 1], values[j] = jnp.where(swap, right, left), jnp.where(swap, left, right)
    return slopes, densities


def _add_feature(done: _Done, slope: Array, p: Array, signed: bool) -> _Done:
    """Moments of s + a x, E (s + a x)^l = sum_k C(l, k) E s^(l-k) a^k E x^k, and its support."""
    moments: list[Any]
    moments, below, above = done
    orders = range(len(moments))
    own = [1.0] + [0 if signed and k % 2 else p * slope**k / (k + 1) for k in orders[1:]]
    moments = [
        sum(math.comb(order, k) * moments[order - k] * own[k] for k in range(order + 1)) for order in orders
    ]
    if signed:
        return moments, below + jnp.abs(slope), above + jnp.abs(slope)
    return moments, below + jnp.maximum(-slope, 0), above + jnp.maximum(slope, 0)


def _moment(moments: list[Array], x: Array, r: int) -> Array:
    """E (x + s)^r = sum_l C(r, l) E s^l x^(r-l), by Horner in x."""
    value = jnp.full_like(x, 1)
    for order in range(1, r + 1):
        value = value * x + math.comb(r, order) * moments[order]
    return value
