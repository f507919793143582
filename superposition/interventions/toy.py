r"""Intervention error on a toy model, where the true effect of moving a feature is known.

The model reads x' = ReLU(W^T h + b) off h = W x. Moving feature i by delta truly is h + delta W_i; an SAE can only
offer h + a d_j, d_j the decoder row of the latent matched to i. Its pre-activations then move by a d_j . W_k: by
what was intended on i, and by interference on every other k. Where a ReLU is open before and after, the output
moves by just that (a theorem, checked by `linear_error`); where it is closed the interference is filtered out.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import linear_sum_assignment

from superposition import metrics
from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics._arrays import indices, matrix
from superposition.sae import SAE, Params
from superposition.toy import Tied, require_tied
from superposition.typing import ToyParams

NO_PAIR = 1e-6  # |cosine| below which a direction does not move its feature, and has no amount


class Effects(NamedTuple):
    """What k interventions do over a batch; (k,), and (k, n_features) where a feature is named.

    A direction without a feature to move (feature -1) is left alone: amount, changes and selectivity 0, error 1.
    """

    feature: np.ndarray  # what the direction is to move, -1 for none
    cosine: np.ndarray  # of the direction with W_i, signed
    amount: np.ndarray  # a, mean over the examples
    predicted: np.ndarray  # (k, n) a d_j . W_k, mean over the examples
    realised: np.ndarray  # (k, n) change of x'_k, mean over the examples
    absolute: np.ndarray  # (k, n) |change of x'_k|, mean over the examples
    open: np.ndarray  # (k, n) share of the examples in which the ReLU of k is open before and after
    realised_open: np.ndarray  # (k, n) change of x'_k, mean over those examples; 0 where there is none
    linear_error: np.ndarray  # largest |change - predicted| there, as a share of the largest prediction
    error: np.ndarray  # against the true effect; 0 is perfect, 1 as bad as doing nothing
    selectivity: np.ndarray  # share of all absolute change that is the feature's own, in [0, 1]


def partners(directions: Any, dictionary: Any) -> np.ndarray:
    """The feature of each direction, (k,), -1 for none: one to one, with the largest sum of cosines.

    Unlike `metrics.match` it minds the sign: of two features that point opposite ways, as toy models like to have
    them, a latent is that of the one it adds, not of the one it takes away. A pair of cosine <= 0 is none.
    """
    c = np.asarray(metrics.cosines(directions, dictionary), np.float64)
    feature = np.full(len(c), -1)
    latents, features = linear_sum_assignment(-c)
    feature[latents] = np.where(c[latents, features] > NO_PAIR, features, -1)
    return feature


def steering_error(
    model: Tied,
    params: ToyParams,
    directions: Any,
    x: Any,
    *,
    delta: float = 0.5,
    feature: Any = None,
    amount: Any = None,
) -> Effects:
    r"""Steering along directions d_j (k, n_hidden) against moving their features by delta, over inputs x (batch, n).

    $$a_j = \delta \frac{\|W_i\|^2}{d_j \cdot W_i}, \qquad
      \mathrm{error}_j = \left( \frac{\sum_x \|x'(h + a_j d_j) - x'(h + \delta W_i)\|^2}
      {\sum_x \|x'(h + \delta W_i) - x'(h)\|^2} \right)^{1/2}, \qquad
      \mathrm{selectivity}_j = \frac{\sum_x |\Delta x'_i|}{\sum_x \sum_k |\Delta x'_k|}$$

    The amount moves the pre-activation of i exactly as the true effect does, so that in the hidden space the
    relative error is tan(angle of d_j and W_i). Give W_dec for an SAE; W^T is the ideal feature steer, of error 0.

    Args:
        model: Its activation, ReLU or none.
        params: W and b.
        directions: (k, n_hidden), of any length but 0.
        x: Inputs whose features are moved, beyond their usual range too: (batch, n_features).
        delta: How far.
        feature: Which feature each direction is to move, (k,), -1 for none; default `partners`.
        amount: a_j (k,) in place of the rule above, e.g. `delta * norms[feature]` for random unit directions.

    Raises:
        ConfigError: Shapes disagree, an array is empty, holds NaN or infinity; delta is 0 or not finite.
    """
    W, x, rows, feature, cosine = _checked(model, params, directions, x, feature)
    if validate.number("delta", delta) == 0:
        raise ConfigError("delta must not be 0: nothing would be moved; give how far, e.g. 0.5")
    if amount is None:
        target = W[:, feature].T
        along = (rows * target).sum(1)
        pair = feature >= 0
        a = np.where(pair, delta * (target**2).sum(1) / np.where(pair, along, 1.0), 0.0)
    else:
        a = np.asarray(amount, np.float64)
        if a.shape != feature.shape or not np.isfinite(a).all():
            raise ConfigError(f"amount must be {len(feature)} finite numbers; got shape {a.shape}")
        a = np.where(feature >= 0, a, 0.0)
    ones = np.ones((len(x), 1))
    return _effects(model, params, rows, x, feature, cosine, ones * a, ones * np.full(len(a), delta))


def ablation_error(
    model: Tied, params: ToyParams, sae: SAE, sae_params: Params, x: Any, *, feature: Any = None
) -> Effects:
    """Setting a latent to 0 against setting its feature to 0, over inputs x (batch, n_features).

    As `steering_error` with a = -f_j(h) and delta = -x_i, example by example: h - f_j d_j against h - x_i W_i. A
    latent that fires where its feature does not, or is silent where it does, counts in the error.

    Raises:
        ConfigError: As `steering_error`; an SAE that does not read and write n_hidden numbers.
    """
    W, x, rows, feature, cosine = _checked(model, params, sae_params["W_dec"], x, feature)
    if sae.d_in != len(W) or sae.d_out is not None:
        raise ConfigError(
            f"the SAE must read and write the {len(W)} hidden numbers; got d_in={sae.d_in}, d_out={sae.d_out}"
        )
    h = jnp.asarray(x @ W.T, jnp.float32)
    inside, undo = sae.norm_in(h)
    scale = undo(jnp.ones_like(inside)) - undo(jnp.zeros_like(inside))  # of a run-time norm
    a = -np.asarray(sae.encode(sae_params, h) * scale[:, :1])
    pair = feature >= 0
    delta = np.where(pair, -x[:, feature], 0.0)
    return _effects(model, params, rows, x, feature, cosine, np.where(pair, a, 0.0), delta)


def _checked(model: Tied, params: ToyParams, directions: Any, x: Any, feature: Any) -> tuple[Any, ...]:
    """W, x, directions, and their features with the pairs that are none taken out; float64 on the host."""
    require_tied(model, "measuring an intervention against the truth")
    W = matrix(np, "W", np.asarray(params.W), "(n_hidden, n_features)")
    rows = matrix(np, "directions", np.asarray(directions), "(k, n_hidden)")
    x = matrix(np, "x", np.asarray(x), "(batch, n_features)")
    if W.shape != (model.n_hidden, model.n_features) or x.shape[1] != W.shape[1] or rows.shape[1] != len(W):
        raise ConfigError(
            f"the model has {model.n_features} features in {model.n_hidden} dimensions; got W {W.shape}, "
            f"x {x.shape} and directions {rows.shape}"
        )
    c = np.asarray(metrics.cosines(rows, W.T))
    if feature is None:
        feature = partners(rows, W.T)
    feature = np.asarray(indices(np, "feature", feature, len(rows), W.shape[1]))
    cosine = np.where(feature >= 0, c[np.arange(len(rows)), feature], 0.0)
    feature = np.where(np.abs(cosine) > NO_PAIR, feature, -1)
    return W, x, rows, feature, np.where(feature >= 0, cosine, 0.0)


def _effects(
    model: Tied,
    params: ToyParams,
    rows: np.ndarray,
    x: np.ndarray,
    feature: np.ndarray,
    cosine: np.ndarray,
    a: np.ndarray,
    delta: np.ndarray,
) -> Effects:
    with jax.enable_x64(True):  # the differences are of numbers that nearly agree
        arrays = (jnp.asarray(v, jnp.float64) for v in (params.W, params.b, rows, x, a.T, delta.T))
        found = jax.device_get(_measure(model.activation == "relu", *arrays, jnp.asarray(feature)))
    return Effects(feature, cosine, a.mean(0), **found)


@partial(jax.jit, static_argnums=0)
def _measure(
    relu: bool, W: Array, b: Array, rows: Array, x: Array, a: Array, delta: Array, feature: Array
) -> dict[str, Array]:
    """All of `Effects` that takes the model, one direction at a time: a and delta (k, batch)."""
    # Accelerators multiply in reduced precision unless told otherwise.
    matmul = partial(jnp.matmul, precision="highest")
    h = matmul(x, W.T)

    def output(h: Array) -> tuple[Array, Array]:
        z = matmul(h, W) + b[None]
        return (jnp.maximum(z, 0), z > 0) if relu else (z, jnp.ones_like(z, bool))

    before, was_open = output(h)

    def one(of: tuple[Array, Array, Array, Array]) -> dict[str, Array]:
        d, a, delta, i = of
        after, is_open = output(h + a[:, None] * d[None])
        change = after - before
        true = output(h + delta[:, None] * W[:, i][None])[0] - before
        predicted = a[:, None] * matmul(d, W)[None]
        held = was_open & is_open
        absolute = jnp.abs(change).mean(0)
        largest, effect = jnp.abs(predicted).max(), (true**2).sum()
        off = jnp.where(held, jnp.abs(change - predicted), 0).max()
        none = (i < 0) | (effect == 0)
        return {
            "predicted": predicted.mean(0),
            "realised": change.mean(0),
            "absolute": absolute,
            "open": held.mean(0),
            "realised_open": (change * held).sum(0) / jnp.maximum(held.sum(0), 1),
            "linear_error": _share(off, largest),
            "error": jnp.where(none, 1.0, jnp.sqrt(_share(((change - true) ** 2).sum(), effect))),
            "selectivity": jnp.where(i < 0, 0.0, _share(absolute[i], absolute.sum())),
        }

    return jax.lax.map(one, (rows, a, delta, feature))


def _share(part: Array, whole: Array) -> Array:
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0.0)
