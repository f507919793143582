"""Correlated features stand at right angles, anticorrelated ones opposite, and six in the plane side by side.

Elhage et al. 2022, "Organization of correlated and anticorrelated features": two sets of two correlated features
(n=4, m=2), two sets of two anticorrelated ones, three sets of two correlated ones (n=6, m=2). The paper states
neither sparsity nor training; a set is active with probability 0.2, 0.1, 0.05 and 0.02 here. AdamW, 1,500 steps of
128 examples, learning rate 1e-2 falling to 0 as a cosine, 24 seeds; exact minima by Newton's method on the exact
expected loss from the best two seeds and from the neighbouring densities' solutions.

Command:  python -m experiments correlated_sets
Time:     half a minute on two cores
Expect:   cosines of partners near 0, near -1, and 0.44 (64 degrees) in the hexagon, at 0.1 one pair collapsed
"""

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.correlated_sets.claims import claims, hexagon_claims
from experiments.toy_models.correlated_sets.config import Config
from experiments.toy_models.correlated_sets.draw import alt, draw
from experiments.toy_models.shared.sets import found, partners
from superposition import Anticorrelated, Correlated

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train and minimise the three settings, and measure the angles inside sets."""
    density = np.array(config.densities)
    correlated = found(Correlated(n_sets=2), 4, density, config.training)
    anti = found(Anticorrelated(n_sets=2), 4, density, config.training)
    three = found(Correlated(n_sets=3), 6, density, config.training)
    all_three = (correlated, anti, three)
    return Result(
        config,
        [
            *claims("two correlated features are represented at right angles", "orthogonal: |cos| < 0.15",
                     correlated, lambda c: np.abs(c) < 0.15),
            *claims("two anticorrelated features are represented opposite each other", "antipodal: cos < -0.9",
                     anti, lambda c: c < -0.9),
            *hexagon_claims(three),
        ],
        arrays={
            "W4": np.stack([correlated.exact.W, anti.exact.W]),
            "W6": three.exact.W,
            "partners": np.stack([np.nanmean(partners(f.exact.W), -1) for f in all_three]),
            "excess": np.stack([f.excess().min(1) for f in all_three]),
        },
        numbers={"largest gradient": float(max(f.exact.gradient.max() for f in all_three))},
    )  # fmt: skip
