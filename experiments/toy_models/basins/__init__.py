"""Which minimum training finds: end states over 20,000 seeds at n=5, m=2, and thousands at other sizes.

Not in a paper: Elhage et al. 2022 fit many models and keep the best, and say of no figure how many seeds that takes.
Here every end state is named by its geometry and counted, with exact binomial intervals, at ten densities from 1 to
0.01; all features have importance 1. Ours: Adam, learning rate 2e-2 falling to 0 as a cosine, 1,000 steps of 32
examples, 2,000 seeds a density (500 for the other sizes). The best loss known is the least of all seeds' exact
losses and of the k-gons with radius and bias at their best. The mean of the best of k is over all subsets of k seeds.

Command:  python -m experiments basins
Time:     one and a half minutes on two cores
Expect:   at 1-S = 0.1 nine in ten seeds or more end in the best state, a pentagon; near 1-S = 0.2 four in ten do
"""

from collections import Counter
from typing import Any

import numpy as np
from scipy.optimize import brentq

from experiments.lab.claim import Result
from experiments.toy_models.basins.claims import claims, hexagon_claim
from experiments.toy_models.basins.config import Config
from experiments.toy_models.basins.draw import alt, draw
from superposition import AdamW, ReLUOutput, ToyRun, geometry, theory
from superposition.theory.best_of import expected_minimum, models_needed
from superposition.theory.kgons import kgon, kgon_levels
from superposition.training import sweep

__all__ = ["Config", "alt", "draw", "run"]
GOOD = 0.01  # of the best known loss


def run(config: Config) -> Result:
    """Train, name, count."""
    density = np.geomspace(1, config.lowest_density, config.densities)
    loss, names = _ends(config, 5, 2, density, config.seeds)
    levels = [kgon_levels(5, float(p)) for p in density]
    known = np.minimum(loss.min(1), [min(level.values()) for level in levels])
    good = loss < (1 + GOOD) * known[:, None]
    pentagon = np.array([[name == "pentagon" for name in row] for row in names])
    ks = np.unique(np.geomspace(1, min(config.most, config.seeds), 40).astype(int))
    arrays: dict[str, np.ndarray] = {
        "density": density, "known": known, "good": good.mean(1), "pentagon": pentagon.mean(1), "k": ks,
        "excess": np.stack([expected_minimum(row, ks) for row in loss]) / known[:, None] - 1,
        "optimum": np.array([names[d][int(row.argmin())] for d, row in enumerate(loss)]),
    }  # fmt: skip
    arrays["crossing"] = np.array(_crossing())
    numbers: dict[str, Any] = {"shares": {"n = 5, m = 2": [_shares(row) for row in names]}}
    lines, extra = [], []
    for n, m in config.others:
        other_loss, other_names = _ends(config, n, m, np.array(config.other_densities), config.other_seeds)
        numbers["shares"][f"n = {n}, m = {m}"] = [_shares(row) for row in other_names]
        lines += _needed(n, m, config.other_densities, other_loss, other_names)
        if (n, m) == (6, 2):
            extra = [hexagon_claim(config.other_densities, other_loss, other_names)]
    found = claims(config, density, good, pentagon, arrays, levels, loss, names, lines)
    return Result(config, [*found, *extra], arrays, numbers)


def _ends(
    config: Config, n: int, m: int, density: np.ndarray, seeds: int
) -> tuple[np.ndarray, list[list[str]]]:
    """Exact loss (density, seed) and name of every end state."""
    recipe = ToyRun(
        ReLUOutput(n, m),
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    # Seeds are independent; draws of their own make large blocks, which costs less than sharing a few.
    data = sweep(recipe, {"density": density.tolist(), "seed": range(seeds)}, share_draws=False)
    return data["loss"].values, [[geometry.recognise(w).name for w in row] for row in data["W"].values]


def _shares(names: list[str]) -> dict[str, float]:
    return {name: count / len(names) for name, count in Counter(names).most_common()}


def _crossing() -> float:
    """Density at which the pentagon and two digons, one feature dropped, have the same exact loss."""

    def gap(log_p: float) -> float:
        p = float(np.exp(log_p))
        return 5 * kgon(5, p).loss - 4 * kgon(4, p).loss - float(theory.variance(p))

    return float(np.exp(brentq(gap, np.log(0.15), np.log(0.35), xtol=1e-4)))


def _needed(
    n: int, m: int, densities: tuple[float, ...], loss: np.ndarray, names: list[list[str]]
) -> list[tuple[str, float]]:
    """A line and the seeds needed, for every density of another model."""
    found = []
    for p, row, name in zip(densities, loss, names, strict=True):
        share = float((row < (1 + GOOD) * row.min()).mean())
        found.append(
            (f"n={n}, m={m}, {p:g}: {name[int(row.argmin())]} {100 * share:.0f} %", models_needed(share))
        )
    return found
