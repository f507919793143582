"""Solutions followed as the density changes: every minimum starts from its neighbour's.

Two branches whose losses cross at different slopes are a first-order transition; a branch ends where its least
curvature reaches zero.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features import FeatureLaw
from superposition.theory.minimum import INDEPENDENT, _newton, checked_settings
from superposition.typing import ToyParams

NUDGE = 1e-4


class Branches(NamedTuple):
    """W (branch, step, m, n), b (branch, step, n), float64; and (branch, step) loss, gradient and curvature.

    gradient is its norm; curvature the least eigenvalue of the loss's Hessian at right angles to rotations of
    the hidden space, which change nothing.

    >>> zero = np.zeros((1, 2))  # one branch, two densities, a model of one feature in one dimension
    >>> Branches(np.ones((1, 2, 1, 1)), np.zeros((1, 2, 1)), zero, zero, zero).loss.shape
    (1, 2)
    """

    W: np.ndarray
    b: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray


def follow(
    activation: str,
    importance: Any,
    density: Any,
    starts: ToyParams,
    *,
    law: FeatureLaw = INDEPENDENT,
    newton_steps: int = 8,
) -> Branches:
    """Minimise the exact loss at each density in turn, each branch from where it was at the one before.

    importance (n,), density (step,) or (step, units of `law`), starts W (branch, m, n) and b (branch, n). A
    nudge of 1e-4 before every step keeps a branch from standing on a saddle, so one that ends falls onto another:
    its Gram matrix jumps. Raises ConfigError for shapes or values that do not fit.

    >>> from superposition.typing import ToyParams
    >>> starts = ToyParams(np.array([[[1.0]]]), np.array([[0.0]]))  # one branch of a model of one feature
    >>> branches = follow("relu", [1.0], [0.5, 0.25], starts, newton_steps=4)
    >>> branches.W.shape, bool((branches.loss < 1e-6).all())
    ((1, 2, 1, 1), True)
    """
    W, b = (np.asarray(a, np.float64) for a in starts)
    weight = np.asarray(importance, np.float64)
    branches, m, n = W.shape if W.ndim == 3 else (0, 0, 0)
    if not branches or b.shape != (branches, n) or weight.shape != (n,):
        raise ConfigError(
            f"starts must be W (branch, m, n) and b (branch, n), importance (n,); got {W.shape}, {b.shape}, "
            f"{weight.shape}"
        )
    units = law.n_units(n)
    if np.ndim(density) not in (1, 2) or np.size(density) == 0:
        raise ConfigError(f"density must be (step,) or (step, {units}); got shape {np.shape(density)}")
    checked_settings(weight, density, len(density), units)
    validate.integer("newton_steps", newton_steps, 1)
    p = np.asarray(density, np.float64)
    p = np.broadcast_to(p.reshape(len(p), -1), (len(p), units))
    scale = np.repeat(p, n // units, 1) @ weight  # the descent then sees losses of one size
    x = np.concatenate([W.reshape(branches, -1), b], 1)
    with jax.enable_x64(True):
        found = _follow(activation, m, law, np.int32(newton_steps), x, weight / scale[:, None], p)
        x, *rest = (np.moveaxis(np.asarray(a), 0, 1) for a in found)
    steps = len(p)
    return Branches(
        x[..., : m * n].reshape(branches, steps, m, n), x[..., m * n :], *(a * scale for a in rest)
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _follow(
    activation: str, m: int, law: FeatureLaw, newton_steps: Any, x: Any, weight: Any, p: Any
) -> tuple[Array, ...]:
    rows = len(x)

    def step(x: Array, at: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, ...]]:
        weight, p, key = at
        nudged = x + NUDGE * jax.random.normal(key, x.shape, x.dtype)
        tiled = (jnp.broadcast_to(a, (rows, len(a))) for a in (weight, p))
        x, loss, slope, hessian = _newton(activation, m, law, newton_steps, nudged, *tiled)
        return x, (x, loss, slope, jax.vmap(partial(_least_curvature, m))(x, hessian))

    keys = jax.random.split(jax.random.key(0), len(p))
    return jax.lax.scan(step, jnp.asarray(x), (jnp.asarray(weight), jnp.asarray(p), keys))[1]


def _least_curvature(m: int, x: Array, hessian: Array) -> Array:
    """Least eigenvalue of the Hessian, the directions of W -> (1 + antisymmetric) W taken out."""
    n = len(x) // (m + 1)
    W = x[: m * n].reshape(m, n)
    if m == 1:
        return jnp.linalg.eigvalsh(hessian)[0]
    first, second = np.triu_indices(m, 1)
    turns = jnp.zeros((len(first), m, n), x.dtype)
    turns = turns.at[np.arange(len(first)), first].set(W[second])
    turns = turns.at[np.arange(len(first)), second].set(-W[first])
    flat = jnp.pad(turns.reshape(len(first), -1), ((0, 0), (0, n)))
    basis = jnp.linalg.qr(flat.T)[0]
    outside = jnp.eye(len(x), dtype=x.dtype) - basis @ basis.T
    top = jnp.abs(hessian).sum(1).max()
    return jnp.linalg.eigvalsh(outside @ hessian @ outside + top * (basis @ basis.T))[0]
