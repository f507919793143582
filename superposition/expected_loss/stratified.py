"""Expected loss of toy models with two ReLUs: terms of at most one active feature in closed form, the rest by Monte Carlo.

With a ReLU in the hidden layer the outputs are no longer functions of sums of independent variables, and the
exact series of this package does not apply. But there is no hidden bias, so z(x) - b is positively homogeneous:
with no active feature the outputs are known, and with one, x = t s e_i with sign s and t uniform on [0, 1],

    z_j = c_j t + b_j,  c = z(s e_i) - b,

whose squared errors integrate in closed form, piece by piece. Only the rest, two or more active features, is
sampled, given that they are, so that at high sparsity the standard error shrinks with its probability, O(p^2).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from superposition._internal import validate
from superposition.expected_loss import arguments
from superposition.expected_loss.by_count import zero_crossing
from superposition.features import key_words, uniform
from superposition.toy import Linear, ToyModel
from superposition.typing import PRNGKey

EXAMPLES = 32_768
# Added to the output's bias, it keeps the output ReLU open, whatever the weights.
_OPEN = 1e30


class Estimate(NamedTuple):
    """An expected loss and the standard error of its sampled part, scalars."""

    loss: Array
    standard_error: Array


def stratified_loss(
    model: ToyModel,
    params: Any,
    importance: ArrayLike,
    density: ArrayLike,
    *,
    key: PRNGKey,
    examples: int = EXAMPLES,
    signed: bool = False,
) -> Estimate:
    r"""Expected loss of any toy model on independent sparse features, with its standard error.

    $$L = P(K=0)\,L_0 + \sum_i P(\text{only } i)\,L_{1,i} + P(K \ge 2)\,E[\ell \mid K \ge 2]$$

    over the number K of active features: the first two exact, the last by `examples` draws given K >= 2.

    - `model`: a toy model without hidden bias; `params` anything it takes, with a field `b` (n,), the output's.
    - `importance` (n,), `density` P(x_j != 0), scalar or (n,); `signed`: values on [-1, 1] rather than [0, 1].
    - `key`: models vmapped under one key meet the same examples (common random numbers), at any density.

    Returns `Estimate(loss, standard_error)`; the error is 0 where no two features are ever active together.
    Can be jitted and vmapped in all arrays. Raises ConfigError (a ValueError) for examples < 2, or lengths and
    densities that do not fit. Source: Elhage et al. 2022, "Mathematical Understanding" (the sum over K).
    """
    validate.integer("examples", examples, 2)
    n = model.n_features
    arguments.numbers("importance", importance, n)
    arguments.numbers("density", density, n, 1.0)
    params = arguments.of_model(model, params)
    dtype = params.b.dtype
    weight, p = (jnp.broadcast_to(jnp.asarray(v, dtype), (n,)) for v in (importance, density))

    none, only = _chances(p)
    silent = weight @ _square(model, params, jnp.zeros(n, dtype))
    signs = (1.0, -1.0) if signed else (1.0,)
    single = sum(_one_active(model, params, sign * jnp.eye(n, dtype=dtype)) @ weight for sign in signs)
    exact = none * silent + only @ (single / len(signs))

    some = jax.vmap(lambda x: weight @ _square(model, params, x))
    x, several = two_or_more(key, p, examples, signed=signed)
    losses = some(x)
    spread = jnp.std(losses, ddof=1) / np.sqrt(examples)
    return Estimate(exact + several * losses.mean(), several * spread)


def two_or_more(key: PRNGKey, density: Array, examples: int, *, signed: bool = False) -> tuple[Array, Array]:
    """Features x (examples, n) drawn given that at least two are active, and the chance of that, a scalar.

    Feature after feature: when r more must still come, feature i fires with chance p_i T_(i+1)(r-1) / T_i(r),
    where T_i(r) is the chance that at least r of the features from i on are active. Exact, of static shape, and
    without a subtraction that would lose rare events. density (n,).
    """
    u = uniform(key_words(key), jnp.uint32(0), (len(density), examples)).astype(density.dtype)

    def backwards(later: Array, p: Array) -> tuple[Array, Array]:
        fewer = jnp.stack([later[0], later[0], later[1]])
        reached = p * fewer + (1 - p) * later.at[0].set(1.0)
        return reached, jnp.where(reached > 0, p * fewer / reached, 0.0)

    reached, chances = jax.lax.scan(backwards, jnp.array([1.0, 0, 0], density.dtype), density, reverse=True)

    def forwards(missing: Array, feature: tuple[Array, Array]) -> tuple[Array, Array]:
        chance, u = feature
        own = chance[missing]
        fires = u < own
        value = u / jnp.where(own > 0, own, 1.0)
        value = 2 * value - 1 if signed else value
        return jnp.maximum(missing - fires, 0), jnp.where(fires, value, 0.0)

    _, x = jax.lax.scan(forwards, jnp.full(examples, 2), (chances, u))
    return x.T, reached[2]


def _chances(p: Array) -> tuple[Array, Array]:
    """P(no feature is active), and P(feature i alone is), (n,), without dividing by 1 - p."""
    one = jnp.ones_like(p[:1])
    before = jnp.concatenate([one, jnp.cumprod(1 - p)])
    after = jnp.concatenate([one, jnp.cumprod((1 - p)[::-1])])[::-1]
    return before[-1], p * before[:-1] * after[1:]


def _square(model: ToyModel, params: Any, x: Array) -> Array:
    return (model.target(x) - model.apply(params, x)) ** 2


def _one_active(model: ToyModel, params: Any, corners: Array) -> Array:
    """E over t in [0, 1] of every output's squared error at x = t corner, corners (n, n) -> (corner, output)."""
    opened = params._replace(b=jnp.full_like(params.b, _OPEN))

    def slopes(corner: Array) -> Array:
        # A homogeneous function is its own derivative along x; taken so, the huge bias costs no digits.
        return jax.jvp(lambda x: model.apply(opened, x), (corner,), (corner,))[1]

    c, wanted = jax.vmap(slopes)(corners), jax.vmap(model.target)(corners)
    b = jnp.broadcast_to(jnp.asarray(params.b), c.shape)
    if isinstance(model, Linear):
        low, high = jnp.zeros_like(c), jnp.ones_like(c)
    else:
        crossing = zero_crossing(b, c)
        low = jnp.where(c > 0, crossing, jnp.where((c == 0) & (b <= 0), 1.0, 0.0))
        high = jnp.where(c < 0, crossing, 1.0)
    # Where the ReLU is open the error is (d t - b)^2, d = target - c; elsewhere (target t)^2. All terms >= 0.
    start, end = (wanted - c) * low - b, (wanted - c) * high - b
    passed = (high - low) * (start**2 + start * end + end**2) / 3
    return passed + wanted**2 * (low**3 + 1 - high**3) / 3
