"""Steering a latent is steering its feature, as far as the two agree: intervention error where the truth is known.

ReLU-output models of n=32 features in m=8 dimensions (I = 0.9^i) at four densities; on the hidden activations of each,
TopK SAEs of 48 latents at three k and three seeds, 2,000 steps of 512 examples. A latent is matched to a feature
one to one, by signed cosine; features of norm < 1/2 are not represented and left out. Steering moves the matched
feature by 1/2 in the projection on it (superposition.interventions.toy has the equations); its effect on the output
is held against moving the feature itself, over 2,048 fresh examples. The SAE with the k nearest to the true number
of active features stands for its density; the others give latents of worse cosine.

Command:  python -m experiments toy_steering
Time:     45 seconds on two cores
Expect:   steering error below 0.05 in the median where latents are found, that of random directions above 1
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoders.toy_steering.claims import claims
from experiments.autoencoders.toy_steering.config import REPRESENTED, Config
from experiments.autoencoders.toy_steering.draw import alt, draw
from experiments.lab.claim import Result
from superposition import AdamW, ReLUOutput, ToyRun, geometry
from superposition.activations import toy_stream
from superposition.features import SparseUniform
from superposition.interventions.toy import Effects, ablation_error, steering_error
from superposition.sae import TopK
from superposition.training import SAERun, fit, sweep
from superposition.training.optimizer import Adam
from superposition.typing import ToyParams

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train the toy models side by side, SAEs on each, and act on every latent."""
    model = ReLUOutput(config.n_features, config.n_hidden)
    trained = sweep(
        ToyRun(
            model,
            importance_base=config.importance_base,
            optimizer=AdamW(1e-2, weight_decay=0.0, schedule="cosine"),
            steps=config.toy_steps,
            batch_size=256,
        ),
        {"density": config.densities, "seed": range(1)},
    )
    rows: list[dict[str, Any]] = []
    shown: list[np.ndarray] = []
    for i, density in enumerate(config.densities):
        params = ToyParams(*(jnp.asarray(trained[name].values[i, 0]) for name in ("W", "b")))
        stream = toy_stream(jax.random.key(1), model, params, SparseUniform(density=density))
        sae = SAERun(
            TopK(d_in=config.n_hidden, d_sae=config.latents, k=config.ks[0]),
            Adam(config.learning_rate),
            steps=config.steps,
            batch_size=config.batch_size,
        )
        x = np.asarray(stream._replace(kept=None).sample(config.examples).features)  # all, the model's inputs
        norms = np.asarray(geometry.norms(params.W), float)
        ideal = steering_error(
            model, params, np.asarray(params.W).T, x, delta=config.delta, feature=range(model.n_features)
        )
        for t in fit(sae, stream, {"k": config.ks, "seed": range(config.seeds)}):
            seed, k = int(t.settings["seed"]), int(t.settings["k"])
            steered = steering_error(model, params, t.params["W_dec"], x, delta=config.delta)
            kept = (steered.feature >= 0) & (norms[steered.feature] > REPRESENTED)
            feature = steered.feature
            away = np.random.default_rng(seed).standard_normal((config.latents, config.n_hidden))
            away /= np.linalg.norm(away, axis=1, keepdims=True)
            random = steering_error(
                model,
                params,
                away,
                x,
                delta=config.delta,
                feature=feature,
                amount=config.delta * norms[feature],
            )
            ablated = ablation_error(model, params, t.sae, t.params, x, feature=feature)
            own = k == config.k_at(density)
            rows.append(
                {
                    "column": np.full(kept.sum(), i),
                    "own_k": np.full(kept.sum(), own),
                    "cosine": steered.cosine[kept],
                    "error": steered.error[kept],
                    "selectivity": steered.selectivity[kept],
                    "first": steered.absolute[kept].argmax(1) == feature[kept],
                    "linear_error": steered.linear_error[kept],
                    "ideal_selectivity": ideal.selectivity[feature[kept]],
                    "random_error": random.error[kept],
                    "random_selectivity": random.selectivity[kept],
                    "ablation_error": ablated.error[kept],
                }
            )  # fmt: skip
            if own and seed == 0:
                shown.append(_others(steered, kept))
    arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    arrays["interference"] = np.concatenate(shown, 1)
    return Result(config, claims(arrays), arrays)


def _others(effects: Effects, kept: np.ndarray) -> np.ndarray:
    """Predicted change, realised where open (NaN for never), realised in the mean, of all features not steered."""
    other = np.repeat(kept[:, None], effects.predicted.shape[1], 1)
    other[np.flatnonzero(kept), effects.feature[kept]] = False
    where_open = np.where(effects.open > 0, effects.realised_open, np.nan)
    return np.stack([v[other] for v in (effects.predicted, where_open, effects.realised)])
