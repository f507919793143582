"""The loss by how many features are active: feature benefit, interference, and which decides what is kept.

Elhage et al. 2022, "Mathematical Understanding", which has equations and no measurements: the linear loss as
feature benefit plus interference, and the ReLU loss as a sum over k active features with L_1 written out. Here
the equations are held against quadrature and the exact expected loss, and read on trained models: the
introduction's (n=5, m=2, I = 0.9^i) and the paper's second figure's (n=20, m=5, I = 0.7^i). AdamW without
decay, 1,500 steps of 128 examples, learning rate 1e-2 falling to 0 as a cosine, the best of 4 seeds by exact loss.

Command:  python -m experiments loss_decomposition
Time:     twenty seconds on two cores
Expect:   closed forms to 1e-10; what L_0 and L_1 leave falls as p^2.00
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.loss_decomposition.claims import (
    adds_up_claim,
    as_float,
    as_numpy,
    autodiff_claim,
    closed_forms_claim,
    decides_claim,
    dominates_claim,
    free_claim,
    linear_claim,
    order_claim,
)
from experiments.toy_models.loss_decomposition.config import TINY, Config
from experiments.toy_models.loss_decomposition.draw import alt, draw
from superposition import AdamW, ReLUOutput, ToyRun, geometry
from superposition.expected_loss import expected_losses, reference_loss
from superposition.expected_loss.by_count import count_weights, linear_terms, losses_by_count, one_active
from superposition.training import sweep
from superposition.typing import ToyParams

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train both models, take their losses apart, and hold the equations against numbers."""
    n, m = config.larger
    small, small_loss = _train(config, 5, 2, 0.9, config.densities)
    large, large_loss = _train(config, n, m, 0.7, config.larger_densities)
    importance, larger_importance = 0.9 ** np.arange(5), 0.7 ** np.arange(n)
    with jax.enable_x64(True):
        terms = np.array([as_float(losses_by_count(p, importance, activation="relu", most=5)) for p in small])
        more = np.array([as_float(losses_by_count(p, larger_importance, activation="relu")) for p in large])
        alone = np.array([as_float(one_active(p, importance, activation="relu")) for p in small])
        linear = np.array(
            [as_float(one_active(_unbiased(p), importance, activation="linear")) for p in small]
        )
        gradients = [_first_gradient(p, importance) for p in small]
        balance = _balance(small, importance, config.densities)
        saxe = [sum(as_float(term).sum() for term in linear_terms(p.W, importance)) for p in small]
    parts = terms * [count_weights(p, 5, 5) for p in config.densities]
    shares = parts / parts.sum(1, keepdims=True)
    larger = more * [count_weights(p, n, 2) for p in config.larger_densities]
    larger_shares = np.c_[larger, large_loss - larger.sum(1)] / large_loss[:, None]
    remainder = _remainder(small[-1], importance, terms[-1])
    claims = [
        closed_forms_claim(small, importance, terms),
        autodiff_claim(small, importance, gradients),
        adds_up_claim(small, importance, config.densities, parts),
        order_claim(remainder, terms[-1, 2]),
        linear_claim(small, importance, saxe, config.densities),
        free_claim(alone, linear, config.densities),
        dominates_claim(shares, config.densities),
        decides_claim(balance, config.densities),
    ]
    arrays = {
        "norms": np.array([geometry.norms(p.W) for p in small]),
        "terms": terms,
        "shares": shares,
        "larger_shares": larger_shares,
        "alone": alone / importance[:, None] * 3,
        "balance": balance,
        "remainder": remainder,
        "loss": small_loss,
        "larger_loss": large_loss,
    }
    return Result(config, claims, arrays)


def _train(
    config: Config, n: int, m: int, base: float, densities: tuple[float, ...]
) -> tuple[list[ToyParams], np.ndarray]:
    """The best seed's parameters at every density, float64, and their exact losses."""
    recipe = ToyRun(
        ReLUOutput(n, m),
        importance_base=base,
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    data = sweep(recipe, {"density": densities, "seed": range(config.seeds)})
    best = (np.arange(len(densities)), data["loss"].values.argmin(1))
    W, b = (data[name].values[best].astype(np.float64) for name in ("W", "b"))
    params = [as_numpy(*p) for p in zip(W, b, strict=True)]
    return params, data["loss"].values[best]


def _unbiased(params: ToyParams) -> ToyParams:
    return ToyParams(params.W, 0 * params.b)


def _first_gradient(params: ToyParams, importance: np.ndarray) -> ToyParams:
    """Autodiff of the closed form of L_1."""

    def first(p: ToyParams) -> Any:
        return losses_by_count(p, importance, activation="relu", most=1)[1]

    found = jax.grad(first)(ToyParams(jnp.asarray(params.W), jnp.asarray(params.b)))
    return as_numpy(found.W, found.b)


def _remainder(params: ToyParams, importance: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """L(p) - (1-p)^n L_0 - p (1-p)^(n-1) L_1 of one fixed model at small p."""
    return np.array(
        [
            reference_loss(params, importance, p, activation="relu") - count_weights(p, 5, 1) @ terms[:2]
            for p in TINY
        ]
    )


def _balance(models: list[ToyParams], importance: np.ndarray, densities: tuple[float, ...]) -> np.ndarray:
    """Per density: what keeping the least important feature gains it, what that costs the others, its norm.

    Where it is kept, against dropping it; where it is not, against the best of 96 ways to add it.
    """
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ways = np.concatenate([r * np.stack([np.cos(angles), np.sin(angles)], 1) for r in (0.7, 1.0)])

    @jax.jit
    def losses(W: Any, b: Any, p: Any) -> Any:
        one = partial(expected_losses, activation="relu", method="enumeration")
        return jax.lax.map(lambda q: one(q, p), ToyParams(W, b))

    rows = []
    for model, p in zip(models, densities, strict=True):
        kept = float(np.linalg.norm(model.W[:, -1])) > 0.5
        columns = np.concatenate([np.zeros((1, 2)), model.W[:, -1][None], ways])
        W = np.repeat(model.W[None], len(columns), 0)
        W[:, :, -1] = columns
        b = np.repeat(model.b[None], len(columns), 0)
        b[0, -1] = p / 2  # dropped, it is best replaced by its mean
        b[2:, -1] = 0
        found = importance * as_float(losses(jnp.asarray(W), jnp.asarray(b), p))
        base = found[0] if kept else found[1]
        change = found - base
        at = 1 if kept else 2 + int(change[2:].sum(1).argmin())
        rows.append([-change[at, -1], change[at, :-1].sum(), np.linalg.norm(model.W[:, -1])])
    return np.array(rows)
