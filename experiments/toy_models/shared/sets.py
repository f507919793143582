"""What the experiments on features in sets share: trained seeds, and the exact minimum they are held against."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from experiments.lab.settings import Count, Positive
from superposition import AdamW, ReLUOutput, ToyParams, ToyRun, geometry, theory
from superposition.features import FeatureLaw
from superposition.training import sweep


@dataclass(frozen=True)
class Training:
    """Seeds a density, and how each is trained: AdamW, the learning rate falling to 0 as a cosine."""

    seeds: Count = 24
    steps: Count = 1_500
    batch_size: Count = 128
    learning_rate: Positive = 1e-2


@dataclass(frozen=True)
class Found:
    """Trained W (density, seed, m, n) and loss (density, seed), and the exact minimum at every density."""

    density: np.ndarray
    W: np.ndarray
    b: np.ndarray
    loss: np.ndarray
    power: np.ndarray
    exact: theory.Minimum

    def best(self) -> np.ndarray:
        """W of the best seed at every density, (density, m, n)."""
        return self.W[np.arange(len(self.W)), self.loss.argmin(1)]

    def excess(self) -> np.ndarray:
        """Loss beyond the exact minimum as a share of E |x|^2, the loss of a model of zeros, (density, seed)."""
        return (self.loss - self.exact.loss[:, None]) / self.power[:, None]


def params(W: Any, b: Any) -> ToyParams:
    """Parameters of NumPy arrays, which keep double precision."""
    return ToyParams(W, b)


def found(law: FeatureLaw, n: int, density: np.ndarray, training: Training) -> Found:
    """Train on sets of features at every density (m = 2); minimise exactly from the best seeds and neighbours'."""
    recipe = ToyRun(
        ReLUOutput(n, 2),
        law,
        optimizer=AdamW(training.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=training.steps,
        batch_size=training.batch_size,
    )
    data = sweep(recipe, {"density": density.tolist(), "seed": range(training.seeds)})
    W, b, loss = (data[name].values for name in ("W", "b", "loss"))
    # Two starts a density here, and two neighbours later: one shape, one compilation.
    rank = np.argsort(loss, 1)[:, [0, min(1, training.seeds - 1)]]
    rows = np.arange(len(density))[:, None]
    exact = minimum(law, n, density, params(W[rows, rank], b[rows, rank]))
    power = np.array([np.trace(replace(law, density=float(p)).second_moment(n)) for p in density])
    return Found(density, W, b, loss, power, settled(law, n, density, exact))


def minimum(law: FeatureLaw, n: int, density: np.ndarray, starts: ToyParams) -> theory.Minimum:
    """The best of what `starts` (density, start, ...) lead to, each a little off any saddle."""
    off = 1e-3 * np.asarray(jax.random.normal(jax.random.key(0), starts.W.shape))
    return theory.exact_minimum(
        "relu",
        np.ones((len(density), n)),
        density,
        2,
        key=jax.random.key(0),
        restarts=0,
        starts=params(np.asarray(starts.W, np.float64) + off, starts.b),
        newton_steps=10,
        law=law,
    )


def settled(
    law: FeatureLaw, n: int, density: np.ndarray, best: theory.Minimum, rounds: int = 6
) -> theory.Minimum:
    """Every density tries its neighbours' solutions until none improves by 1e-7 of itself."""
    index = np.arange(len(density))
    for _ in range(rounds):
        near = np.clip(index[:, None] + np.array([[-1, 1]]), 0, len(density) - 1)
        again = minimum(law, n, density, params(best.W[near], best.b[near]))
        better = again.loss < best.loss * (1 - 1e-7)
        if not better.any():
            break
        best = choose(better, again, best)
    return best


def choose(first: np.ndarray, a: theory.Minimum, b: theory.Minimum) -> theory.Minimum:
    """Row by row, a where `first`, else b."""
    parts: Any = zip(a, b, strict=True)
    return theory.Minimum(*(np.where(first.reshape(-1, *(1,) * (x.ndim - 1)), x, y) for x, y in parts))


def partners(W: np.ndarray, per_set: int = 2) -> np.ndarray:
    """Cosines of the pairs inside a set, (..., pairs); W (..., m, n), sets of two. NaN where a feature is absent."""
    cosines = geometry.cosines(W)
    first = np.arange(0, W.shape[-1], per_set)
    there = geometry.norms(W) > 0.3
    both = there[..., first] & there[..., first + 1]
    return np.where(both, cosines[..., first, first + 1], np.nan)
