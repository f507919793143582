"""What W looks like: Gram matrix, feature norms, interference, dimensionality (Elhage et al. 2022).

All functions take W (..., n_hidden, n_features) and broadcast over leading axes; they accept NumPy or JAX
arrays and return the kind they were given. A feature with ||W_i|| <= `DEAD` is dead: its direction is
undefined and its interference and dimensionality are 0, never NaN.
"""

from typing import Any

import jax
import numpy as np

DEAD = 1e-6


def _namespace(W: Any) -> Any:
    return jax.numpy if isinstance(W, jax.Array) else np


def gram(W: Any) -> Any:
    """A = W^T W, (..., n, n): A_ij is how much feature j is read out as feature i."""
    xp = _namespace(W)
    return xp.matmul(xp.swapaxes(W, -1, -2), W)


def norms(W: Any) -> Any:
    """||W_i||, (..., n)."""
    xp = _namespace(W)
    return xp.sqrt((W * W).sum(-2))


def interference(W: Any) -> Any:
    """sum_{j != i} (What_i . W_j)^2, (..., n): the paper's superposition colour, squares not their root."""
    xp = _namespace(W)
    A = gram(W)
    squares = xp.diagonal(A, axis1=-2, axis2=-1)
    alive = squares > DEAD**2
    return xp.where(alive, ((A * A).sum(-1) - squares**2) / xp.where(alive, squares, 1.0), 0.0).clip(0)


def dimensionality(W: Any) -> Any:
    """D_i = ||W_i||^2 / sum_j (What_i . W_j)^2, (..., n), in [0, 1]; sum_i D_i <= rank W."""
    xp = _namespace(W)
    A = gram(W)
    squares = xp.diagonal(A, axis1=-2, axis2=-1)
    alive = squares > DEAD**2
    return xp.where(alive, squares**2 / xp.where(alive, (A * A).sum(-1), 1.0), 0.0)


def cosines(W: Any) -> Any:
    """What_i . What_j, (..., n, n); rows and columns of dead features are 0."""
    xp = _namespace(W)
    length = norms(W)
    unit = W / xp.where(length > DEAD, length, xp.inf)[..., None, :]
    return gram(unit)


def represented(W: Any, threshold: float = 0.5) -> Any:
    """How many features have ||W_i|| > threshold, (...)."""
    return (norms(W) > threshold).sum(-1)


def antipodal_pairs(W: np.ndarray, threshold: float = -0.9) -> list[tuple[int, int]]:
    """Disjoint pairs (i, j) with What_i . What_j < threshold, most opposite first; W (m, n)."""
    c = np.asarray(cosines(np.asarray(W)))
    order = sorted((c[i, j], i, j) for i in range(len(c)) for j in range(i + 1, len(c)))
    pairs: list[tuple[int, int]] = []
    used: set[int] = set()
    for value, i, j in order:
        if value < threshold and not {i, j} & used:
            pairs.append((i, j))
            used |= {i, j}
    return sorted(pairs)
