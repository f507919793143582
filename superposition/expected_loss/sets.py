r"""Features in independent sets: all members of an active set are active (`together`), or one of them is.

Only the sets' joint distribution matters: either every pattern of active features is integrated
exactly in turn ("enumeration"), or a set enters the characteristic function as one factor ("series"),

$$(1 - p) + p \prod_{j \in set} \varphi(a_j s), \qquad (1 - p) + \frac pk \sum_{j \in set} \varphi(a_j s).$$

Source: the laws of Elhage et al. 2022, "Correlated and anticorrelated features".
"""

import math
from collections.abc import Callable, Iterator
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal.rank import lead
from superposition.expected_loss import series
from superposition.features import Sets


def corners(law: Sets) -> int:
    """Corners of all active features' cubes, over all patterns: (1 + 2^k)^sets, or (1 + 2k)^sets."""
    return int((1 + (2**law.size if law.together else 2 * law.size)) ** law.n_sets)


def losses(W: Array, b: Array, density: Array, law: Sets, activation: str, method: str, nodes: int) -> Array:
    """E (x_i - x'_i)^2, (n,); density (n_sets,). Settings as in `expected_losses`, already checked."""
    linear = linear_losses(W, b, density, law)
    if activation == "linear":
        return linear
    if method == "enumeration":
        return enumerated_losses(W, b, density, law)
    second = jnp.repeat(density, law.size) / (3 if law.together else 3 * law.size)
    cut = linear < series.TIE * second
    sign = jnp.where(cut, -1, 1).astype(W.dtype)
    A, b = sign[:, None] * (W.T @ W), sign * b
    square, cross = series.positive_moments(A, b, density, law.signed, nodes, events(law))
    return jnp.where(cut, linear, second) + sign * square - 2 * cross


def linear_losses(W: Array, b: Array, density: Array, law: Sets) -> Array:
    """E (x_i - z_i)^2, z = b + W^T W x, (n,); density (n_sets,). The law is known by its first two moments."""
    n = W.shape[1]
    residual = jnp.eye(n, dtype=W.dtype) - W.T @ W
    mean, covariance = _moments(density, law)
    return (residual @ mean - b) ** 2 + jnp.einsum("ij,jk,ik->i", residual, covariance, residual)


def _moments(density: Array, law: Sets) -> tuple[Array, Array]:
    """E x (n,) and Cov x (n, n), differentiable in the density, unlike the law's own."""
    size, first = law.size, 0.0 if law.signed else 0.5
    p = jnp.repeat(density if law.together else density / size, size)
    same = jnp.asarray(np.kron(np.eye(law.n_sets), np.ones((size, size))), p.dtype)
    inside = (p - p**2) if law.together else -(p**2)
    covariance = same * inside[:, None] * first**2
    return p * first, covariance - jnp.diag(jnp.diagonal(covariance)) + jnp.diag(p / 3 - (p * first) ** 2)


def enumerated_losses(W: Array, b: Array, density: Array, law: Sets) -> Array:
    """E (x_i - relu(z_i))^2, (n,), one pattern of active features after another.

    The loss of every pattern is computed before they are added, which avoids cancellation between rare and frequent
    patterns; `_mean_positive_square` says how well.
    """
    n = W.shape[1]
    A = W.T @ W
    first = 0.0 if law.signed else 0.5
    silent = jnp.prod(1 - density) * jnp.maximum(b, 0) ** 2

    def row(a: Array, b: Array, own: Array) -> Array:
        # As in the loss of independent features: from x' = 0, or from x' = z, whichever is the less wrong.
        residual = own - a
        linear = (first * residual.sum() - b) ** 2 + (1 / 3 - first**2) * (residual**2).sum()
        second = own.sum() / 3
        cut = linear < series.TIE * second
        sign = jnp.where(cut, -1, 1).astype(a.dtype)

        def moment(a: Array) -> Array:
            return _mean_positive_square(a, sign * b, law.signed)

        square, slope = jax.jvp(moment, (sign * a,), (own,))
        return jnp.where(cut, linear, second) + sign * square - slope

    total = silent
    for active, fires in _patterns(law):
        weights = jnp.where(fires, density, 1 - density).prod(1)
        if not law.together:
            weights = weights * (1 / law.size) ** active.shape[1]
        own = jnp.asarray(np.arange(n)[None, :, None] == active[:, None, :], A.dtype)
        each = jax.vmap(jax.vmap(row), (1, None, 0))(A[:, active], b, own)
        total = total + weights @ each
    return total


