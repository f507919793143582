r"""Why these shapes: the interference of unit features, one active at a time, as a Thomson problem.

Elhage et al. 2022, "The Geometry of Superposition": with ||W_i|| = 1 and b = 0 the loss of events with one active
feature u ~ U[0, 1] is its interference with the others alone, summed over which one is active,

$$E = \sum_{i \ne j} E_u (u \cos_{ij})_+^2 = \tfrac13 \sum_{i \ne j} (\cos_{ij})_+^2,$$

a repulsion between k points on the sphere, as the electrons' of Thomson's problem (1904) is,
$\sum_{i<j} 1 / |w_i - w_j|$. Unlike theirs it vanishes at 90 degrees: up to k = 2d every arrangement without an
acute angle has E = 0. What a trained model can do besides, with free lengths and biases, is `one_active_loss`;
biases are at most 0 there, since a positive one costs b^2 in all the events with no active feature.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from superposition._internal import compilation_cache, validate
from superposition.errors import ConfigError
from superposition.geometry.matrix import cosines
from superposition.geometry.polytopes import recognise
from superposition.typing import PRNGKey, ToyParams

LEARNING_RATE = 0.05
SAME = 1e-5  # end states whose energies differ by less are one state


class State(NamedTuple):
    """An end state: what `recognise` calls it, its energy, and how many starts reached it."""

    name: str
    energy: float
    starts: int


class Minima(NamedTuple):
    """End states of many starts, least energy first: energies (start,), W (start, d, k), b (start, k)."""

    energies: np.ndarray
    W: np.ndarray
    b: np.ndarray

    def states(self, **options: Any) -> list[State]:
        """Distinct (energy, name), least energy first; options as for `recognise`."""
        found: list[State] = []
        for energy, W in zip(self.energies, self.W, strict=True):
            name = recognise(W, **options).name
            same = [i for i, s in enumerate(found) if s.name == name and energy - s.energy < SAME]
            if same:
                found[same[0]] = found[same[0]]._replace(starts=found[same[0]].starts + 1)
            else:
                found.append(State(name, float(energy), 1))
        return found


def interference_energy(W: Any) -> Any:
    """E = (1/3) sum_{i != j} (cos_ij)_+^2 of the directions of W (..., d, k), (...)."""
    C = cosines(W)
    diagonal = C.diagonal(axis1=-2, axis2=-1)
    return ((C.clip(0) ** 2).sum((-2, -1)) - (diagonal**2).sum(-1)) / 3


def coulomb_energy(W: Any) -> Any:
    """Thomson's sum_{i < j} 1 / |w_i - w_j| over the directions of W (..., d, k), (...); it diverges as two meet."""
    C = np.asarray(cosines(W), np.float64)
    i, j = np.triu_indices(C.shape[-1], 1)
    return (1 / np.sqrt((2 - 2 * C[..., i, j]).clip(1e-30))).sum(-1)


def one_active_loss(params: Any) -> Array:
    r"""Loss summed over which one feature is active, u ~ U[0, 1], of x' = ReLU(W^T W x + b), b <= 0; a scalar.

    $$\sum_i \int_0^1 (u - (a_{ii} u + b_i)_+)^2 du + \sum_{i \ne j} \int_0^1 (a_{ij} u + b_i)_+^2 du$$

    params: anything with W (m, n) and b (n,). It is the limit of the expected loss / p as p -> 0.
    """
    A, b = params.W.T @ params.W, params.b[:, None]
    identity = jnp.eye(len(A), dtype=A.dtype)
    # Active above u = -b / a: the error there is ((1 or 0) - a) u - b, below it 1 or 0 times u.
    start = jnp.where(A > 0, jnp.clip(-b / jnp.where(A > 0, A, 1.0), 0.0, 1.0), 1.0)
    first, last = (identity - A) * start - b, (identity - A) - b
    open_part = (1 - start) * (first**2 + first * last + last**2) / 3
    return jnp.sum(open_part + identity * start**3 / 3)


def interference_minima(cases: Sequence[tuple[int, int]], **options: Any) -> list[Minima]:
    """Minima of E for each (k, d): k unit vectors in d dimensions, b = 0. Options as for `one_active_minima`."""
    return _minima("interference", cases, **options)


