"""How many dimensions a feature gets as sparsity grows: D* = m / ||W||_F^2, sticky at 1 and at 1/2.

Elhage et al. 2022, "The Geometry of Superposition": 400 equally important features in 30 dimensions; ||W||_F^2
counts the features a model learns, so D* is a dimension's share. The paper states neither densities nor training;
ours are those of `experiments/toy_models/shared/uniform.py`: 30 densities from 1 to 0.01, five seeds each, longest where pairs
form. Compared with 30 dimensions filled with equal polytopes at their exact optimum (`experiments/toy_models/shared/blocks.py`).

Command:  python -m experiments dimensions_per_feature
Time:     three minutes on two cores, nearly all of it training
Expect:   plateaus of trained models at 1 (0.20 decades) and at 1/2 (0.22); of the best polytopes at 1/2 alone (0.32; 0.02 at 1)
"""

import numpy as np

from experiments.lab.claim import Claim, Result
from experiments.toy_models.dimensions_per_feature.claims import (
    beginning_claim,
    bound_claim,
    end_claim,
    exact_claim,
    gap_claim,
    plateau,
    seeds_claim,
    stickier_claim,
    sticky_claim,
)
from experiments.toy_models.dimensions_per_feature.config import Config
from experiments.toy_models.dimensions_per_feature.draw import alt, draw
from experiments.toy_models.shared.blocks import blocks, filling
from experiments.toy_models.shared.uniform import trained

__all__ = ["SHARED", "Config", "alt", "draw", "judge", "run"]
SHARED = trained.__module__  # one training for three figures


def run(config: Config) -> Result:
    """Train, measure D*, and hold it against the best filling with equal polytopes."""
    u = config.uniform
    models = trained(u)
    x = 1 / np.asarray(u.densities)
    dimensions = u.n_hidden / (models["W"].astype(float) ** 2).sum((-2, -1))
    shapes = blocks(1 / x)
    level, staircase = filling(shapes, 1 / x, u.n_features, u.n_hidden)
    arrays = {
        "inverse_density": x,
        "dimensions": dimensions,
        "block_dimensions": staircase,
        "block_loss": level,
        "loss": models["loss"],
    }
    spans = {f"{value:g}": plateau(x, dimensions.mean(1), value) for value in (1.0, 0.5)}
    numbers = {"plateaus": spans, "best_shape": shapes.best()}
    return Result(config, judge(config, arrays), arrays, numbers)


def judge(config: Config, arrays: dict[str, np.ndarray]) -> list[Claim]:
    """The claims, from the curves alone."""
    x, dimensions, staircase = (
        arrays[name] for name in ("inverse_density", "dimensions", "block_dimensions")
    )
    spans = {value: plateau(x, dimensions.mean(1), value) for value in (1.0, 0.5)}
    return [
        sticky_claim(spans[0.5], 0.5),
        sticky_claim(spans[1.0], 1.0),
        stickier_claim(x, dimensions.mean(1), spans),
        exact_claim(plateau(x, staircase, 0.5), 0.5, spans[0.5]),
        exact_claim(plateau(x, staircase, 1.0), 1.0, spans[1.0]),
        seeds_claim(x, dimensions),
        end_claim(x, dimensions.mean(1), staircase),
        beginning_claim(x, dimensions.mean(1), staircase),
        bound_claim(x, dimensions.mean(1)),
        gap_claim(x, arrays["loss"], arrays["block_loss"], spans[0.5]),
    ]
