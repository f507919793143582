"""Planted dictionaries: unit rows (n_features, d_in), the true directions an SAE should find."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.typing import PRNGKey, Scalar

KINDS = ("random", "orthogonalized", "orthogonal")
LARGEST = 1e15  # of a learning rate


@dataclass(frozen=True)
class Dictionary(Recipe):
    """A recipe of unit rows (n_features, d_in), the directions of features in a planted world.

    kind: "random" rows on the sphere, "orthogonalized" (pushed apart by `steps` of Adam at `learning_rate`), or
    "orthogonal" (needs n_features <= d_in). Raises ConfigError for sizes or settings that no dictionary has.

    >>> import jax
    >>> rows = Dictionary(n_features=3, d_in=4, kind="orthogonal").build(jax.random.key(0))
    >>> bool(abs(rows @ rows.T - jax.numpy.eye(3)).max() < 1e-5)
    True
    """

    n_features: int = 512
    d_in: int = 256
    kind: Literal["random", "orthogonalized", "orthogonal"] = "random"
    steps: int = 100
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.integer("n_features", self.n_features, 1)
        validate.integer("d_in", self.d_in, 1)
        validate.integer("steps", self.steps, 0, 2**31)
        validate.choice("kind", self.kind, KINDS)
        validate.in_range("learning_rate", self.learning_rate, 0.0, LARGEST, open_low=True)
        validate.memory(
            f"a dictionary of n_features={self.n_features} and d_in={self.d_in}",
            8 * self.n_features * (self.d_in + 8),
            "smaller ones",
        )
        if self.kind == "orthogonal":
            _fits(self.n_features, self.d_in)

    def build(self, key: PRNGKey) -> Float[Array, "n_features d_in"]:
        """The rows, (n_features, d_in)."""
        n, d = self.n_features, self.d_in
        if self.kind == "orthogonalized":
            return orthogonalized(key, n, d, self.steps, self.learning_rate)
        return (orthogonal if self.kind == "orthogonal" else random_unit)(key, n, d)


def random_unit(key: PRNGKey, n: int, d: int) -> Float[Array, "{n} {d}"]:
    """Rows uniform on the sphere: v_i = g_i / ||g_i||, g_i ~ N(0, I), shape (n, d). ConfigError for sizes < 1.

    >>> import jax
    >>> random_unit(jax.random.key(0), 3, 2).shape
    (3, 2)
    """
    validate.integer("n_features", n, 1)
    validate.integer("d_in", d, 1)
    validate.key("key", key)
    validate.memory(f"n_features={n} rows of d_in={d}", 8 * n * d, "smaller ones")
    return _unit(jax.random.normal(key, (n, d)))


def orthogonal(key: PRNGKey, n: int, d: int) -> Float[Array, "{n} {d}"]:
    """Exactly orthonormal rows, Haar distributed: V V^T = I, shape (n, d). ConfigError when n > d.

    >>> import jax
    >>> orthogonal(jax.random.key(0), 2, 3).shape
    (2, 3)
    """
    start = random_unit(key, n, d)
    _fits(n, d)
    q, r = jnp.linalg.qr(start.T)
    return (q * jnp.sign(jnp.diagonal(r))[None]).T


def orthogonalized(
    key: PRNGKey, n: int, d: int, steps: int = 100, learning_rate: float = 3e-4
) -> Float[Array, "{n} {d}"]:
    """Random unit rows pushed apart by Adam, then normalised again, shape (n, d).

    Loss: sum_{i != j} (v_i . v_j)^2 + n sum_i (||v_i||^2 - 1)^2. Its gradient needs only the d x d Gram matrix:
    4 V (V^T V) - 4 ||v_i||^2 v_i + 4 n (||v_i||^2 - 1) v_i, so a step costs O(n d^2) and O(n d) memory and the
    n x n matrix of cosines never exists. Raises ConfigError for sizes or steps out of range.
    Source: SynthSAEBench (arXiv 2602.14687), "Feature dictionary".

    >>> import jax
    >>> orthogonalized(jax.random.key(0), 4, 3, steps=10).shape
    (4, 3)
    """
    steps = validate.integer("steps", steps, 0, 2**31)
    learning_rate = validate.one_in_range("learning_rate", learning_rate, 0.0, 1e30, open_low=True)
    return _push_apart(random_unit(key, n, d), jnp.float32(learning_rate), steps=steps)


@partial(jax.jit, static_argnames="steps")
def _push_apart(rows: Array, learning_rate: Array, *, steps: int) -> Array:
    n, d = rows.shape
    adam = optax.adam(learning_rate)

    def gradient(v: Array) -> Array:
        square = jnp.sum(v * v, 1, keepdims=True)
        every = v @ (v.T @ v) if n >= d else (v @ v.T) @ v
        return 4 * (every + (n * (square - 1) - square) * v)

    def step(_: Array, carry: tuple[Array, optax.OptState]) -> tuple[Array, optax.OptState]:
        v, state = carry
        update, state = adam.update(gradient(v), state)
        return optax.apply_updates(v, update), state

    return _unit(jax.lax.fori_loop(0, steps, step, (rows, adam.init(rows)))[0])


def mean_max_cosine(dictionary: Float[Array, "n d"], block: int = 1024) -> Scalar:
    """rho_mm = mean_i max_{j != i} |cos(v_i, v_j)|, how much superposition there is; a scalar.

    dictionary (n, d), n >= 2; computed `block` rows at a time, so memory is O(block n). For many random rows
    rho_mm grows like sqrt(2 log(n) / d); its floor for n > d is the Welch bound sqrt((n - d) / (d (n - 1))).
    Raises ConfigError for fewer than 2 rows.

    >>> import jax.numpy as jnp
    >>> round(float(mean_max_cosine(jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))), 3)
    0.707
    """
    rows = validate.array("dictionary", dictionary)
    if rows.ndim != 2 or len(rows) < 2 or not rows.shape[1]:
        raise ConfigError(
            f"the cosine of a row with another needs (n, d) of at least 2 rows; got shape {rows.shape}"
        )
    return _mean_max_cosine(rows, validate.integer("block", block, 1))


@partial(jax.jit, static_argnums=1)
def _mean_max_cosine(dictionary: Array, block: int) -> Array:
    v = _unit(dictionary)
    n = v.shape[0]

    def largest(start: Array) -> Array:
        row = jnp.minimum(start + jnp.arange(min(block, n)), n - 1)
        cosine = jnp.abs(v[row] @ v.T)
        return jnp.max(jnp.where(row[:, None] == jnp.arange(n)[None], 0.0, cosine), 1)

    return jnp.mean(jax.lax.map(largest, jnp.arange(0, n, min(block, n))).reshape(-1)[:n])


def _fits(n: int, d: int) -> None:
    if n > d:
        raise ConfigError(
            f"orthogonal rows need n_features <= d_in; got n_features={n} and d_in={d}. "
            'Raise d_in, or take "orthogonalized" rows'
        )


def _unit(rows: Array) -> Array:
    return rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
