"""How much a small, chosen change of the input can raise a toy model's loss (Elhage et al. 2022, "Adversarial").

An attack of norm e moves x to x + d, ||d|| <= e, while the model is still asked for what x was: the loss is
sum_i I_i (y_i(x) - x'_i(x + d))^2. Superposition gives an attacker many small interferences to add up: output i
is moved most, before its ReLU, along row i of W^T W.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy import integrate, special

from superposition._internal import compilation_cache, validate
from superposition.errors import ConfigError
from superposition.expected_loss import arguments
from superposition.features import SparseUniform
from superposition.toy import ToyModel
from superposition.toy._tied import Tied
from superposition.typing import PRNGKey

TINY = 1e-12

Rows = Callable[
    [Array, Array], tuple[Array, Array]
]  # an example and a norm -> unit rows, and outputs of all attacks


class Attack(NamedTuple):
    """The changes found, (batch, n_features), and the loss of every example under them, (batch,)."""

    change: Array
    loss: Array


class Vulnerability(NamedTuple):
    """Expected loss without and under attack, and the standard error of their difference, scalars."""

    clean: Array
    attacked: Array
    standard_error: Array


def along_rows(model: ToyModel, params: Any, x: Array, importance: ArrayLike, norm: ArrayLike) -> Attack:
    """The worst of the changes +-norm (W^T W)_i / ||(W^T W)_i|| over outputs i, for every example.

    Row i is the slope of output i before its ReLU, for any model: taken where an output bias keeps all output
    ReLUs open. x (batch, n_features). Raises ConfigError for norm <= 0, an importance < 0, or shapes that do not fit. Source: the
    paper's analytic attack.
    """
    return _along_rows(model, *_checked(model, params, x, importance, norm))


def by_ascent(
    model: ToyModel,
    params: Any,
    x: Array,
    importance: ArrayLike,
    norm: ArrayLike,
    *,
    key: PRNGKey,
    starts: int = 8,
    steps: int = 40,
) -> Attack:
    """The worst change that gradient ascent finds from random starts: knows nothing of W (PGD, Madry et al. 2018).

    Each step goes `norm` along the gradient and back onto the ball ||d|| <= norm. Arguments and errors as for
    `along_rows`.
    """
    compilation_cache.enable()
    starts, steps = (validate.integer(n, v, 1) for n, v in (("starts", starts), ("steps", steps)))
    validate.key("key", key)
    return _by_ascent(model, *_checked(model, params, x, importance, norm), key, starts, steps)


def vulnerability(
    model: ToyModel,
    params: Any,
    importance: ArrayLike,
    density: float,
    norm: ArrayLike,
    *,
    key: PRNGKey,
    examples: int = 256,
    ascent: bool = False,
) -> Vulnerability:
    """Expected loss on sparse uniform features, clean and under attack `along_rows` (or `by_ascent`).

    The all-zero input is attacked once and weighed by its probability; the `examples` are drawn given that some
    feature is active. Errors as for `along_rows`, and for a density that is not one number in (0, 1].
    """
    compilation_cache.enable()
    validate.integer("examples", examples, 2)
    density = validate.number("density", density)
    law = SparseUniform(density)
    draw, random = jax.random.split(key)
    x = law.sample(draw, model.n_features, examples, conditional=True)
    x = jnp.concatenate([x, jnp.zeros_like(x[:1])])
    params, x, weight, size = _checked(model, params, x, importance, norm)
    attack = (
        _by_ascent(model, params, x, weight, size, random, 8, 40)
        if ascent
        else _along_rows(model, params, x, weight, size)
    )
    clean = _losses(model, params, x, weight)
    some = -np.expm1(model.n_features * np.log1p(-density)) if density < 1 else 1.0
    chance = jnp.asarray([some / examples] * examples + [1 - some], x.dtype)
    spread = jnp.std((attack.loss - clean)[:-1], ddof=1) / np.sqrt(examples)
    return Vulnerability(chance @ clean, chance @ attack.loss, some * spread)


def mean_input_norm(density: float, n_features: int) -> float:
    r"""E ||x|| of sparse uniform features, by quadrature.

    $$E \sqrt s = \frac{1}{2 \sqrt\pi} \int_0^\infty \frac{1 - E e^{-ts}}{t^{3/2}} dt, \quad s = \|x\|^2$$

    Raises ConfigError unless density is one number in (0, 1] and n_features >= 1.
    """
    density = validate.number("density", density)
    validate.in_range("density", density, 0.0, 1.0, open_low=True)
    validate.integer("n_features", n_features, 1)

    def rate(logarithm: float) -> float:
        t = np.exp(logarithm)
        # 1 - E e^(-t x^2) of an active feature; its series where the closed form would cancel.
        one = (
            1 - np.sqrt(np.pi / t) / 2 * special.erf(np.sqrt(t))
            if t > 1e-2
            else t / 3 - t**2 / 10 + t**3 / 42
        )
        none = np.log1p(-density * one) if density * one < 1 else -np.inf
        return float(-np.expm1(n_features * none) / np.sqrt(t))

    return float(
        integrate.quad(rate, -60, 60, limit=400, epsrel=1e-10, points=[-8, 0, 8])[0] / 2 / np.sqrt(np.pi)
    )


@partial(jax.jit, static_argnums=0)
def _along_rows(model: ToyModel, params: Any, x: Array, weight: Array, norm: Array) -> Attack:
    attack = _of_sums(model, params) if isinstance(model, Tied) else _of_any(model, params)

    def worst(one: Array) -> tuple[Array, Array]:
        unit, outputs = attack(one, norm)
        losses = ((model.target(one)[None] - outputs) ** 2) @ weight
        at = jnp.argmax(losses)
        n = len(unit)
        return jnp.where(at < n, norm, -norm) * unit[at % n], losses[at]

    return Attack(*jax.lax.map(worst, x))


def _of_sums(model: Tied, params: Any) -> Rows:
    """Every row of A = W^T W moves the sums z by the same amounts at every x: 2 n^2 numbers an example."""
    A = params.W.T @ params.W
    unit = _unit(A)
    moved = unit @ A

    def attack(one: Array, norm: Array) -> tuple[Array, Array]:
        z = (A @ one + params.b)[None] + norm * jnp.concatenate([moved, -moved])
        return unit, jax.nn.relu(z) if model.activation == "relu" else z

    return attack


def _of_any(model: ToyModel, params: Any) -> Rows:
    # A ReLU that is certainly open passes its slope; the huge bias is not differentiated, so it costs no digits.
    opened = params._replace(b=jnp.full_like(params.b, 1e30))

    def attack(one: Array, norm: Array) -> tuple[Array, Array]:
        unit = _unit(jax.jacobian(partial(model.apply, opened))(one))
        changes = norm * jnp.concatenate([unit, -unit])
        return unit, jax.vmap(lambda d: model.apply(params, one + d))(changes)

    return attack


def _unit(d: Array) -> Array:
    return d / jnp.maximum(jnp.linalg.norm(d, axis=-1, keepdims=True), TINY)


@partial(jax.jit, static_argnums=(0, 6, 7))
def _by_ascent(
    model: ToyModel, params: Any, x: Array, weight: Array, norm: Array, key: PRNGKey, starts: int, steps: int
) -> Attack:
    def raised(change: Array, one: Array) -> Array:
        return weight @ (model.target(one) - model.apply(params, one + change)) ** 2

    slope = jax.vmap(jax.vmap(jax.grad(raised), in_axes=(0, None)))

    def step(_: int, d: Array) -> Array:
        d = d + norm * _unit(slope(d, x))
        return d * jnp.minimum(1.0, norm / jnp.maximum(jnp.linalg.norm(d, axis=-1, keepdims=True), TINY))

    start = norm * _unit(jax.random.normal(key, (len(x), starts, x.shape[1]), x.dtype))
    d = jax.lax.fori_loop(0, steps, step, start)
    losses = jax.vmap(jax.vmap(raised, in_axes=(0, None)))(d, x)
    rows, worst = jnp.arange(len(x)), jnp.argmax(losses, 1)
    return Attack(d[rows, worst], losses[rows, worst])


@partial(jax.jit, static_argnums=0)
def _losses(model: ToyModel, params: Any, x: Array, weight: Array) -> Array:
    return jax.vmap(lambda one: model.loss(params, one, weight))(x)


def _checked(
    model: ToyModel, params: Any, x: Array, importance: ArrayLike, norm: ArrayLike
) -> tuple[Any, Array, Array, Array]:
    validate.instance("model", model, ToyModel)
    n = model.n_features
    x = validate.array("x", x)
    if x.ndim != 2 or x.shape[1] != n:
        raise ConfigError(f"x must be (batch, {n}), one column a feature of the model; got {x.shape}")
    arguments.weighing("importance", importance, n)
    if not isinstance(norm, jax.core.Tracer) and validate.number("norm", norm) <= 0:
        raise ConfigError(f"norm must be > 0; got {norm}")
    params = arguments.of_model(model, params)
    # A norm of 0.1 among integers would be 0, and no attack.
    x = arguments.floating(x)
    return params, x, jnp.broadcast_to(jnp.asarray(importance, x.dtype), (n,)), jnp.asarray(norm, x.dtype)
