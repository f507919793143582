"""Two sets of three features in space: how far apart, how wide, how twisted (Elhage et al. 2022, "Learning as ...

geometric transformations"). An octahedron seen from a face is an antiprism: two parallel triangles on opposite
sides of the origin, turned by 60 degrees against each other, so that every vertex has its antipode in the other.
"""

from typing import Any, NamedTuple

import numpy as np

from superposition.errors import ConfigError
from superposition.geometry.matrix import finite, scale


class Triangles(NamedTuple):
    """Measures of W (..., 3, 6), its first three columns being set a, the others set b.

    centre (..., 2): lengths of the sets' means. facing (...,): cosine between those means. length and width
    (..., 2): the two largest singular values of each set about its mean; width is 0 while a set is a line.
    twist (...,): degrees by which the triangles are turned against each other about the axis through both means,
    0 for a prism to 60 for an antiprism; of sets without width it is noise.
    """

    centre: np.ndarray
    facing: np.ndarray
    length: np.ndarray
    width: np.ndarray
    twist: np.ndarray


def two_triangles(W: Any) -> Triangles:
    """Measure two sets of three features in three dimensions, W (..., 3, 6). Raises ConfigError for other W."""
    W = finite("W", W, "(..., 3, 6), two sets of three features in space")
    if W.shape[-2:] != (3, 6):
        raise ConfigError(f"W must be (..., 3, 6), two sets of three features in space; got shape {W.shape}")
    size = scale(W, (-2, -1))[..., 0]  # so that no product below leaves the range of floats
    W = W / size[..., None]
    sets = np.stack([W[..., :3], W[..., 3:]], -3)  # (..., set, dimension, feature)
    mean = sets.mean(-1)
    about = sets - mean[..., None]
    values = np.linalg.svd(about, compute_uv=False)
    lengths = np.linalg.norm(mean, axis=-1)
    product = np.maximum(lengths[..., 0] * lengths[..., 1], np.finfo(float).tiny)
    facing = (mean[..., 0, :] * mean[..., 1, :]).sum(-1) / product
    with np.errstate(over="ignore"):
        return Triangles(
            size * lengths, facing, size * values[..., 0], size * values[..., 1], _twist(mean, about)
        )


def _twist(mean: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Phase of each triangle's threefold moment in the plane across the axis; their difference, folded."""
    axis = mean[..., 0, :] - mean[..., 1, :]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), np.finfo(float).tiny)
    # Any direction not along the axis opens the plane; the twist does not depend on which.
    helper = np.eye(3)[np.abs(axis).argmin(-1)]
    x = np.cross(axis, helper)
    x /= np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.finfo(float).tiny)
    y = np.cross(axis, x)
    in_plane = np.einsum("...d,...sdf->...sf", x, about) + 1j * np.einsum("...d,...sdf->...sf", y, about)
    moment = (in_plane**3).sum(-1)
    turned = np.degrees(np.angle(moment[..., 0] * moment[..., 1].conj())) / 3  # in (-60, 60]
    return np.asarray(np.abs(turned))