def coulomb_minima(cases: Sequence[tuple[int, int]], **options: Any) -> list[Minima]:
    """The same of Thomson's energy, the classical reference."""
    return _minima("coulomb", cases, **options)


def one_active_minima(cases: Sequence[tuple[int, int]], **options: Any) -> list[Minima]:
    """The same of `one_active_loss`, lengths and biases free: models of one active feature, trained exactly.

    Options: key; restarts (64) random starts a case; steps (2,000) of Adam, the rate falling to 0 as a cosine.
    All cases and starts descend in one program, in float64. Raises ConfigError for sizes that are
    not integers >= 1, and for no cases.
    """
    return _minima("one active", cases, **options)


def _minima(
    kind: str, cases: Sequence[tuple[int, int]], *, key: PRNGKey, restarts: int = 64, steps: int = 2_000
) -> list[Minima]:
    compilation_cache.enable()
    try:
        cases = [(k, d) for k, d in cases]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"cases must be pairs (k vectors, d dimensions); got {cases!r}") from error
    if not cases:
        raise ConfigError("cases is empty; give pairs (k vectors, d dimensions)")
    for k, d in cases:
        validate.integer("k", k, 1)
        validate.integer("d", d, 1)
    validate.integer("restarts", restarts, 1)
    validate.integer("steps", steps, 1)
    wide, deep = (max(case[i] for case in cases) for i in (0, 1))
    # Vectors beyond k and coordinates beyond d start at zero and stay there: their gradient is zero.
    inside = np.array([np.outer(np.arange(deep) < d, np.arange(wide) < k) for k, d in cases])
    with jax.enable_x64(True):
        start = jax.random.normal(key, (len(cases), restarts, deep, wide), jnp.float64) * inside[:, None]
        energies, W, b = (np.asarray(a) for a in _descend(kind, steps, start))
    order = np.argsort(energies, axis=1, kind="stable")
    found = []
    for case, (k, d) in enumerate(cases):
        rows = order[case]
        found.append(
            Minima(
                energies[case, rows] - _UNUSED[kind] * (wide - k), W[case, rows, :d, :k], b[case, rows, :k]
            )
        )
    return found


def _unit(W: Array) -> Array:
    square = (W * W).sum(0)
    return W / jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 1.0)[None]


def _interference(params: ToyParams) -> Array:
    U = _unit(params.W)
    C = jnp.maximum(U.T @ U, 0.0)
    return (jnp.sum(C**2) - jnp.sum(jnp.diagonal(C) ** 2)) / 3


def _coulomb(params: ToyParams) -> Array:
    U = _unit(params.W)
    used = (U * U).sum(0) > 0  # vectors beyond k are zero
    pairs = jnp.triu(jnp.outer(used, used), 1)
    distance = jnp.where(pairs, 2 - 2 * U.T @ U, 1.0)
    return jnp.where(pairs, 1 / jnp.sqrt(jnp.maximum(distance, 1e-12)), 0.0).sum()


def _free(params: ToyParams) -> Array:
    """The bias as minus a square: at most zero."""
    return one_active_loss(ToyParams(params.W, -(params.b**2)))


_ENERGIES: dict[str, Callable[[ToyParams], Array]] = {
    "interference": _interference,
    "coulomb": _coulomb,
    "one active": _free,
}
_UNUSED = {"interference": 0.0, "coulomb": 0.0, "one active": 1 / 3}  # what a vector that is zero costs


@partial(jax.jit, static_argnums=(0, 1))
def _descend(kind: str, steps: int, W: Array) -> tuple[Array, Array, Array]:
    energy = _ENERGIES[kind]
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))
    used = (W**2).sum(-2) > 0
    free = kind == "one active"
    params = ToyParams(
        W / jnp.sqrt((W**2).sum(-2, keepdims=True).clip(1e-300)), jnp.where(used & free, 0.3, 0.0)
    )

    def step(_: Array, carry: tuple[ToyParams, Any]) -> tuple[ToyParams, Any]:
        params, state = carry
        slopes = jax.vmap(jax.vmap(jax.grad(energy)))(params)
        updates, state = optimizer.update(slopes, state, params)
        return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, steps, step, (params, optimizer.init(params)))
    ends = params.W if free else jax.vmap(jax.vmap(_unit))(params.W)
    return jax.vmap(jax.vmap(energy))(params), ends, -(params.b**2)
