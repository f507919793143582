"""The least exact loss of a small toy model, weights and biases both optimised, at many settings at once.

Many random starts descend the exact expected loss together; the best few of each setting are polished by
a damped Newton method in float64. A minimum over starts is an upper bound on the true minimum; more
`restarts`, and `starts` taken from neighbouring settings, make it hard to beat (tests/test_theory.py).
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from superposition._internal import compilation_cache, validate
from superposition.errors import ConfigError
from superposition.expected_loss import expected_loss
from superposition.features import FeatureLaw, SparseUniform
from superposition.typing import PRNGKey, ToyParams

BLOCK, SMALLEST = 2048, 512
CHEAP = 3  # features up to which a row costs less than another compilation, and small blocks are filled up
INDEPENDENT = SparseUniform(density=1.0)
LEARNING_RATE = 0.05
DIFFERENCE = 1e-5


class Minimum(NamedTuple):
    """W (setting, m, n), b (setting, n), loss (setting,) and the norm of its gradient (setting,), float64.

    >>> Minimum(np.ones((3, 1, 2)), np.zeros((3, 2)), np.zeros(3), np.zeros(3)).W[0].tolist()  # the first of three settings
    [[1.0, 1.0]]
    """

    W: np.ndarray
    b: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray


def exact_minimum(
    activation: str,
    importance: Any,
    density: Any,
    n_hidden: int,
    *,
    key: PRNGKey,
    restarts: int = 24,
    steps: int = 400,
    polish: int = 3,
    starts: ToyParams | None = None,
    newton_steps: int = 20,
    law: FeatureLaw = INDEPENDENT,
) -> Minimum:
    """Least loss over W and b for importance (setting, n) and density (setting,) or (setting, n).

    `activation` is any that `expected_loss` knows at that n.
    `restarts` random starts take `steps` of Adam; the best `polish` of each setting, and all of `starts`
    (setting, start, ...), take Newton steps. Practical for n up to about 6. With features in sets (`law`, whose
    own density is ignored) density is the sets', (setting,) or (setting, n_sets).
    Raises ConfigError for counts, shapes and values that do not fit.

    >>> best = exact_minimum("relu", [[1.0]], [0.5], n_hidden=1, key=jax.random.key(0), restarts=2, steps=20, polish=1)
    >>> best.W.shape, bool(best.loss[0] < 1e-6)  # one feature in one dimension: nothing is lost
    ((1, 1, 1), True)
    """
    compilation_cache.enable()
    validate.instance("activation", activation, str)
    counts = {"n_hidden": (n_hidden, 1), "restarts": (restarts, 0), "steps": (steps, 1), "polish": (polish, 1),
              "newton_steps": (newton_steps, 1)}  # fmt: skip
    n_hidden, restarts, steps, polish, newton_steps = (
        validate.integer(name, value, low) for name, (value, low) in counts.items()
    )
    if np.ndim(importance) != 2 or np.size(importance) == 0:
        raise ConfigError(f"importance must be (setting, n); got shape {np.shape(importance)}")
    weight = np.asarray(importance, np.float64)
    settings, n = weight.shape
    validate.instance("law", law, FeatureLaw)
    validate.key("key", key)
    units = law.n_units(n)
    checked_settings(weight, density, settings, units)
    if starts is not None:
        if not hasattr(starts, "W") or not hasattr(starts, "b"):
            raise ConfigError(f"starts must be ToyParams(W, b); got {validate.shown(starts)}")
        shape, bias = np.shape(starts.W), np.shape(starts.b)
        if len(shape) != 4 or (settings, shape[1], n_hidden, n) != shape or bias != (settings, shape[1], n):
            raise ConfigError(
                f"starts must be W ({settings}, start, {n_hidden}, {n}) and b ({settings}, start, {n}); got {shape}, {bias}"
            )
    elif not restarts:
        raise ConfigError("restarts=0 needs starts; give some, or restarts >= 1")
    p = np.broadcast_to(np.asarray(density, np.float64).reshape(settings, -1), (settings, units))
    # Adam and Newton then see losses of one size.
    weight_scale = (weight * np.repeat(p, n // units, 1)).sum(1, keepdims=True)
    scaled = weight / weight_scale
    candidates = []
    if restarts:
        descend = partial(_descend, activation, n_hidden, restarts, steps, min(polish, restarts), law)
        smallest = SMALLEST if n <= CHEAP else 1
        block = max(1, BLOCK // restarts)
        candidates.append(_in_blocks(descend, (scaled, p), np.float32, block, smallest, key))
    if starts is not None:
        candidates.append([np.asarray(starts.W), np.asarray(starts.b)])
    W, b = (np.concatenate(part, 1).astype(np.float64) for part in zip(*candidates, strict=True))
    count = W.shape[1]
    flat = np.concatenate([W.reshape(settings, count, -1), b], 2).reshape(settings * count, -1)
    tiled = [np.repeat(a, count, 0) for a in (scaled, p)]
    newton = partial(_newton, activation, n_hidden, law, np.int32(newton_steps))
    smallest = SMALLEST if n <= CHEAP else 1
    x, loss, slope, _ = _in_blocks(newton, (flat, *tiled), np.float64, BLOCK, smallest)
    loss, slope = (a.reshape(settings, count) for a in (loss, slope))
    rows, best = np.arange(settings), np.argmin(np.where(np.isfinite(loss), loss, np.inf), 1)
    x = x.reshape(settings, count, -1)[rows, best]
    unscale = weight_scale[:, 0]
    return Minimum(
        x[:, : n_hidden * n].reshape(settings, n_hidden, n),
        x[:, n_hidden * n :],
        loss[rows, best] * unscale,
        slope[rows, best] * unscale,
    )


def checked_settings(weight: np.ndarray, density: Any, settings: int, units: int) -> None:
    """Density (setting,) or (setting, units) in [0, 1], importance >= 0 and not all 0 there, or ConfigError."""
    validate.between("importance", weight)
    if np.shape(density) not in ((settings,), (settings, 1), (settings, units)):
        raise ConfigError(
            f"density must be ({settings},) or ({settings}, {units}), a row a setting; got shape {np.shape(density)}"
        )
    validate.between("density", density, 1.0)
    p = np.asarray(density, np.float64).reshape(settings, -1)
    if not (p.max(1) > 0).all() or not (weight.max(-1) > 0).all():
        raise ConfigError(
            "importance and density must not be all 0 in any setting: every model would be as good"
        )


def _in_blocks(
    function: Any, arrays: tuple[np.ndarray, ...], dtype: Any, size: int, smallest: int, *keys: PRNGKey
) -> list[np.ndarray]:
    """Map over blocks of rows; the last block wraps round, so that all have one shape and one compilation."""
    rows = len(arrays[0])
    size = min(size, max(smallest, 1 << (rows - 1).bit_length()))

    def one(begin: int) -> list[np.ndarray]:
        index = np.arange(begin, begin + size) % rows
        with jax.enable_x64(dtype == np.float64):
            block = [jnp.asarray(a[index], dtype) for a in arrays]
            return [np.asarray(a) for a in function(*block, *(jax.random.fold_in(k, begin) for k in keys))]

    found = [one(begin) for begin in range(0, rows, size)]
    return [np.concatenate(part)[:rows] for part in zip(*found, strict=True)]


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _descend(
    activation: Any,
    m: int,
    restarts: int,
    steps: int,
    keep: int,
    law: FeatureLaw,
    weight: Array,
    p: Array,
    key: PRNGKey,
) -> tuple[Array, Array]:
    """Adam on the exact loss from random starts; the best `keep` of each setting, W and b."""
    settings, n = weight.shape
    keys = jax.random.split(key)
    params = ToyParams(
        jax.random.normal(keys[0], (settings * restarts, m, n)) / np.sqrt(m),
        jax.random.uniform(keys[1], (settings * restarts, n), minval=-0.5, maxval=0.5),
    )
    weights, ps = (jnp.repeat(a, restarts, 0) for a in (weight, p))

    def loss(q: ToyParams, w: Array, d: Array) -> Array:
        return expected_loss(q, w, replace(law, density=d), activation=activation)

    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    def step(_: Array, carry: tuple[ToyParams, Any]) -> tuple[ToyParams, Any]:
        params, state = carry
        grads = jax.vmap(jax.grad(loss))(params, weights, ps)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, steps, step, (params, optimizer.init(params)))
    losses = jax.vmap(loss)(params, weights, ps).reshape(settings, restarts)
    best = jax.lax.top_k(-jnp.where(jnp.isfinite(losses), losses, jnp.inf), keep)[1]
    rows = jnp.arange(settings)[:, None]
    return params.W.reshape(settings, restarts, m, n)[rows, best], params.b.reshape(settings, restarts, n)[
        rows, best
    ]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _newton(
    activation: Any, m: int, law: FeatureLaw, steps: Any, x: Array, weight: Array, p: Array
) -> tuple[Array, Array, Array, Array]:
    """Damped Newton, a step kept only if it lowers the loss; x (row, m n + n), W then b.

    Returns the best x, and there the loss, the norm of the gradient and the Hessian.

    The Hessian is taken by central differences of the gradient: in float64 it is good to ten digits, and
    differentiating the exact loss a second time takes longer to compile than everything else to run.
    """
    n = weight.shape[1]

    def loss(flat: Array, w: Array, d: Array) -> Array:
        params = ToyParams(flat[: m * n].reshape(m, n), flat[m * n :])
        return expected_loss(params, w, replace(law, density=d), activation=activation)

    value_and_slope = jax.vmap(jax.value_and_grad(loss))
    size = x.shape[1]
    shifts = DIFFERENCE * jnp.concatenate([jnp.zeros((1, size)), jnp.eye(size), -jnp.eye(size)]).astype(
        x.dtype
    )

    def step(_: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        x, value, slope, hessian, damping, candidate = carry
        # One map evaluates the candidate and the differences about it: one copy of the loss to compile.
        values, slopes = jax.lax.map(
            lambda shift: value_and_slope(candidate + shift[None], weight, p), shifts
        )
        new_hessian = jnp.moveaxis(slopes[1 : size + 1] - slopes[size + 1 :], 0, 1) / (2 * DIFFERENCE)
        better = values[0] < value
        x, slope = (jnp.where(better[:, None], a, b) for a, b in ((candidate, x), (slopes[0], slope)))
        hessian = jnp.where(better[:, None, None], (new_hessian + new_hessian.mT) / 2, hessian)
        damping = jnp.clip(damping * jnp.where(better, 0.2, 8.0), 1e-12, 1e6)
        eigenvalues, vectors = jnp.linalg.eigh(hessian)
        # |eigenvalues|: a saddle's downhill direction is followed, not climbed.
        along = (vectors.mT @ slope[..., None])[..., 0] / (jnp.abs(eigenvalues) + damping[:, None])
        candidate = x - (vectors @ along[..., None])[..., 0]
        return x, jnp.where(better, values[0], value), slope, hessian, damping, candidate

    rows = x.shape[0]
    infinite = jnp.full(rows, jnp.inf, x.dtype)
    eye = jnp.broadcast_to(jnp.eye(size, dtype=x.dtype), (rows, size, size))
    start = (x, infinite, jnp.zeros_like(x), eye, jnp.full(rows, 5e-3, x.dtype), x)
    x, value, slope, hessian, *_ = jax.lax.fori_loop(0, steps, step, start)
    return x, value, jnp.linalg.norm(slope, axis=1), hessian
