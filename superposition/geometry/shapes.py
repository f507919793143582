"""Arrangements of unit vectors that have a name, W (m, k) with the vectors as columns.

Elhage et al. 2022, "The Geometry of Superposition": features of a trained model sit at the vertices of uniform
polytopes. All but the bipyramids are tight frames, so that every vector has dimensionality m / k.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.linalg import block_diag

from superposition._internal import validate
from superposition.geometry.matrix import finite


def polygon(k: int) -> np.ndarray:
    """Vectors to the corners of a k-gon in the plane, 360 / k degrees apart, (2, k); k >= 3, or ConfigError."""
    validate.integer("k", k, 3)
    angles = 2 * np.pi * np.arange(k) / k
    return np.stack([np.cos(angles), np.sin(angles)])


def simplex(d: int) -> np.ndarray:
    """The d + 1 vectors in d dimensions whose cosines are all -1 / d, (d, d + 1): digon, triangle, tetrahedron ..."""
    validate.integer("d", d, 1)
    W = np.zeros((d, d + 1))
    for i in range(
        d
    ):  # each vector in turn takes what length is left, and pushes the later ones back equally
        W[i, i] = np.sqrt(1 - (W[:i, i] ** 2).sum())
        W[i, i + 1 :] = (-1 / d - W[:i, i] @ W[:i, i + 1]) / W[i, i]
    return W


def antiprism(k: int) -> np.ndarray:
    """Two k-gons facing each other, one turned by 180 / k degrees, at the height of a tight frame, (3, 2k)."""
    validate.integer("k", k, 3)
    angles = np.pi * np.arange(2 * k) / k
    height = np.where(np.arange(2 * k) % 2, -1, 1) * np.sqrt(1 / 3)
    return np.stack([np.cos(angles) * np.sqrt(2 / 3), np.sin(angles) * np.sqrt(2 / 3), height])


def tegum(*factors: np.ndarray) -> np.ndarray:
    """Factors side by side in orthogonal subspaces: the direct sum, whose W^T W is block diagonal; finite, or ConfigError."""
    return np.asarray(block_diag(*(finite("every factor", W, "(m, k)", 2) for W in factors)))


def _cube() -> np.ndarray:
    return np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, 8) / np.sqrt(3)


def _icosahedron() -> np.ndarray:
    ratio = (1 + np.sqrt(5)) / 2
    signs = np.array(np.meshgrid([-1, 1], [-1, 1])).reshape(2, 4)
    flat = np.stack([np.zeros(4), signs[0], ratio * signs[1]]) / np.hypot(1, ratio)
    return np.concatenate([np.roll(flat, turn, 0) for turn in range(3)], 1)


def _dodecahedron() -> np.ndarray:
    ratio = (1 + np.sqrt(5)) / 2
    signs = np.array(np.meshgrid([-1, 1], [-1, 1])).reshape(2, 4)
    flat = np.stack([np.zeros(4), signs[0] / ratio, ratio * signs[1]]) / np.sqrt(3)
    return np.concatenate([_cube(), *(np.roll(flat, turn, 0) for turn in range(3))], 1)


def _tricapped_prism() -> np.ndarray:
    """A triangle on the equator, two more above and below the gaps, at the height of a tight frame."""
    prism = np.sqrt(0.5) * np.concatenate([np.tile(-polygon(3), 2), np.repeat([[1.0, -1.0]], 3, 1)])
    return np.concatenate([np.pad(polygon(3), ((0, 1), (0, 0))), prism], 1)


def _bicapped_antiprism() -> np.ndarray:
    """An antiprism of squares with both poles; its height makes a tight frame."""
    belt = antiprism(4) * np.sqrt([[5 / 4], [5 / 4], [1 / 2]])
    return np.concatenate([belt, [[0, 0], [0, 0], [1, -1]]], 1)


def _prism_product() -> np.ndarray:
    triangle = polygon(3)
    return np.concatenate([np.repeat(triangle, 3, 1), np.tile(triangle, 3)]) / np.sqrt(2)


def _rectified_simplex() -> np.ndarray:
    """The middles of the 10 edges of a 4-simplex."""
    vertices = simplex(4)
    i, j = np.triu_indices(5, 1)
    return (vertices[:, i] + vertices[:, j]) / np.linalg.norm(vertices[:, 0] + vertices[:, 1])


POLYGONS = {5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}  # a square is two digons
SIMPLICES = {1: "digon", 2: "triangle", 3: "tetrahedron"}
OTHERS: dict[str, Callable[[], np.ndarray]] = {
    "square antiprism": lambda: antiprism(4),
    "cube": _cube,
    "tricapped prism": _tricapped_prism,
    "bicapped antiprism": _bicapped_antiprism,
    "icosahedron": _icosahedron,
    "dodecahedron": _dodecahedron,
    "3-3 duoprism": _prism_product,
    "rectified 4-simplex": _rectified_simplex,
}
"""Shapes that do not come in families, by name. The octahedron and the bipyramids are tegum products."""


@cache
def of_size(k: int) -> tuple[tuple[str, np.ndarray], ...]:
    """(name, W) of every named shape of k >= 2 vectors that is not a tegum product."""
    found = {SIMPLICES.get(k - 1, f"{k - 1}-simplex"): simplex(k - 1)}
    if k >= 5:
        found[POLYGONS.get(k, f"{k}-gon")] = polygon(k)
    built = {name: build() for name, build in OTHERS.items()}
    return tuple(found.items()) + tuple((name, W) for name, W in built.items() if W.shape[1] == k)