def _mean_positive_square(a: Array, b: Array, signed: bool) -> Array:
    r"""E (b + sum_j a_j u_j)_+^2 for independent u_j uniform on [0, 1] (or [-1, 1]); a (k,), b scalar.

    $$\frac{2}{(k+2)! \prod_j a_j} \sum_{v \in \{0, 1\}^k} (-1)^{k - |v|} (b + a \cdot v)_+^{k+2}$$

    cancels where the product is small beside the largest |z|. So only the largest slopes are integrated in
    this way, as many as rounding allows; over the others, whose kinks the first have smoothed, the mean of the
    two Gauss-Legendre points is nearly as good. Worst errors met in double precision, relative to the largest z^2: 3e-12 with 4
    active features, 4e-9 with 6, 4e-7 with 8.
    """
    b, a = (b - a.sum(), 2 * a) if signed else (b, a)
    highest, lowest = b + jnp.maximum(a, 0).sum(), b + jnp.minimum(a, 0).sum()
    scale = jax.lax.stop_gradient(jnp.maximum(highest, -lowest))
    scale = jnp.where(scale > 0, scale, 1)
    slopes, x = a / scale, (b / scale)[None]
    size = jax.lax.stop_gradient(jnp.abs(slopes))
    falling = jnp.argsort(-size)
    lost = jnp.finfo(a.dtype).eps ** 0.375
    # By rank, not by size: of equal slopes only as many as rounding allows.
    corner = jnp.zeros(size.shape, bool).at[falling].set(jnp.cumprod(size[falling]) > lost)
    safe = jnp.where(corner, slopes, 1)
    weight, kept = jnp.ones_like(x), jnp.ones_like(x)
    for slope, divisor, exact in zip(slopes, safe, corner, strict=True):
        ends = jnp.where(
            exact, slope * np.array([0.0, 1]), slope * (0.5 + np.sqrt(1 / 12) * np.array([-1.0, 1]))
        )
        halves = jnp.where(exact, np.array([-1.0, 1]) / divisor, 0.5)
        x = (x[:, None] + ends[None]).ravel()
        weight = (weight[:, None] * lead(halves, weight[:, None])).ravel()
    positive = jnp.maximum(x, 0)
    kept = positive**2
    for exact in corner:
        kept = kept * jnp.where(exact, positive, 1)
    factorials = jnp.asarray([2 / math.factorial(r + 2) for r in range(len(slopes) + 1)], a.dtype)
    mixed = factorials[corner.sum()] * (weight @ kept) * scale**2
    whole = (b + a.sum() / 2) ** 2 + (a**2).sum() / 12
    return jnp.where(lowest >= 0, whole, jnp.where(highest <= 0, 0, mixed))


def _patterns(law: Sets) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Non-empty sets of active features, those of one number of sets together: features (c, a), fires (c, s)."""
    members = np.arange(law.n_sets * law.size).reshape(law.n_sets, law.size)
    for count in range(1, law.n_sets + 1):
        active, fires = [], []
        for chosen in combinations(range(law.n_sets), count):
            members_of = members[list(chosen)]
            for one in [members_of.ravel()] if law.together else product(*members_of):
                active.append(one)
                fires.append(np.isin(np.arange(law.n_sets), chosen))
        yield np.array(active), np.array(fires)


def events(law: Sets) -> series.Events:
    """How the sets of a law enter the series, see `series.independent`.

    One active feature decays slowest in the series, so it is left out where it happens: in sets of which one member
    is active, and in sets of one. A larger set that is active as a whole has no such event.
    """

    def split(
        A: Array,
        density: Array,
        factor: Callable[[Array, int], Array],
        multiply: Callable[[Array, Array], Array],
    ) -> tuple[Array, Array, Array, Array]:
        n, size, together = A.shape[0], law.size, law.together
        single = size == 1 or not together
        mine = np.arange(law.n_sets)[:, None] == (np.arange(n) // size)[None]  # (set, row)
        present = jnp.where(mine, 0, density[:, None])
        absent = jnp.where(mine, 1, 1 - density[:, None])

        def combined(slopes: Array, first: Array) -> Array:
            """The product, or the sum, of `first` and the factors of slopes (member, n); a loop, to compile fast."""

            def one(so_far: Array, slope: Array) -> tuple[Array, None]:
                value = factor(slope, 0)
                return multiply(so_far, value) if together else so_far + value, None

            return jax.lax.scan(one, first, slopes)[0]

        def unit(slopes: Array) -> Array:
            """The factor of one active set."""
            whole = combined(slopes[1:], factor(slopes[0], 0))
            return whole if together else whole / size

        def add(active: series.Triple, one_set: series.Triple) -> tuple[series.Triple, None]:
            none, one, more = active
            slopes, p, q = one_set
            new, q = p[:, None] * unit(slopes), q[:, None]
            return (none * q, one * q + none * new, more * q + multiply(new, one + more)), None

        shape = factor(A[:, 0], 0)
        start = jnp.ones_like(A[:, :1]), jnp.zeros_like(shape), jnp.zeros_like(shape)
        columns = A.T.reshape(law.n_sets, size, n)
        (none, one, more), _ = jax.lax.scan(add, start, (columns, present, absent))
        # The rows of each set beside one another, the feature itself first among its set's members.
        others = np.array([[j for j in range(i // size * size, (i // size + 1) * size) if j != i]
                           for i in range(n)], int).reshape(n, size - 1)  # fmt: skip
        slopes = jnp.concatenate([jnp.diagonal(A)[:, None], A[np.arange(n)[:, None], others]], 1).T
        p = jnp.repeat(density, size)
        tilted = factor(slopes[0], 1)
        tilted = combined(slopes[1:], tilted) if together else tilted / size
        plain, tilted = p[:, None] * unit(slopes), p[:, None] * tilted
        rest = one + more
        silent = (1 - p) * none[:, 0]
        if single:
            alone = p * none[:, 0] / size
            return silent, alone, (1 - p)[:, None] * more + multiply(plain, rest), multiply(tilted, rest)
        return (
            silent,
            jnp.zeros_like(p),
            (1 - p)[:, None] * rest + none * plain + multiply(plain, rest),
            none * tilted + multiply(tilted, rest),
        )

    return split
