"""What W looks like: Gram matrix, feature norms, interference, dimensionality (Elhage et al. 2022).

All functions take W (..., n_hidden, n_features) and broadcast over leading axes; they accept NumPy or JAX
arrays and return the kind they were given, integers as floats. A feature with ||W_i|| <= `DEAD` is dead: its
direction is undefined and its interference and dimensionality are 0, never NaN. Entries may be as large as
their type allows. Entries that are not finite are let through; what is no array of real numbers of two axes or
more raises ConfigError.
"""

from typing import Any

import jax
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError

# A column of W shorter than this is taken as zero: the feature is not represented, and has no direction.
DEAD = 1e-6
MODEL = "(n_hidden, n_features), one model at a time"


def finite(name: str, value: Any, shape: str, ndim: int | None = None) -> np.ndarray:
    """Finite real numbers as float64, of `ndim` axes unless None, or ConfigError; `shape` says it in words."""
    with np.errstate(over="ignore"):  # of a longdouble; the inf it becomes is refused
        array = np.asarray(_host(name, value, shape), np.float64)
    if ndim not in (None, array.ndim):
        raise ConfigError(f"{name} must be a finite array {shape}; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ConfigError(
            f"{name} must be finite; {int((~np.isfinite(array)).sum())} of its {array.size} entries are not; "
            "leave out models that diverged"
        )
    return array


