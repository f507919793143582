"""Named shapes at their exact optimum, with which two figures compare trained models: n=400, m=30, I=1.

All features of a block have one length and one bias; dimensions are filled with equal blocks, orthogonal to each
other, and the features left over are dropped.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition import ToyParams, theory
from superposition.expected_loss import expected_loss
from superposition.geometry import shapes

SHAPES = {
    "dedicated": np.ones((1, 1)), "digon": shapes.simplex(1), "triangle": shapes.polygon(3),
    "tetrahedron": shapes.simplex(3), "pentagon": shapes.polygon(5), "hexagon": shapes.polygon(6),
    "square antiprism": shapes.antiprism(4),
}  # fmt: skip
POINTS, ROUNDS, SHRINK = 9, 4, 3.0


class Blocks(NamedTuple):
    """By shape and density: loss of a block, length of its features, what a dimension gains over dropping them."""

    loss: np.ndarray
    length: np.ndarray
    gain: np.ndarray

    def best(self) -> list[str]:
        """The shape that gains most at every density."""
        names = list(SHAPES)
        return [names[k] for k in self.gain.argmax(0)]


def blocks(p: np.ndarray) -> Blocks:
    """Every shape at every density, (shape, density)."""
    deep, wide = (max(W.shape[i] for W in SHAPES.values()) for i in (0, 1))
    padded = np.stack([np.pad(W, ((0, deep - len(W)), (0, wide - W.shape[1]))) for W in SHAPES.values()])
    loss, length = (
        np.asarray(a, float) for a in _least(jnp.asarray(padded, jnp.float32), jnp.asarray(p, jnp.float32))
    )
    d, k = (np.array([[W.shape[i]] for W in SHAPES.values()]) for i in (0, 1))
    return Blocks(loss, length, (k * theory.variance(p) - loss) / d)


def filling(found: Blocks, p: np.ndarray, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """The least loss of n features with m dimensions filled by equal blocks, and its D* = m / ||W||_F^2, (density,)."""
    size = np.array([W.shape for W in SHAPES.values()])
    count = np.minimum(m // size[:, 0], n // size[:, 1])[:, None]
    loss = count * found.loss + (n - count * size[:, 1:]) * theory.variance(p)
    best = np.where(count > 0, loss, np.inf).argmin(0), np.arange(len(p))
    return loss[best], (m / (np.maximum(count, 1) * size[:, 1:] * found.length**2))[best]


@jax.jit
def _least(padded: Array, p: Array) -> tuple[Array, Array]:
    """Least exact loss over length and bias, on a grid that is refined about its best point; and the length."""

    def loss(shape: Array, at: Array, density: Array) -> Array:
        there = (shape**2).sum(0) > 0  # the others are padding, never active
        params = ToyParams(at[0] * shape, jnp.where(there, at[1], 0.0))
        return expected_loss(params, there, density * there, activation="relu")

    def least(shape: Array, density: Array) -> tuple[Array, Array]:
        def refine(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            centre, width = state
            step = jnp.linspace(-1, 1, POINTS)
            grid = centre[None] + width[None] * jnp.stack(jnp.meshgrid(step, step), -1).reshape(-1, 2)
            losses = jax.vmap(loss, (None, 0, None))(shape, grid, density)
            best = losses.argmin()
            return (grid[best], width / SHRINK), (losses[best], grid[best, 0])

        start = jnp.array([1.0, 0.0]), jnp.array([0.6, 0.6])
        losses, lengths = jax.lax.scan(refine, start, None, length=ROUNDS)[1]
        return losses[-1], lengths[-1]

    return jax.lax.map(lambda shape: jax.lax.map(lambda density: least(shape, density), p), padded)
