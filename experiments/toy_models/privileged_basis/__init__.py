"""A ReLU in the hidden layer makes neurons mean something: one feature each, then codes (n=10, m=5, best of 1,000).

Elhage et al. 2022, "Superposition in a privileged basis": h = ReLU(W x), x' = ReLU(W^T h + b), I_i = 0.75^i; 1,000
models a sparsity, of which the one with the lowest loss is shown. The paper states no training settings. Ours: AdamW
without decay, 1,500 steps of 64 examples, learning rate 0.04 falling to 0 as a cosine; the best 24 of each sparsity
train on for 2,000 steps of 512 examples from 0.03, and the best one of each structure among them is judged on
3,145,728 common examples with two or more active features (fewer are exact). A feature's code is the set of neurons
it turns on: those whose weight is over half of its largest. A negative weight silences a neuron: it is in no code.

Command:  python -m experiments privileged_basis
Time:     two minutes on two cores
Expect:   five monosemantic neurons; a binary code; 5 features in 3 neurons; 8 or 9 in 5; ten pairs of neurons
"""

from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.privileged_basis.claims import regimes, statistics
from experiments.toy_models.privileged_basis.config import MODEL, Config, Finalist, Found
from experiments.toy_models.privileged_basis.draw import alt, draw
from superposition.expected_loss.stratified import stratified_loss
from superposition.geometry.neurons import neurons
from superposition.training import sweep
from superposition.training.refine import refine

__all__ = ["Config", "alt", "draw", "run"]


class _Models(NamedTuple):
    """Parameters of models on the host, W (density, model, m, n) and b (density, model, n)."""

    W: np.ndarray
    b: np.ndarray


def run(config: Config) -> Result:
    """Train, keep the best of each density, train those on, choose among them, and read off their codes."""
    short = config.recipe(config.steps, config.batch_size, config.learning_rate)
    axes = {"density": config.densities, "seed": range(config.seeds)}
    data = sweep(short, axes, share_draws=False)
    every, first = data["W"].values, data["loss"].values
    order = first.argsort(1)[:, : config.kept]
    rows = np.arange(len(order))[:, None]
    kept = _Models(every[rows, order], data["b"].values[rows, order])
    long = config.recipe(config.refine_steps, config.refine_batch_size, config.refine_learning_rate)
    flat = _Models(*(a.reshape(-1, *a.shape[2:]) for a in kept))
    refined = refine(long, flat, density=np.repeat(config.densities, order.shape[1]))
    better = _Models(*(a.reshape(b.shape) for a, b in zip(refined, kept, strict=True)))
    before, after = (_losses(config, models, 0).mean(2) for models in (kept, better))
    chosen, structures = _finalists(config, better, after)
    last = _Models(better.W[rows, chosen], better.b[rows, chosen])
    final = _losses(config, last, 1)
    found = []
    for k, density in enumerate(config.densities):
        names = [neurons(w).name for w in every[k] if np.isfinite(w).all()]
        ranked = _ranked(structures[k], last.W[k], last.b[k], final[k])
        gain = float(before[k].min() / after[k].min() - 1)
        found.append(Found(density, ranked, Counter(names), gain))
    best = [f.best for f in found]
    return Result(
        config,
        [*regimes(found), *statistics(config.seeds, found)],
        arrays={
            "W": np.stack([one.W for one in best]),
            "b": np.stack([one.b for one in best]),
            "loss": np.array([one.loss for one in best]),
            "share_of_models": np.array([f.share for f in found]),
            "loss_quantiles": np.nanquantile(first, (0.0, 0.01, 0.1, 0.5), axis=1).T,
        },
        numbers={
            "structure": [f.neurons.name for f in found],
            "above_the_best": [{k: one.gap for k, one in f.finalists.items()} for f in found],
            "structures_of_all_models": [dict(f.every.most_common(4)) for f in found],
        },
    )


@partial(jax.jit, static_argnums=0)
def _evaluate(examples: int, keys: Any, importance: Any, models: Any, density: Any) -> jax.Array:
    """Loss of every model on draws that all of them share, one a key, (model, key)."""

    def one(params: Any, p: jax.Array) -> jax.Array:
        def draw(key: jax.Array) -> jax.Array:
            return stratified_loss(MODEL, params, importance, p, key=key, examples=examples).loss

        return jax.lax.map(draw, keys)

    return jax.lax.map(lambda args: one(*args), (models, density))


def _losses(config: Config, models: _Models, stage: int) -> np.ndarray:
    """Loss of models (density, model, ...) on common draws: (density, model, draws)."""
    importance = config.importance_base ** np.arange(MODEL.n_features)
    count, each = models.b.shape[:2]
    density = np.repeat(np.asarray(config.densities, np.float32), each)
    flat = _Models(*(a.reshape(-1, *a.shape[2:]) for a in models))
    keys = jax.random.split(jax.random.key(stage), config.draws[stage])
    found = _evaluate(config.examples, keys, importance, flat, density)
    return np.asarray(found, np.float64).reshape(count, each, -1)


def _finalists(config: Config, models: _Models, losses: np.ndarray) -> tuple[np.ndarray, list[list[str]]]:
    """The best model of each structure, at most `finalists` of them (density, finalists), and the structures."""
    chosen, structures = [], []
    for W, loss in zip(models.W, losses, strict=True):
        best: dict[str, int] = {}
        for j in loss.argsort():
            best.setdefault(neurons(W[j]).name, int(j))
        names = list(best)[: config.finalists]
        rows = [best[name] for name in names]
        chosen.append(rows + rows[:1] * (config.finalists - len(rows)))
        structures.append(names)
    return np.array(chosen), structures


def _ranked(names: list[str], W: np.ndarray, b: np.ndarray, losses: np.ndarray) -> dict[str, Finalist]:
    """Finalists by loss on the final draws, (finalist, draws); gaps are of paired draws."""
    ranking = losses[: len(names)].mean(1).argsort()
    least = losses[ranking[0]]
    result = {}
    for j in ranking:
        excess = (losses[j] - least) / least.mean()
        error = float(excess.std(ddof=1) / np.sqrt(len(excess)))
        result[names[j]] = Finalist(W[j], b[j], float(losses[j].mean()), float(excess.mean()), error)
    return result
