"""SAEs find the features that a toy model holds in superposition; PCA, ICA and random directions find few.

A ReLU-output model of n=32 features in m=8 dimensions (density 0.035, I = 0.9^i) stores those that pay for
their interference, norm > 1/2. Every trainable architecture is trained on its hidden activations W x with 48
latents, 3 seeds side by side, at an L0 of one (k; the controller's penalties get to 1.3 to 1.5), 2,000 steps
of 512 examples at 3e-3. A feature is found where a decoder row has cosine > 0.95 with its column of W, in
every seed.

Command:  python -m experiments sae_recovers_features
Time:     two minutes on two cores
Expect:   23 features represented, each found by three architectures or more, none by PCA
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoders.sae_recovers_features.claims import claims
from experiments.autoencoders.sae_recovers_features.config import Config
from experiments.autoencoders.sae_recovers_features.draw import alt, draw
from experiments.lab.claim import Result
from superposition import AdamW, ReLUOutput, ToyRun, metrics
from superposition.activations import Stream, toy_stream
from superposition.features import SparseUniform
from superposition.sae import ARCHITECTURES
from superposition.training import SAERun, fit, sweep
from superposition.training.optimizer import Adam
from superposition.typing import ToyParams

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train the toy model, then every architecture on its activations, and score them and the baselines."""
    stream = _toy(config)
    columns = np.asarray(stream.inputs["params"].W).T  # those of the features that the model left out too
    norms = np.linalg.norm(columns, axis=1)
    best: dict[str, np.ndarray] = {}
    l0: dict[str, float] = {}
    for name in config.architectures:
        found = fit(_recipe(name, config), stream, {"seed": range(config.seeds)})
        best[name] = np.array([_best(np.asarray(t.params["W_dec"]), columns) for t in found])
        l0[name] = float(np.mean([t.history["l0"][-8:].mean() for t in found]))
    x = np.asarray(stream.sample(16_384).x)
    for name, directions in _baselines(x, config).items():
        best[name] = _best(directions, columns)[None]
    arrays = {f"best_{name}": values for name, values in best.items()} | {"norms": norms, "W": columns.T}
    return Result(config, claims(best, norms, config, l0), arrays, {"l0": l0})


def _toy(config: Config) -> Stream:
    law, model = SparseUniform(density=config.density), ReLUOutput(config.n_features, config.n_hidden)
    recipe = ToyRun(
        model,
        law,
        importance_base=config.importance_base,
        optimizer=AdamW(1e-2, weight_decay=0.0, schedule="cosine"),
        steps=config.toy_steps,
        batch_size=256,
    )
    data = sweep(recipe, {"seed": range(1)})
    params = ToyParams(jnp.asarray(data["W"].values[0]), jnp.asarray(data["b"].values[0]))
    return toy_stream(jax.random.key(1), model, params, law)


def _recipe(name: str, config: Config) -> SAERun:
    cls = ARCHITECTURES[name]
    special: dict[str, dict[str, Any]] = {
        "bricken": {"resample_times": 0},
        "matching-pursuit": {"max_iterations": config.l0},
    }
    own = special.get(name, {}) | ({"k": config.l0} if hasattr(cls, "k") else {})
    return SAERun(
        cls(d_in=config.n_hidden, d_sae=config.latents, **own),
        Adam(config.learning_rate),
        steps=config.steps,
        batch_size=config.batch_size,
        l0_target=config.l0 if cls.penalised else None,
    )


def _baselines(x: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """Directions by name; an axis has no sign, so those of PCA, ICA and the neurons come with both."""
    from sklearn.decomposition import FastICA  # type: ignore[import-untyped]

    m = config.n_hidden
    ica = FastICA(m, whiten="unit-variance", max_iter=1_000, tol=1e-3, random_state=0).fit(x).mixing_.T
    pca = np.linalg.svd(x - x.mean(0), full_matrices=False)[2]
    both = {"ica": ica, "pca": pca, "identity": np.eye(m)}
    random = np.random.default_rng(0).standard_normal((config.latents, m))
    return {name: np.concatenate([rows, -rows]) for name, rows in both.items()} | {"random": random}


def _best(directions: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Largest cosine of any direction with each column, (n_features,)."""
    return np.asarray(metrics.cosines(directions.astype(float), columns.astype(float))).max(0)