def _host(name: str, value: Any, shape: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (MemoryError, TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be an array of real numbers {shape}: {error}") from error
    if not _real(array.dtype):
        raise ConfigError(f"{name} must hold real numbers {shape}; got dtype {array.dtype}")
    return array


def _real(dtype: Any) -> bool:
    # bfloat16 is of no kind that NumPy knows, but a float to JAX
    return isinstance(dtype, np.dtype) and (
        dtype.kind in "biuf" or bool(jax.numpy.issubdtype(dtype, np.floating))
    )


def floats(W: Any) -> Any:
    """W as floats, (..., m, n), of NumPy or JAX, or ConfigError; what a traced W holds is not looked at."""
    shape = "(..., n_hidden, n_features)"
    array = W if isinstance(W, jax.Array) else _host("W", W, shape)
    if array.ndim < 2 or not _real(array.dtype):
        raise ConfigError(f"W must be real numbers {shape}; got shape {array.shape}, dtype {array.dtype}")
    return array.astype(float) if array.dtype.kind in "biu" else array


def _namespace(W: Any) -> Any:
    return jax.numpy if isinstance(W, jax.Array) else np


def scale(W: Any, axis: int | tuple[int, int]) -> Any:
    """The largest |entry| over `axis`, kept, to divide by so that no square overflows; else 1."""
    xp = _namespace(W)
    top = xp.abs(W).max(axis, keepdims=True, initial=0.0)
    top = xp.where((top >= jax.numpy.finfo(W.dtype).tiny) & (top < xp.inf), top, 1.0)
    # Whatever it is divided by is multiplied in again, or cancels: no gradient has to pass through here.
    return jax.lax.stop_gradient(top) if isinstance(W, jax.Array) else top


def _unit(W: Any) -> tuple[Any, Any, Any, Any]:
    """What (0 for the dead), W over the largest |entry| s of the model, squared norms of that (..., n), and s."""
    xp = _namespace(W)
    top = scale(W, (-2, -1))
    W = W / top
    squares = (W * W).sum(-2)
    alive = xp.sqrt(squares) * top[..., 0] > DEAD
    # The inner choice keeps the slope of a root at 0, which is infinite, out of gradients.
    length = xp.where(alive, xp.sqrt(xp.where(alive, squares, 1.0)), xp.inf)
    return W / length[..., None, :], W, xp.where(alive, squares, 0.0), top[..., 0]


def _read_out(W: Any) -> tuple[Any, Any, Any]:
    """sum_j (What_i . W_j)^2 / s^2 and ||W_i||^2 / s^2, both 0 for the dead, and s."""
    unit, scaled, squares, top = _unit(floats(W))
    xp = _namespace(unit)
    A = xp.matmul(xp.swapaxes(unit, -1, -2), scaled)
    # vecdot makes no second array of this size; XLA fuses the sum, and would round a dot product on a GPU.
    return np.vecdot(A, A) if xp is np else (A * A).sum(-1), squares, top


@np.errstate(over="ignore", invalid="ignore")
def gram(W: Any) -> Any:
    """A = W^T W, (..., n, n): A_ij is how much feature j is read out as feature i.

    >>> from superposition import geometry
    >>> geometry.gram([[1.0, -1.0]]).tolist()  # an antipodal pair: each is read out as minus the other
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    W = floats(W)
    xp = _namespace(W)
    return xp.matmul(xp.swapaxes(W, -1, -2), W)


@np.errstate(over="ignore", invalid="ignore")
def norms(W: Any) -> Any:
    """||W_i||, (..., n).

    >>> from superposition import geometry
    >>> geometry.norms([[3.0, 0.0], [4.0, 1.0]]).tolist()
    [5.0, 1.0]
    """
    W = floats(W)
    return _namespace(W).sqrt((W * W).sum(-2))


@np.errstate(over="ignore", invalid="ignore")
def interference(W: Any) -> Any:
    """sum_{j != i} (What_i . W_j)^2, (..., n): the paper's superposition colour, squares not their root.

    >>> from superposition import geometry
    >>> geometry.interference([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]).tolist()  # an antipodal pair, and a feature alone
    [1.0, 1.0, 0.0]
    """
    total, squares, top = _read_out(W)
    return top * (top * (total - squares).clip(0))


@np.errstate(over="ignore", invalid="ignore")
def dimensionality(W: Any) -> Any:
    """D_i = ||W_i||^2 / sum_j (What_i . W_j)^2, (..., n), in [0, 1]; sum_i D_i <= rank W.

    >>> from superposition import geometry
    >>> geometry.dimensionality([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]).tolist()  # two share a dimension, one has its own
    [0.5, 0.5, 1.0]
    """
    total, squares, _ = _read_out(W)
    return squares / _namespace(W).where(squares > 0, total, 1.0)


@np.errstate(over="ignore", invalid="ignore")
def cosines(W: Any) -> Any:
    """What_i . What_j, (..., n, n); rows and columns of dead features are 0.

    >>> from superposition import geometry
    >>> geometry.cosines([[2.0, 0.0], [0.0, 0.0]]).tolist()  # the second feature is dead
    [[1.0, 0.0], [0.0, 0.0]]
    """
    return gram(_unit(floats(W))[0])


def represented(W: Any, threshold: float = 0.5) -> Any:
    """How many features have ||W_i|| > threshold, (...).

    >>> from superposition import geometry
    >>> int(geometry.represented([[1.0, 0.1, -0.9]]))
    2
    """
    if not isinstance(threshold, jax.core.Tracer):
        validate.number("threshold", threshold)
    return (norms(W) > threshold).sum(-1)


def antipodal_pairs(W: Any, threshold: float = -0.9) -> list[tuple[int, int]]:
    """Disjoint pairs (i, j) with What_i . What_j < threshold, most opposite first; W (m, n), finite.

    >>> from superposition import geometry
    >>> geometry.antipodal_pairs([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    [(0, 1)]
    """
    c = cosines(finite("W", W, MODEL, 2))
    threshold = validate.number("threshold", threshold)
    order = sorted((c[i, j], i, j) for i in range(len(c)) for j in range(i + 1, len(c)))
    pairs: list[tuple[int, int]] = []
    used: set[int] = set()
    for value, i, j in order:
        if value < threshold and not {i, j} & used:
            pairs.append((i, j))
            used |= {i, j}
    return sorted(pairs)
