r"""Means, variances and covariances of a stream of examples, without the cancellation of sums of squares.

$\sum x^2 - n \bar x^2$ loses every digit once the mean is some thousand standard deviations in float32. So each
batch is centred on its own mean, and two batches are merged by the pairwise formula of Chan, Golub and LeVeque
(1983): exact in real arithmetic, whatever the split. A batch is first shifted by one of its own entries, so that a
constant column has variance 0 exactly, and its correlation is 0 rather than rounding noise.
"""

from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from superposition.errors import ConfigError
from superposition.metrics._arrays import namespace, ratio, traced

T = TypeVar("T", bound=tuple[Any, ...])


class Moments(NamedTuple):
    """How many examples, their mean, and the sum of squared deviations from it.

    >>> from superposition import metrics
    >>> sums = metrics.accumulate([[1.0], [3.0]], [[1.0], [3.0]], None)
    >>> sums.x.mean.tolist(), sums.x.m2.tolist()
    ([2.0], [2.0])
    """

    n: Any
    mean: Any
    m2: Any


class Comoments(NamedTuple):
    """Moments of two variables, and the sum of products of their deviations (one to one, or every pair).

    >>> from superposition import metrics
    >>> sums = metrics.correlation_sums([[0.0], [2.0]], [[0.0], [4.0]])
    >>> sums.cross.tolist()  # (0 - 1) (0 - 2) + (2 - 1) (4 - 2)
    [[4.0]]
    """

    a: Moments
    b: Moments
    cross: Any


def _centre(xp: Any, x: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Count, mean and deviations (batch, d) of the examples where weight holds."""
    if weight is None:
        count = xp.asarray(x.shape[0])
        mean = x[0]
        deviations = x - mean[None]
    else:
        count = weight.sum(0)
        mean = xp.where(count > 0, xp.where(weight, x, -xp.inf).max(0), 0.0)
        deviations = xp.where(weight, x - mean[None], 0.0)
    # No second pass: the shift is one of the n entries, so rounding of the step is at most n eps^2 of the variance.
    step = deviations.sum(0) / xp.maximum(count, 1)
    deviations = deviations - step[None] if weight is None else xp.where(weight, deviations - step[None], 0.0)
    return count, mean + step, deviations


def moments(x: Any) -> Moments:
    """Moments of x (batch, d), per column."""
    count, mean, deviations = _centre(namespace(x), x, None)
    return Moments(count, mean, (deviations**2).sum(0))


def comoments(a: Any, b: Any, weight: Any = None) -> Comoments:
    """Moments of columns a_j with b_j, both (batch, d), over the examples where weight (batch, d) holds."""
    xp = namespace(a, b)
    count, mean_a, da = _centre(xp, a, weight)
    _, mean_b, db = _centre(xp, b, weight)
    of_a, of_b = Moments(count, mean_a, (da**2).sum(0)), Moments(count, mean_b, (db**2).sum(0))
    return Comoments(of_a, of_b, (da * db).sum(0))


def cross_moments(a: Any, b: Any) -> Comoments:
    """Moments of every column of a (batch, d_a) with every column of b (batch, d_b); cross is (d_a, d_b)."""
    xp = namespace(a, b)
    count, mean_a, da = _centre(xp, a, None)
    _, mean_b, db = _centre(xp, b, None)
    # Accelerators multiply in reduced precision unless told otherwise.
    cross = da.T @ db if xp is np else jnp.matmul(da.T, db, precision="highest")
    return Comoments(Moments(count, mean_a, (da**2).sum(0)), Moments(count, mean_b, (db**2).sum(0)), cross)


def correlation(c: Comoments) -> np.ndarray:
    """Pearson correlation, shape of `c.cross`; 0 where either variable never varies."""
    a, b = (np.sqrt(np.asarray(m, np.float64)) for m in (c.a.m2, c.b.m2))
    cross = np.asarray(c.cross, np.float64)
    spread = a[:, None] * b if cross.ndim > a.ndim else a * b
    return np.clip(ratio(np, cross, spread), -1.0, 1.0)


def add(one: T, other: T) -> T:
    """The sums over two disjoint sets of examples: associative, and on the host in float64.

    Args:
        one: `Sums` or any other of the library's sums.
        other: The same kind, of the same shapes. Inside `jax.jit` both keep the dtype they have, where counts
            overflow at 2^31 examples and sums have float32's 24 bits: add long streams outside.

    Raises:
        ConfigError: Kinds or shapes differ, or one holds a part that the other lacks.

    Example:
        >>> from superposition import metrics
        >>> one = metrics.accumulate(None, None, [[1.0, 0.0]])
        >>> other = metrics.accumulate(None, None, [[1.0, 1.0], [1.0, 0.0]])
        >>> metrics.add(one, other).fired.tolist()
        [3.0, 1.0]
    """
    on_device = traced(*jax.tree.leaves((one, other)))
    return cast(T, _add(jnp if on_device else np, type(one).__name__, one, other))


def _add(xp: Any, name: str, a: Any, b: Any) -> Any:
    if type(a) is not type(b) and (a is None or b is None or isinstance(a, tuple) or isinstance(b, tuple)):
        got = f"{type(a).__name__} and {type(b).__name__}"
        raise ConfigError(
            f"{name}: both sums must hold the same parts; got {got}: accumulate both from the same arguments"
        )
    if a is None:
        return None
    if isinstance(a, Moments):
        return _merge(xp, name, a, b)[0]
    if isinstance(a, Comoments):
        of_a, da, factor = _merge(xp, name, a.a, b.a)
        of_b, db, _ = _merge(xp, name, a.b, b.b)
        product = da[..., :, None] * db[..., None, :] if np.ndim(a.cross) > da.ndim else da * db
        return Comoments(of_a, of_b, _leaf(xp, name, a.cross, b.cross) + factor * product)
    if isinstance(a, tuple):
        fields = a._fields  # type: ignore[attr-defined]
        return type(a)(*(_add(xp, f"{name}.{f}", getattr(a, f), getattr(b, f)) for f in fields))
    return _leaf(xp, name, a, b)


def _wide(xp: Any, value: Any) -> Any:
    return np.asarray(value, np.float64) if xp is np else value


def _leaf(xp: Any, name: str, a: Any, b: Any) -> Any:
    if np.shape(a) != np.shape(b):
        raise ConfigError(f"{name}: both sums must have one shape; got {np.shape(a)} and {np.shape(b)}")
    return _wide(xp, a) + _wide(xp, b)


def _merge(xp: Any, name: str, a: Moments, b: Moments) -> tuple[Moments, Any, Any]:
    count = _leaf(xp, name, a.n, b.n)
    m2 = _leaf(xp, name, a.m2, b.m2)
    delta = _wide(xp, b.mean) - _wide(xp, a.mean)
    share = _wide(xp, b.n) / xp.maximum(count, 1)
    factor = _wide(xp, a.n) * share
    return Moments(count, _wide(xp, a.mean) + share * delta, m2 + factor * delta**2), delta, factor
