"""From PCA to superposition: with falling density, collapsed pairs of correlated features come apart one by one.

Elhage et al. 2022, "Collapsing of correlated features": six features in three correlated pairs, m=2, I=1. The
paper states no training; here AdamW, 1,500 steps of 128 examples, learning rate 1e-2 falling to 0 as a cosine,
10 seeds at each of 24 densities of a pair. The exact optimum at a density is the least of what Newton's method on
the exact expected loss makes of the best two seeds and of the neighbouring densities' optima; the steps are then
located on two finer grids, each point started from both sides of the step.

Command:  python -m experiments pca_to_superposition
Time:     a minute on two cores
Expect:   3, 2, 1, 0 collapsed pairs as the density falls; the steps at 0.39, 0.14 and 0.071
"""

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.pca_to_superposition.claims import (
    hexagon_claim,
    position_claim,
    ranges_claim,
    seeds_claim,
    sequence_claim,
    stored_claim,
    typical_claim,
)
from experiments.toy_models.pca_to_superposition.config import COLLAPSED, Config
from experiments.toy_models.pca_to_superposition.draw import alt, draw
from experiments.toy_models.shared.sets import found, minimum, params, partners
from superposition import Correlated, theory

__all__ = ["Config", "alt", "draw", "run"]
LAW = Correlated(n_sets=3)
STEPS = ((1, 0.05, 0.05), (2, 0.15, 0.15), (3, 0.2, 0.25))  # count above a step, and where the paper has it


def run(config: Config) -> Result:
    """Train, minimise exactly, count collapsed pairs, and find where their number changes."""
    density = np.geomspace(config.lowest, config.highest, config.densities)
    f = found(LAW, 6, density, config.training)
    best = theory.Minimum(*f.exact)
    for _ in range(2):
        density, best = _refined(density, best, config.densities)
    count = _collapsed(best.W)
    by_seed = _collapsed(f.W)
    shares = np.stack([(by_seed == c).mean(1) for c in range(4)], 1)
    at = _shown(density, count)
    steps = {c: _step(density, count, c) for c, _, _ in STEPS}
    return Result(
        config,
        [
            sequence_claim(density, count),
            *(position_claim(steps[c], c, low, high) for c, low, high in STEPS),
            ranges_claim(density, count),
            stored_claim(density, best.W, count),
            hexagon_claim(density, best.W),
            typical_claim(f.density, by_seed),
            seeds_claim(f.excess(), by_seed, _collapsed(f.exact.W)),
        ],
        arrays={
            "density": density,
            "collapsed": count,
            "cosines": np.nan_to_num(np.sort(partners(best.W), -1)),
            "loss": best.loss,
            "planes": best.W[at],
            "at": density[at],
            "seed_density": f.density,
            "seed_shares": shares,
        },
        numbers={f"step to {c}": None if np.isnan(x) else x for c, x in steps.items()}
        | {"largest gradient": float(best.gradient.max())},
    )


def _collapsed(W: np.ndarray) -> np.ndarray:
    """How many pairs have cos > 0.98, (...)."""
    return np.asarray((partners(W) > COLLAPSED).sum(-1))


def _refined(density: np.ndarray, best: theory.Minimum, points: int) -> tuple[np.ndarray, theory.Minimum]:
    """`points` more densities between those where the count changes, started from both sides."""
    changes = np.flatnonzero(np.diff(_collapsed(best.W)))
    if not len(changes):
        return density, best
    share = max(1, points // len(changes))
    left = np.repeat(changes, share)[:points]
    left = np.concatenate([left, np.full(points - len(left), left[-1])])
    step = (np.concatenate([np.arange(share)] * len(changes) + [np.arange(points)])[:points] + 1) / (
        share + 1
    )
    step = np.minimum(step, 1.0)
    new = density[left] ** (1 - step) * density[left + 1] ** step
    sides = np.stack([left, left + 1], 1)
    extra = minimum(LAW, 6, new, params(best.W[sides], best.b[sides]))
    density, order = np.unique(np.concatenate([density, new]), return_index=True)
    return density, theory.Minimum(*(np.concatenate(pair)[order] for pair in zip(best, extra, strict=True)))


def _step(density: np.ndarray, count: np.ndarray, above: int) -> float:
    """Density at which the count first reaches `above` as density rises; NaN if never."""
    reached = np.flatnonzero(count >= above)
    if not len(reached) or reached[0] == 0:
        return float("nan")
    return float(np.sqrt(density[reached[0]] * density[reached[0] - 1]))


def _shown(density: np.ndarray, count: np.ndarray) -> np.ndarray:
    """One optimum in the middle of every stretch of equal count, and both ends."""
    edges = np.flatnonzero(np.diff(count)) + 1
    parts = np.split(np.arange(len(density)), edges)
    long = [part for part in parts if density[part[-1]] / density[part[0]] > 1.1]
    middles = [
        part[np.abs(np.log(density[part] ** 2 / density[part[0]] / density[part[-1]])).argmin()]
        for part in long
    ]
    return np.unique([0, *middles, len(density) - 1])
