"""Every feature's dimensionality against sparsity, which polytopes it comes from, and what lies near 4/9.

Elhage et al. 2022, "The Geometry of Superposition": D_i = ||W_i||^2 / sum_j (What_i . W_j)^2 clusters at 1, 3/4, 2/3,
1/2, 2/5, 3/8 and 0, as features arrange in tegum products of uniform polytopes. Models are those of
`experiments/toy_models/shared/uniform.py` (n=400, m=30, I=1; 30 densities from 1 to 0.01, five seeds), which says how they are
trained. Components: |cos| > 0.2 between features of norm > 1/2; names within 10 degrees. Readers of the paper
(Lorxus; koayon) found features near 4/9 and guessed at nine vectors in four dimensions: the models with most of
these are polished on the exact loss (120 steps of Adam, 3e-3 falling to 0).

Command:  python -m experiments feature_dimensionality
Time:     ten seconds after three minutes of training, which it shares with dimensions_per_feature
Expect:   pairs and pentagons; near 4/9 pairs that share dimensions with other pairs, not nine in four
"""

from collections import Counter
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from experiments.lab.claim import Result
from experiments.toy_models.feature_dimensionality.claims import (
    capacity_claim,
    cheapest_claim,
    gap_claim,
    named_claim,
    nine_in_four_claim,
    pairs_claim,
    peaks_claim,
    persists_claim,
    sparse_claim,
)
from experiments.toy_models.feature_dimensionality.config import CLUSTER, EDGE, NARROW_EDGE, Config
from experiments.toy_models.feature_dimensionality.draw import alt, draw
from experiments.toy_models.feature_dimensionality.kinds import kinds_of, shares_of
from experiments.toy_models.shared.blocks import blocks
from experiments.toy_models.shared.uniform import trained
from superposition import ToyParams, geometry, theory
from superposition.expected_loss import expected_loss
from superposition.theory import kgons

__all__ = ["SHARED", "Config", "alt", "draw", "run"]
SHARED = trained.__module__  # one training for three figures


def run(config: Config) -> Result:
    """Name every model's components, find the peaks of D_i, and look into the cluster near 4/9."""
    u = config.uniform
    models = trained(u)
    p, W, loss = np.asarray(u.densities), models["W"].astype(float), models["loss"]
    D, there = geometry.dimensionality(W), geometry.norms(W) > 0.5
    among = np.where(there, geometry.dimensionality(W * there[:, :, None]), 0.0)
    found = [[geometry.recognise(model, edge=EDGE) for model in row] for row in W]
    narrow = [[geometry.recognise(model, edge=NARROW_EDGE) for model in row] for row in W]
    best = loss.argmin(1)
    rows = np.arange(len(p))
    shown = [min(rows, key=lambda k: abs(np.log(p[k] * x))) for x in config.insets]
    inside = there & (CLUSTER[0] < D) & (CLUSTER[1] > D)
    polished = _polish_most(config, models, inside)
    census = [geometry.census(row) for row in found]
    winners = blocks(p).best()
    return Result(
        config,
        [
            capacity_claim(D, u.n_hidden),
            peaks_claim(D[there]),
            peaks_claim(
                among[there],
                " of 1/2 and 2/5 (interference with unlearned features left out)",
                ("1/2", "2/5"),
                "represented features' dimensionalities peak within 0.01 of 1/2, 2/3",
            ),
            named_claim(p, census),
            cheapest_claim(p, winners),
            sparse_claim(p, {EDGE: found, NARROW_EDGE: narrow}),
            nine_in_four_claim(W, inside),
            pairs_claim(W, inside, p),
            persists_claim(polished, u.n_hidden),
            gap_claim(polished),
        ],
        arrays={
            "inverse_density": 1 / p,
            "dimensionality": D[rows, best].round(4),
            "dimensions": u.n_hidden / (W**2).sum((-2, -1)),
            "kinds": np.array([kinds_of(found[k][s], u.n_features) for k, s in enumerate(best)]),
            "shares": np.array([shares_of(row) for row in found]),
            **{f"W{k}": W[k, best[k]][:, there[k, best[k]]].round(3) for k in shown},
        },
        numbers={"census": census, "insets": shown, "polished": polished, "cheapest": winners},
    )


def _polish_most(config: Config, models: dict[str, np.ndarray], inside: np.ndarray) -> list[dict[str, Any]]:
    """The represented features of the models with most of them near 4/9, on the exact loss."""
    count = inside.sum(-1)
    order = np.argsort(-count, axis=None, kind="stable")[: config.polished]
    chosen = [tuple(int(i) for i in np.unravel_index(k, count.shape)) for k in order]
    kept = [np.flatnonzero(geometry.norms(models["W"][at]) > 0.5) for at in chosen]
    size = max(1, *(len(features) for features in kept))
    return [
        _polish(config, models, k, s, features, size) for (k, s), features in zip(chosen, kept, strict=True)
    ]


def _polish(
    config: Config, models: dict[str, np.ndarray], k: int, seed: int, kept: np.ndarray, size: int
) -> dict[str, Any]:
    p = config.uniform.densities[k]
    W = np.zeros((config.uniform.n_hidden, size), np.float32)
    b, weight = np.zeros((2, size), np.float32)
    W[:, : len(kept)], b[: len(kept)] = models["W"][k, seed][:, kept], models["b"][k, seed][kept]
    weight[: len(kept)] = 1
    params, losses = _descend(
        config.polish_steps, ToyParams(jnp.asarray(W), jnp.asarray(b)), jnp.asarray(weight), p
    )
    W = np.asarray(params.W, float)[:, : len(kept)]
    dropped = (config.uniform.n_features - len(kept)) * float(theory.variance(p))
    found = geometry.recognise(W, edge=EDGE)
    names = Counter(c.name for c in found.components)
    return {
        "inverse_density": 1 / p,
        "names": dict(names),
        "dimensions": found.dimensions,
        "features": {n: sum(len(c.features) for c in found.components if c.name == n) for n in names},
        "rank": {n: sum(c.rank for c in found.components if c.name == n) for n in names},
        "dimensionality": {
            n: float(np.mean([c.dimensionality for c in found.components if c.name == n])) for n in names
        },
        "norms": [float(x) for x in np.quantile(geometry.norms(W), [0, 0.5, 1])] if len(kept) else [],
        "trained": float(models["loss"][k, seed]),
        "cut": float(losses[0]) + dropped,
        "polished": float(losses[-1]) + dropped,
        "last_tenth": float(losses[-1 - len(losses) // 10] - losses[-1]),
        "digons": float(kgons.digon_levels(config.uniform.n_features, config.uniform.n_hidden, p).min()),
    }


@partial(jax.jit, static_argnums=0)
def _descend(steps: int, params: ToyParams, weight: Array, p: Array) -> tuple[ToyParams, Array]:
    """Adam on the exact loss; features of weight 0 are padding, never active."""
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def loss(q: ToyParams) -> Array:
        return expected_loss(q, weight, p * weight, activation="relu")

    def step(carry: tuple[ToyParams, Any], _: None) -> tuple[tuple[ToyParams, Any], Array]:
        params, state = carry
        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), value

    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), None, length=steps)
    return params, losses
