"""SAEs find the features that a toy model holds in superposition; PCA, ICA and random directions find few.

A ReLU-output model of n=32 features in m=8 dimensions (density 0.035, I = 0.9^i) stores those that pay for
their interference, norm > 1/2. Every trainable architecture is trained on its hidden activations W x with 48
latents, 3 seeds side by side, at an L0 of one (k; the controller's penalties get to 1.3 to 1.5), 2,000 steps
of 512 examples at 3e-3. A feature is found where a decoder row has cosine > 0.95 with its column of W, in
every seed.

Command:  python -m experiments.sae_recovers_features
Time:     two minutes on two cores
Expect:   23 features represented, each found by three architectures or more, none by PCA
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from superposition import AdamW, ReLUOutput, ToyRun, metrics, plot
from superposition.activations import Stream, toy_stream
from superposition.features import SparseUniform
from superposition.sae import ARCHITECTURES
from superposition.training import SAERun, fit, sweep
from superposition.training.optimizer import Adam
from superposition.typing import ToyParams

TRAINED = tuple(name for name, cls in ARCHITECTURES.items() if cls.trains)
BASELINES = ("ica", "pca", "identity", "random")
REPRESENTED, FOUND = 0.5, metrics.recovery.FOUND
WORK = "Bricken 2023"


@dataclass(frozen=True)
class Config:
    """Toy model, SAEs and training."""

    n_features: int = 32
    n_hidden: int = 8
    density: float = 0.035
    importance_base: float = 0.9
    toy_steps: int = 3_000
    architectures: tuple[str, ...] = TRAINED
    latents: int = 48
    l0: int = 1
    seeds: int = 3
    steps: int = 2_000
    batch_size: int = 512
    learning_rate: float = 3e-3

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        few = ("relu", "topk")
        return cls(toy_steps=20, architectures=few, seeds=1, steps=20, batch_size=64)


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
    return Result(config, _claims(best, norms, config, l0), arrays, {"l0": l0})


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


def _claims(
    best: dict[str, np.ndarray], norms: np.ndarray, config: Config, l0: dict[str, float]
) -> list[Claim]:
    kept = norms > REPRESENTED
    # By the seed that finds fewest: an architecture has found a feature when every seed has.
    hits = {name: (values > FOUND).all(0) & kept for name, values in best.items()}
    counts = {name: int(found.sum()) for name, found in hits.items()}
    by = sum(hits[name].astype(int) for name in config.architectures)
    total, least = int(kept.sum()), int(np.asarray(by)[kept].min(initial=99))
    words = ", ".join(f"{name} {counts[name]}" for name in config.architectures)
    return [
        Claim(
            WORK,
            "every feature the model represents (norm > 1/2, density <= 0.05) is found by two architectures or more",
            "sparse autoencoders take features out of superposition",
            f"{total} features in {config.n_hidden} dimensions, each found by {least} or more; in every seed: {words}",
            least >= 2 and config.density <= 0.05 and total > config.n_hidden,
        ),
        Claim(
            WORK,
            "methods that return at most as many directions as dimensions find clearly fewer (half, or less)",
            "PCA and the like cannot find more features than dimensions",
            ", ".join(f"{name} {counts[name]}" for name in BASELINES if name != "random") + f" of {total}",
            max(counts[name] for name in ("ica", "pca", "identity")) <= total / 2,
        ),
        Claim(
            WORK,
            "as many random directions as latents find clearly fewer (half, or less)",
            "(our measurement)",
            f"random {counts['random']} of {total}",
            counts["random"] <= total / 2,
        ),
        Claim(
            WORK,
            f"at an L0 of {min(l0.values()):.1f} to {max(l0.values()):.1f} every architecture finds every represented feature",
            "(our measurement)",
            words,
            all(counts[name] == total for name in config.architectures),
            expected=False,
        ),
    ]


def draw(result: Result) -> Figure:
    """Largest cosine of every feature, a row a method, the seed that finds fewest."""
    names = [*result.config.architectures, *BASELINES]
    shown = {name: result.arrays[f"best_{name}"].min(0) for name in names}
    return plot.found(shown, result.arrays["norms"], represented=REPRESENTED, bar=FOUND)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    kept = result.arrays["norms"] > REPRESENTED
    names = [*result.config.architectures, *BASELINES]
    counts = [f"{name} {int((result.arrays[f'best_{name}'].min(0) > FOUND)[kept].sum())}" for name in names]
    return (
        f"Largest cosine with each of {int(kept.sum())} represented features; found by "
        + ", ".join(counts)
        + "."
    )


if __name__ == "__main__":
    main(__name__)
