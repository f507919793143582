"""An L1 penalty on the hidden layer takes superposition away, and features with it: n=20, m=5, I=0.7^i.

Elhage et al. 2022, "Approach 1: Creating Models Without Superposition": lambda ||h||_1 is added to the loss, which
removes superposition at the cost of a higher loss, and kills features below a threshold of importance, especially
where they are not aligned with the basis. The threshold follows from one feature alone on one hidden dimension:
per active example it costs I (1 - w^2)^2 / 3 + lambda w / 2, against I / 3 where it is dropped, so it is kept where
c = 3 lambda / (2 I) < max_w w (2 - w^2) = (4/3) sqrt(2/3), with 4 w (1 - w^2) = c: from I > 1.378 lambda on.
The paper states no settings. Ours: density 0.01, Adam, 6,000 steps of 256 examples in which some feature fires,
learning rate 1e-2 falling to 0 as a cosine, the best of 5 seeds by penalised loss on 65,536 common examples.

Command:  python -m experiments l1_penalty
Time:     a quarter of a minute on two cores
Expect:   no feature below the threshold, and all above it where they are five or fewer, along the axes, a dimension each;
          where more are above, most of them, in antipodal pairs, though all of them in pairs would cost less
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from scipy.optimize import brentq

from experiments.lab.claim import Result
from experiments.toy_models.l1_penalty.claims import (
    along_axes_claim,
    costs_claim,
    lengths_claim,
    pairs_claim,
    removed_claim,
    stuck_claim,
    threshold_claim,
)
from experiments.toy_models.l1_penalty.config import THRESHOLD, Config
from experiments.toy_models.l1_penalty.draw import alt, draw
from superposition import ReLUOutput, SparseUniform, geometry
from superposition.expected_loss import reference_loss
from superposition.typing import ToyParams

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train under every penalty, and read off what is kept, how it lies and what it costs."""
    importance, penalties = config.importance(), config.penalties()
    W, b, penalised = _trained(config)
    by_hand = _by_hand(config)
    loss = np.array(
        [
            reference_loss(ToyParams(w, c), importance, config.density, activation="relu")
            for w, c in zip(W, b, strict=True)
        ]
    )
    lengths = geometry.norms(W)
    there = lengths > 0.5
    aligned = np.abs(W).max(1) / np.where(lengths > 0, lengths, 1)
    found = [geometry.recognise(w).name for w in W]
    expected = np.array([[_length(i, penalty) for i in importance] for penalty in penalties])
    claims = [
        removed_claim(config, geometry.interference(W), there, found),
        costs_claim(config, loss),
        threshold_claim(config, there),
        lengths_claim(lengths, expected, there),
        along_axes_claim(aligned, there),
        pairs_claim(config, W, there, found),
        stuck_claim(config, penalised[1:] / by_hand - 1),
    ]
    arrays = {
        "W": W,
        "b": b,
        "penalty": penalties,
        "loss": loss,
        "penalised": penalised,
        "by_hand": by_hand,
        "predicted_norm": expected,
    }
    return Result(config, claims, arrays, numbers={"structure": found})  # fmt: skip


def _length(importance: float, penalty: float) -> float:
    """Norm of a lone feature at its optimum, 4 w (1 - w^2) = 3 lambda / (2 I); 0 where dropping it costs less."""
    if importance <= THRESHOLD * penalty:
        return 0.0
    c = 3 * penalty / (2 * importance)
    return float(
        brentq(lambda w: 4 * w * (1 - w**2) - c, np.sqrt(1 / 3), 1.0)
    )  # the greater root is the minimum


def _trained(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W (penalty, m, n), b (penalty, n) and penalised loss (penalty,) of every penalty's best seed."""
    model = ReLUOutput(config.n_features, config.n_hidden)
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))

    @partial(jax.vmap, in_axes=(0, None))
    @partial(jax.vmap, in_axes=(None, 0))
    def train(penalty: Array, seed: Array) -> tuple[ToyParams, Array]:
        start, draws = jax.random.split(jax.random.key(seed))

        def step(i: Any, carry: Any) -> Any:
            params, state = carry
            x = _draw(config, jax.random.fold_in(draws, i), config.batch_size)
            slope = jax.grad(_penalised)(params, config, penalty, x)
            updates, state = optimizer.update(slope, state, params)
            return optax.apply_updates(params, updates), state

        begun = model.init_params(start)
        params = jax.lax.fori_loop(0, config.steps, step, (begun, optimizer.init(begun)))[0]
        return params, _judged(params, config, penalty)

    params, values = jax.jit(train)(jnp.asarray(config.penalties(), jnp.float32), jnp.arange(config.seeds))
    best = np.arange(len(values)), np.asarray(values).argmin(1)
    W, b, value = (np.asarray(a, float)[best] for a in (*params, values))
    return W, b, value


def _draw(config: Config, key: Array, count: int) -> Array:
    return SparseUniform(config.density).sample(key, config.n_features, count, conditional=True)


def _penalised(params: ToyParams, config: Config, penalty: Any, x: Array) -> Array:
    """Loss and penalty on examples in which some feature fires, and on the one in which none does, by their chances."""
    model, weight = ReLUOutput(config.n_features, config.n_hidden), jnp.asarray(config.importance(), x.dtype)

    def one(e: Array) -> Array:
        return model.loss(params, e, weight) + penalty * jnp.abs(model.encode(params, e)).sum()

    some = -np.expm1(config.n_features * np.log1p(-config.density))
    return some * jax.vmap(one)(x).mean() + (1 - some) * one(jnp.zeros(config.n_features))


def _judged(params: ToyParams, config: Config, penalty: Any) -> Array:
    """The same on common examples."""
    return _penalised(params, config, penalty, _draw(config, jax.random.key(2022), config.examples))


def _by_hand(config: Config) -> np.ndarray:
    """Penalised loss where each feature above the threshold lies along an axis, those past the last axis opposite others."""
    m, judged = config.n_hidden, jax.jit(_judged, static_argnums=1)
    values = []
    for penalty, k in zip(config.penalties()[1:], config.left, strict=True):
        W, b = np.zeros((m, config.n_features)), np.full(config.n_features, config.density / 2)
        for i, importance in enumerate(config.importance()[:k]):
            W[i if i < m else 2 * m - 1 - i, i] = _length(importance, penalty) * (1 if i < m else -1)
        b[:k] = 0
        values.append(float(judged(ToyParams(jnp.asarray(W), jnp.asarray(b)), config, penalty)))
    return np.array(values)
