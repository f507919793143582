"""Closed forms: the linear optimum, and the paper's phase candidates and boundaries.

Notation: n features of density p = 1 - S, importance I_i, v(p) = Var x_i = p/3 - p^2/4 (signed: p/3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.expected_loss import arguments
from superposition.features import SparseUniform


def variance(density: Any, *, signed: bool = False) -> Any:
    """v(p) = Var x_i = p/3 - p^2/4, or p/3 for signed features. Raises ConfigError outside [0, 1].

    >>> from superposition import theory
    >>> theory.variance([0.1, 1.0]).round(4).tolist(), theory.variance([0.1, 1.0], signed=True).round(4).tolist()
    ([0.0308, 0.0833], [0.0333, 0.3333])
    """
    validate.between("density", density, 1.0)
    p = np.asarray(density, np.float64)
    return p / 3 if validate.truth("signed", signed) else p / 3 - p**2 / 4


def linear_optimum(importance: Any, density: Any, n_hidden: int, *, signed: bool = False) -> float:
    """The linear model's least loss, L* = sum of the n - m smallest I_i v(p_i).

    With b at its best the loss is ||D_I^{1/2} (1 - M) D_v^{1/2}||_F^2, M = W^T W of rank <= m; by
    Eckart-Young no rank-m matrix does better than dropping the smallest I_i v_i, and the projector on the
    others attains that. importance (n,), density a number or (n,). Raises ConfigError.

    >>> from superposition import theory
    >>> round(theory.linear_optimum([1.0, 0.5, 0.1], density=1.0, n_hidden=2), 6)  # the third is dropped: 0.1 / 12
    0.008333
    """
    validate.integer("n_hidden", n_hidden, 0)
    if np.ndim(importance) != 1:
        raise ConfigError(f"importance must be (n,), a list of numbers; got shape {np.shape(importance)}")
    validate.between("importance", importance)
    arguments.numbers("density", density, len(importance), 1.0)
    law = SparseUniform(density, signed=signed)
    weight = np.asarray(importance, np.float64)
    cost = weight * variance(
        np.broadcast_to(np.asarray(law.density, np.float64), weight.shape), signed=signed
    )
    return float(np.sort(cost)[: max(0, len(cost) - n_hidden)].sum())


@dataclass(frozen=True)
class Phase:
    """A hand-picked solution of a phase diagram: W (m, n) with b = 0, and its exact loss(r, p).

    r is the importance of the extra (last) feature, the others having 1; p is the density.

    >>> from superposition import theory
    >>> superposed = theory.PHASES_2_1[2]
    >>> superposed.W.tolist(), round(superposed.loss(1.0, 0.1), 6)  # (1 + r) p^2 / 6
    ([[1.0, -1.0]], 0.003333)
    """

    name: str
    W: np.ndarray
    loss: Callable[[Any, Any], Any]


def _antipodal(r: Any, p: Any) -> Any:
    """Two unit features opposite each other, one of importance r: (1 + r) p^2 / 6."""
    return (1 + r) * p**2 / 6


def _triangle(r: Any, p: Any) -> Any:
    """Three unit features at 120 degrees: E min(x, (y + z) / 2)^2 summed, (2 + r) (p^2 / 8 + p^3 / 24)."""
    return (2 + r) * (p**2 / 8 + p**3 / 24)


_ROOT = np.sqrt(0.75)
PHASES_2_1 = (
    Phase("extra not represented", np.array([[1.0, 0]]), lambda r, p: r * variance(p)),
    Phase("extra dedicated, other dropped", np.array([[0.0, 1]]), lambda r, p: variance(p) + 0 * r),
    Phase("superposition", np.array([[1.0, -1]]), _antipodal),
)
"""n = 2, m = 1 (Elhage et al. 2022, "phase change")."""

PHASES_3_2 = (
    Phase("extra not represented", np.array([[1.0, 0, 0], [0, 1, 0]]), lambda r, p: r * variance(p)),
    Phase(
        "extra dedicated, other dropped", np.array([[0.0, 1, 0], [0, 0, 1]]), lambda r, p: variance(p) + 0 * r
    ),
    Phase("extra in a pair", np.array([[1.0, 0, 0], [0, 1, -1]]), _antipodal),
    Phase(
        "extra dedicated, others paired", np.array([[1.0, -1, 0], [0, 0, 1]]), lambda r, p: p**2 / 3 + 0 * r
    ),
)
"""n = 3, m = 2: the paper's four, by the direction W is perpendicular to."""

TRIANGLE = Phase("triangle", np.array([[1.0, -0.5, -0.5], [0, _ROOT, -_ROOT]]), _triangle)
"""W perpendicular to (1, 1, 1), which the paper leaves out."""


def phase_losses(phases: Sequence[Phase], r: Any, p: Any) -> Float[np.ndarray, "phase *shape"]:
    """Loss of every phase, (phase, ...), r and p broadcast against each other.

    >>> from superposition import theory
    >>> losses = theory.phase_losses(theory.PHASES_2_1, r=1.0, p=[0.01, 1.0])
    >>> [theory.PHASES_2_1[i].name for i in losses.argmin(0)]  # sparse features are superposed, dense ones are not
    ['superposition', 'extra not represented']
    """
    r, p = np.broadcast_arrays(np.asarray(r, np.float64), np.asarray(p, np.float64))
    return np.stack([phase.loss(r, p) for phase in phases])


def boundary_2_1(r: Any) -> Float[np.ndarray, "*shape"]:
    """Density below which superposition wins at n=2, m=1: 4r / (2 + 5r) for r <= 1, 4 / (5 + 2r) above. r >= 0.

    >>> from superposition import theory
    >>> theory.boundary_2_1([0.1, 1.0, 10.0]).round(4).tolist()
    [0.16, 0.5714, 0.16]
    """
    validate.between("r", r)
    r = np.asarray(r, np.float64)
    return np.where(r <= 1, 4 * r / (2 + 5 * r), 4 / (5 + 2 * r))


def boundary_3_2(r: Any) -> Float[np.ndarray, "*shape"]:
    """The same at n=3, m=2: 4r / (2 + 5r) for r <= 1, and 4/7 above, where the others pair up. r >= 0.

    >>> from superposition import theory
    >>> theory.boundary_3_2([0.1, 1.0, 10.0]).round(4).tolist()
    [0.16, 0.5714, 0.5714]
    """
    validate.between("r", r)
    r = np.asarray(r, np.float64)
    return np.where(r <= 1, 4 * r / (2 + 5 * r), 4 / 7)
