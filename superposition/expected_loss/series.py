"""Moments of rectified sums of sparse features from their characteristic function: any number of features."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal.rank import lead

# Complex numbers per array and model. More nodes take turns, recomputed in the backward pass.
_CHUNK = 2**19
RARE = 30.0  # minus the logarithm of the chance that |z| exceeds the period
# Of two ways to write a loss the second is taken where its start is smaller than this much of the first's. Less than 1:
# with W = 0 and b = 0 the two tie, rounding would decide, and only the first has the gradient of relu'(0) = 1.
TIE = 0.999
TILTS = np.geomspace(0.5, 64, 12)

Triple = tuple[Array, Array, Array]
Events = Callable[
    [Array, Array, Callable[[Array, int], Array], Callable[[Array, Array], Array]],
    tuple[Array, Array, Array, Array],
]


def positive_moments(
    A: Array, b: Array, density: Array, signed: bool, nodes: int, events: Events | None = None
) -> tuple[Array, Array]:
    r"""E (z_i)_+^2 and E x_i (z_i)_+ for every i, with z = b + A x.

    With y = z / P, |z| <= P but for a chance below 1e-12, the periodic Bernoulli functions carry the kink: for |y| <= 1

    $$y_+^2 = f(y) - \tfrac13 \tilde B_3(y), \quad f(y) = \tfrac13 y^3 + \tfrac12 y^2 + \tfrac16 y, \quad
      \tilde B_3(y) = \frac{12}{(2\pi)^3} \sum_{k \ge 1} \frac{\sin 2\pi k y}{k^3},$$

    and y_+ is half the derivative. The polynomial needs three moments of z, the series its characteristic
    function at `nodes` points, each a product of one factor per feature. Where z has one sign, y^2 or 0
    alone is exact. Events with at most one active feature decay slowest in k; they are integrated in closed
    form and left out of the rest, which also keeps the rest accurate relative to its own, small,
    probability.

    A (n, n), b (n,), density (n,), or of whatever units `events` takes; returns two arrays (n,). Cost
    n^2 nodes; nothing overflows, whatever n and density.
    """
    events = events or independent
    low, high = (-1, 1) if signed else (0, 1)
    highest = b + jnp.maximum(A * low, A * high).sum(1)
    lowest = b + jnp.minimum(A * low, A * high).sum(1)
    # The result does not depend on the period, so neither does its gradient.
    period = jnp.maximum(highest, -lowest)
    if events is independent:
        period = jnp.fmin(period, _likely(A, b, density, signed))  # fmin: tiny rows of A may overflow there
    period = jax.lax.stop_gradient(jnp.where(period > 0, period, 1))
    A, b = A / period[:, None], b / period
    own = jnp.diagonal(A)

    taylor = functools.partial(_taylor, low=low, high=high)
    silent, single, square, cross = events(A, density, taylor, _multiply_taylor)
    two, nothing = jnp.full_like(b, 2), jnp.zeros_like(b)
    kinked_derivatives = jnp.stack(
        [((b / 3 + 0.5) * b + 1 / 6) * b, (b + 1) * b + 1 / 6, 2 * b + 1, two], axis=1
    )
    positive_derivatives = jnp.stack([b**2, 2 * b, two, nothing], axis=1)
    kinked, positive = ((lowest < 0) & (highest > 0))[:, None], (lowest >= 0)[:, None]
    derivatives = jnp.where(kinked, kinked_derivatives, jnp.where(positive, positive_derivatives, 0))
    square = (square * derivatives).sum(1)
    cross = (cross[:, :3] * derivatives[:, 1:]).sum(1) / 2

    def alone(a: Array, b: Array) -> Array:
        return _mean_positive_square(b + a * low, b + a * high)

    square += silent * jnp.maximum(b, 0) ** 2 + (alone(A, b[:, None]) * single[None]).sum(1)
    cross += single * jax.jvp(lambda a: alone(a, b), (own,), (jnp.ones_like(own),))[1] / 2

    def partial_sums(start: Array, weights: Array) -> tuple[Array, Array]:
        k = start + jnp.arange(1, size + 1, dtype=A.dtype)
        factor = functools.partial(_characteristic, start=start, k=k, signed=signed)
        _, _, plain, tilted = events(A, density, factor, jnp.multiply)
        phase = _rotations(2 * math.pi * b, start, size)
        third = (jnp.imag(phase * plain) * (weights / k)[None]).sum(1) * (12 / (2 * math.pi) ** 3)
        second = (jnp.real(phase * tilted) * weights[None]).sum(1) * (4 / (2 * math.pi) ** 2)
        return jnp.where(kinked[:, 0], third, 0), jnp.where(kinked[:, 0], second, 0)

    size = min(nodes, max(1, _CHUNK // len(b) ** 2))
    starts = np.arange(0, nodes, size)
    weights = np.zeros(len(starts) * size)
    weights[:nodes] = _weights(nodes)
    turns = jnp.array(starts, A.dtype), jnp.array(weights.reshape(-1, size), A.dtype)
    if len(starts) == 1:
        third, second = partial_sums(*(x[0] for x in turns))
    else:
        turn = jax.checkpoint(lambda sums, xs: (jax.tree.map(jnp.add, sums, partial_sums(*xs)), None))
        (third, second), _ = jax.lax.scan(turn, (nothing, nothing), turns)
    return period**2 * (square - third / 3), period * (cross - second / 2)


def _likely(A: Array, b: Array, density: Array, signed: bool) -> Array:
    """A bound on |z| that holds but for a chance of e^-RARE, (n,): of many features few are ever active together.

    Chernoff's: P(z > P) <= E e^(t z) e^(-t P) for any t > 0, the best of several.
    """
    largest = jnp.abs(A).max(1)
    scale = 1 / jnp.where(largest > 0, largest, 1)

    def bound(s: Array) -> Array:
        t = s * scale
        reach = []
        for sign in (1, -1):
            u = sign * A * t[:, None]
            small = jnp.abs(u) < 1e-3
            safe = jnp.where(small, 1, u)
            mean = (jnp.sinh(safe) if signed else jnp.expm1(safe)) / safe
            mean = jnp.where(small, 1 if signed else 1 + u / 2, mean)
            reach.append((sign * b * t + jnp.log1p(lead(density, mean) * (mean - 1)).sum(1) + RARE) / t)
        return jnp.maximum(*reach)

    return jax.lax.map(bound, jnp.asarray(TILTS, A.dtype)).min(0)


def _weights(nodes: int) -> np.ndarray:
    """Weights on cos(2 pi k y), k = 1 ... nodes, standing for sum_k cos(2 pi k y) / k^2 over all k.

    What the truncated sum misses is largest, of order 1 / nodes, for probability concentrated at the kink:
    a row of orthogonal features and no bias. There the characteristic function tends to a constant, so the
    tail is a smooth average of it over the last nodes, which away from the kink nearly vanishes, times the
    tail of sum 1 / k^2.
    """
    k = np.arange(1, nodes + 1)
    average = k**4.0 * (nodes + 1.0 - k) ** 2
    return 1 / k**2 + average / average.sum() * (math.pi**2 / 6 - (1 / k**2).sum())


def independent(
    A: Array,
    density: Array,
    factor: Callable[[Array, int], Array],
    multiply: Callable[[Array, Array], Array],
) -> tuple[Array, Array, Array, Array]:
    """A product of one factor per feature, over events with two or more active features.

    factor(a, k) stands for E x^k e^(a x) in some algebra with product `multiply`. Returns the probabilities
    (n,), the same for every row of A, that nothing is active and that feature i alone is; and over all other
    events, for every row, the means of e^z and of x_i e^z (n, ...).
    """
    n = len(density)
    itself = jnp.eye(n, dtype=bool)
    present = jnp.where(itself, 0, density[:, None])
    absent = jnp.where(itself, 1, 1 - density[:, None])

    def add_feature(active: Triple, feature: Triple) -> tuple[Triple, None]:
        # Keeping apart how many are active needs no division, and no subtraction that loses rare events.
        none, one, more = active
        a, p, q = feature
        new, q = p[:, None] * factor(a, 0), q[:, None]
        return (none * q, one * q + none * new, more * q + multiply(new, one + more)), None

    plain, tilted = (density[:, None] * factor(jnp.diagonal(A), k) for k in (0, 1))
    start = jnp.ones_like(A[:, :1]), jnp.zeros_like(plain), jnp.zeros_like(plain)
    (none, one, more), _ = jax.lax.scan(add_feature, start, (A.T, present, absent))
    return (
        (1 - density) * none[:, 0],
        density * none[:, 0],
        (1 - density)[:, None] * more + multiply(plain, one + more),
        multiply(tilted, one + more),
    )


def _taylor(a: Array, power: int, *, low: int, high: int) -> Array:
    """E x^power e^(a x t), x uniform on [low, high], to third order in t. a (n,); returns (n, 4)."""
    means = [(high**m - low**m) / (m * (high - low)) for m in range(power + 1, power + 5)]
    powers = [jnp.ones_like(a), a, a**2, a**3]
    return jnp.stack([m * x / f for m, x, f in zip(means, powers, (1, 1, 2, 6), strict=True)], axis=1)


def _multiply_taylor(x: Array, y: Array) -> Array:
    return jnp.stack([sum(x[:, k] * y[:, m - k] for k in range(m + 1)) for m in range(4)], axis=1)


def _mean_positive_square(start: Array, end: Array) -> Array:
    """Average of z_+^2 over z uniform between start and end."""
    low, high = jnp.minimum(start, end), jnp.maximum(start, end)
    # A kink in an interval shorter than rounding error contributes nothing, and the quotient could overflow.
    mixed = (low < 0) & (high - low > jnp.finfo(low.dtype).eps)
    length = jnp.where(mixed, high - low, 1)
    full = (start**2 + start * end + end**2) / 3
    return jnp.where(mixed, jnp.maximum(high, 0) ** 3 / (3 * length), jnp.where(low >= 0, full, 0))


def _characteristic(a: Array, power: int, *, start: Array, k: Array, signed: bool) -> Array:
    """E x^power e^(2 pi i k a x), x uniform on [0, 1] or, if signed, [-1, 1]; returns (n, nodes)."""
    if power:
        return _plain_and_tilted(a, start, k, signed)[1]
    return _plain(a, start, k, signed)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _plain(a: Array, start: Array, k: Array, signed: bool) -> Array:
    return _plain_and_tilted(a, start, k, signed)[0]


@_plain.defjvp
def _(signed: bool, primals: Triple, tangents: Triple) -> tuple[Array, Array]:
    # The derivative is the tilted mean, which is at hand; differentiating the code takes twice as long.
    plain, tilted = _plain_and_tilted(*primals, signed)
    angle = tangents[0][:, None] * (2 * math.pi * primals[2])[None]
    return plain, tilted * jax.lax.complex(jnp.zeros_like(angle), angle)


def _plain_and_tilted(a: Array, start: Array, k: Array, signed: bool) -> tuple[Array, Array]:
    # h is the frequency times half the width of the interval. For v uniform on [-1, 1],
    # E e^(i h v) = sin h / h and E v e^(i h v) = i (sin h - h cos h) / h^2.
    width = 2 if signed else 1
    rotation = _rotations(math.pi * width * a, start, len(k))
    h = (math.pi * width * a)[:, None] * k[None]
    small = jnp.abs(h) < 0.5
    safe = jnp.where(small, 1, h)
    square = jnp.where(small, h, 0) ** 2
    sinc_taylor = [(-1) ** m / math.factorial(2 * m + 1) for m in range(8)]
    bessel_taylor = [(-1) ** m * (2 * m + 2) / math.factorial(2 * m + 3) for m in range(8)]
    sinc = jnp.where(small, _horner(square, sinc_taylor), rotation.imag / safe)
    bessel = jnp.where(small, h * _horner(square, bessel_taylor), (sinc - rotation.real) / safe)
    zero = jnp.zeros_like(sinc)
    if signed:
        return jax.lax.complex(sinc, zero), jax.lax.complex(zero, bessel)
    return rotation * sinc, rotation * jax.lax.complex(sinc, bessel) / 2


def _rotations(angle: Array, start: Array, count: int) -> Array:
    """e^(i angle k), k = start + 1 ... start + count, by doubling: a sine costs ten complex products."""
    unit = [jax.lax.complex(jnp.cos(x), jnp.sin(x))[:, None] for x in (angle, angle * start)]
    powers = unit[0]
    while powers.shape[1] < count:
        powers = jnp.concatenate([powers, powers * powers[:, -1:]], axis=1)
    return unit[1] * powers[:, :count]


def _horner(x: Array, coefficients: list[float]) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = value * x + c
    return value
