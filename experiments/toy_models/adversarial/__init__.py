"""Superposition makes a model easy to attack: vulnerability rises with features per dimension, n=400, m=30.

Elhage et al. 2022, "Superposition and adversarial vulnerability": x is moved by at most 0.1 of the mean input
norm, along a row of W^T W, whichever hurts most (the paper's analytic attack), and the extra loss L' - L is
held against L'_0 - L_0, that of a model without superposition. The paper does not say whether that model sees
the same inputs; here it does, and so the same norm: features 0 to 29 have a dimension each, the others' means
are their biases. The other reading, the models of density 1 on their own, much larger inputs, is reported too.
Projected gradient ascent, which knows nothing of W, checks the analytic attack.

The models are those of `experiments.toy_models.shared.uniform`, which gives our training. Adversarial training, where the paper
says only that norms of 80 % were needed to remove superposition: n=20, m=5, density 0.05, AdamW, 1,500 steps
of 128 examples, learning rate 5e-3 falling to 0 as a cosine, each example attacked along rows in every step.

Command:  python -m experiments adversarial
Time:     four minutes on two cores, nearly all of it the 150 models that two other figures share
Expect:   vulnerability rises more than thirtyfold, in the same order as features per dimension
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.adversarial.claims import (
    agree_claims,
    converged_claims,
    removed_claims,
    rises_claims,
    tracks_claims,
)
from experiments.toy_models.adversarial.config import Config
from experiments.toy_models.adversarial.draw import alt, draw
from experiments.toy_models.shared.uniform import trained
from superposition import AdamW, ReLUOutput, SparseUniform, geometry
from superposition.theory.adversarial import along_rows, mean_input_norm, vulnerability
from superposition.toy import ToyModel
from superposition.typing import ToyParams

__all__ = ["SHARED", "Config", "alt", "draw", "run"]
SHARED = trained.__module__  # one training for three figures


def run(config: Config) -> Result:
    """Attack every model, and the one without superposition, at every density; train small ones under attack."""
    uniform = config.uniform
    model = ReLUOutput(uniform.n_features, uniform.n_hidden)
    models = trained(uniform)
    per_dimension = (models["W"] ** 2).sum((2, 3)) / uniform.n_hidden
    rows = [_attacks(config, model, models, i, p) for i, p in enumerate(uniform.densities)]
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    relative = found["extra"] / found["extra_plain"][:, None]
    ascent = found["extra_ascent"] / found["extra_plain"]
    error = found["error"] / found["extra_plain"][:, None]
    fractions = np.array(config.training_attacks)
    W, b = _trained_under_attack(config)
    training_dimension, represented = (W**2).sum((2, 3)) / config.hidden, geometry.represented(W)
    claims = [
        *rises_claims(config, relative, error, found),
        *tracks_claims(relative, per_dimension),
        *agree_claims(found),
        *converged_claims(uniform, models["loss"], config.longer),
        *removed_claims(config, fractions, represented, training_dimension),
    ]
    arrays = {
        "relative": relative,
        "relative_error": error,
        "ascent": ascent,
        "per_dimension": per_dimension,
        "norm": found["norm"],
        "extra": found["extra"],
        "extra_plain": found["extra_plain"],
        "training_attacks": fractions,
        "training_per_dimension": training_dimension,
        "training_represented": represented,
        "training_bias": b,
    }
    return Result(config, claims, arrays)


def _attacks(
    config: Config, model: ToyModel, models: dict[str, np.ndarray], i: int, p: float
) -> dict[str, Any]:
    """Extra losses at one density: of every seed, of the first under ascent, and without superposition."""
    n, m = model.n_features, model.n_hidden
    norm = config.attack * mean_input_norm(p, n)
    key = jax.random.key(0)  # the same inputs for every seed, and for the model compared with

    def extra(params: ToyParams, ascent: bool = False) -> tuple[float, float]:
        v = vulnerability(model, params, 1.0, p, norm, key=key, examples=config.examples, ascent=ascent)
        return float(v.attacked - v.clean), float(v.standard_error)

    def parameters(s: int) -> ToyParams:
        return ToyParams(jnp.asarray(models["W"][i, s]), jnp.asarray(models["b"][i, s]))

    plain = ToyParams(jnp.eye(m, n), jnp.where(jnp.arange(n) < m, 0.0, p / 2))
    every = np.array([extra(parameters(s)) for s in range(models["W"].shape[1])])
    return {
        "norm": norm,
        "extra": every[:, 0],
        "error": every[:, 1],
        "extra_plain": extra(plain)[0],
        "extra_ascent": extra(parameters(0), ascent=True)[0],
    }


def _trained_under_attack(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """W (fraction, seed, m, n) and b of small models trained on inputs attacked at fractions of the input norm."""
    model = ReLUOutput(config.features, config.hidden)
    law = SparseUniform(config.density)
    optimizer = AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine").build(config.steps)
    size = mean_input_norm(config.density, config.features)
    weight = jnp.ones(config.features)

    def one(fraction: Any, seed: Any) -> ToyParams:
        start, draws = jax.random.split(jax.random.key(seed))
        norm = fraction * size

        def loss(params: ToyParams, x: Any) -> Any:
            # An attack's direction is taken as given; with fraction 0 it is no attack.
            fixed = jax.lax.stop_gradient(params)
            change = jax.lax.stop_gradient(along_rows(model, fixed, x, weight, norm).change)
            outputs = jax.vmap(lambda e: model.apply(params, e))(x + change)
            return ((x - outputs) ** 2).sum(1).mean()

        def step(i: Any, carry: Any) -> Any:
            params, state = carry
            x = law.sample(jax.random.fold_in(draws, i), config.features, config.batch_size)
            updates, state = optimizer.update(jax.grad(loss)(params, x), state, params)
            return jax.tree.map(jnp.add, params, updates), state

        params = model.init_params(start)
        return jax.lax.fori_loop(0, config.steps, step, (params, optimizer.init(params)))[0]

    grid = jnp.asarray(config.training_attacks)[:, None], jnp.arange(config.seeds)[None]
    params = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(grid[0][:, 0], grid[1][0])
    return np.asarray(params.W), np.asarray(params.b)
