"""One feature made sparser turns the pentagon into two digons: two exact branches whose losses cross (n=5, m=2).

Elhage et al. 2022, "Non-Uniform Superposition": I = 1, density 0.05, the density of one feature varied. The
paper states no training: here both solutions are minimised exactly (expected loss in closed form, Newton) and
followed as the density changes, each minimum from its neighbour's. Behind them refits: AdamW, 2,000 steps of
256 examples, learning rate 1e-2 falling to 0 as a cosine, 10 seeds at each of 21 densities.

Command:  python -m experiments pentagon_digon
Time:     half a minute on two cores
Expect:   pentagon and digons cross at a relative density of 0.27, not 1/2.5; both are minima on both sides
"""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from experiments.lab.claim import Result
from experiments.toy_models.pentagon_digon.claims import (
    crosses_claim,
    first_order_claim,
    minima_claim,
    norms_claims,
    refits_claim,
    room_claim,
    shapes_claim,
    where_claim,
)
from experiments.toy_models.pentagon_digon.config import DIGONS, PAPER, PENTAGON, BranchPath, Config
from experiments.toy_models.pentagon_digon.draw import alt, draw
from experiments.toy_models.shared.sets import params
from superposition import AdamW, Correlated, ReLUOutput, SparseUniform, ToyParams, ToyRun, theory
from superposition.errors import ConfigError
from superposition.training import sweep

__all__ = ["Config", "alt", "draw", "run"]
INDEPENDENT = Correlated(n_sets=5)  # sets of one feature: the same law, by the faster exact loss


def _densities(baseline: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """(step, 5): feature 0 at relative times the baseline."""
    p = np.repeat((baseline * np.ones_like(relative))[:, None], 5, 1)
    p[:, 0] *= relative
    return p


def _follow(starts: ToyParams, baseline: float | np.ndarray, relative: np.ndarray) -> BranchPath:
    p = _densities(np.asarray(baseline), relative)
    return BranchPath(relative, theory.follow("relu", np.ones(5), p, starts, law=INDEPENDENT))


def _starts() -> ToyParams:
    """A pentagon, and two digons with feature 0 at zero."""
    angle = 2 * np.pi * np.arange(5) / 5
    digons = np.array([[0.0, 1, -1, 0, 0], [0, 0, 0, 1, -1]])
    b = np.array([[-0.25] * 5, [0.02, 0.001, 0.001, 0.001, 0.001]])
    return params(np.stack([1.15 * np.stack([np.cos(angle), np.sin(angle)]), digons]), b)


def _at(path: BranchPath, step: int) -> ToyParams:
    return params(path.found.W[:, step], path.found.b[:, step])


def _crossing(x: np.ndarray, loss: np.ndarray) -> float:
    """Where the two branches' losses (2, x) are equal, on a logarithmic axis; NaN if they are not."""
    gap = loss[PENTAGON] - loss[DIGONS]
    if not gap[0] * gap[-1] < 0:
        return float("nan")
    return float(np.exp(brentq(CubicSpline(np.log(x), gap), np.log(x[0]), np.log(x[-1]))))


def run(config: Config) -> Result:
    """Follow both branches up and down from the uniform case, find where they cross and end, and refit."""
    up = _follow(_starts(), config.baseline, np.geomspace(1, config.highest, config.points))
    down = _follow(_at(up, 0), config.baseline, np.geomspace(1, config.lowest, config.points + 1)[1:])
    whole = down.reversed().then(up)
    exists = whole.exists()
    both = np.flatnonzero(exists.all(0))
    gap = (whole.found.loss[PENTAGON] - whole.found.loss[DIGONS])[both]
    left = both[np.flatnonzero(gap > 0)[-1]] if (gap > 0).any() else both[0]
    fine = _follow(
        _at(whole, left),
        config.baseline,
        np.geomspace(whole.relative[left], whole.relative[left + 1], config.points),
    )
    crossing = _crossing(fine.relative, fine.found.loss)
    if np.isnan(crossing):  # known only once the branches have been followed; nothing is trained yet
        raise ConfigError(
            f"the branches do not cross where both were followed, in {config.points} steps down to lowest = "
            f"{config.lowest:g} at baseline = {config.baseline:g}; give more points, a baseline nearer 0.05 or a lowest "
            "nearer 0.1"
        )
    first = int(np.flatnonzero(exists[PENTAGON])[0])
    ending = _follow(
        _at(whole, first),
        config.baseline,
        np.geomspace(whole.relative[first], whole.relative[max(first - 1, 0)] * 0.99, config.points),
    )
    end = float(ending.relative[np.logical_and.accumulate(ending.exists()[PENTAGON])].min())
    # The baseline at which the paper's ratio would be right, and the limit of great sparsity at ratio 1.
    middle = int(np.argmin(np.abs(whole.relative - PAPER)))
    other = np.geomspace(config.baseline, 2.5 * config.baseline, config.points)
    ratio = _follow(_at(whole, middle), other, np.full(config.points, PAPER))
    tiny = np.geomspace(config.baseline, 1e-5, config.points)
    limit = _follow(_at(up, 0), tiny, np.ones(config.points))
    refits = _refit(config)
    at = np.array([0.1, 0.2, crossing, crossing, 0.5, 1.0, 2.0, 3.0])
    best = np.where(
        (whole.found.loss[PENTAGON] <= whole.found.loss[DIGONS]) & exists[PENTAGON], PENTAGON, DIGONS
    )
    nearest = np.abs(np.log(whole.relative[:, None] / at)).argmin(0)
    planes = np.stack([whole.found.W[best[k], k] for k in nearest])
    for k, branch in ((2, DIGONS), (3, PENTAGON)):
        planes[k] = fine.found.W[branch, np.abs(fine.relative - crossing).argmin()]
    baseline_at = _crossing(other, ratio.found.loss)
    return Result(
        config,
        [
            where_claim(crossing, baseline_at),
            crosses_claim(crossing, whole),
            first_order_claim(crossing, fine),
            minima_claim(crossing, whole, exists, end),
            shapes_claim(planes),
            room_claim(whole),
            *norms_claims(limit),
            refits_claim(refits, whole, exists),
        ],
        arrays={
            "relative": whole.relative,
            "loss": np.where(exists, whole.found.loss, np.nan),
            "curvature": np.where(exists, whole.found.curvature, np.nan),
            "refit_relative": refits["relative"],
            "refit_loss": refits["loss"],
            "planes": planes,
            "at": at,
        },
        numbers={"crossing": crossing, "pentagon_ends": end, "baseline_of_paper_ratio": baseline_at},
    )


def _refit(config: Config) -> dict[str, np.ndarray]:
    """Models trained on samples from random starts, and their exact losses."""
    relative = np.geomspace(config.lowest, config.highest, config.refit_densities)
    recipe = ToyRun(
        ReLUOutput(5, 2),
        SparseUniform(density=1.0),
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    densities = _densities(np.array(config.baseline), relative)
    data = sweep(recipe, {"density": densities.tolist(), "seed": range(config.seeds)})
    return {"relative": relative, "loss": data["loss"].values}
