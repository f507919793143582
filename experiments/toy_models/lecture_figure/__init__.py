"""Superposition grows with sparsity: linear and ReLU models, n=20, m=5, I=0.7^i, at seven densities.

Elhage et al. 2022, the figure comparing linear and ReLU-output models ("Demonstrating superposition").
The paper states no training settings; ours are AdamW, 10,000 steps of 512 examples in which some feature
fires, learning rate 3e-3 falling to 0 as a cosine, no weight decay, the best of 10 seeds by exact loss.

Command:  python -m experiments lecture_figure
Time:     half a minute on two cores
Expect:   5, 8, 9, 10 or 11, ... features with norm > 1/2; the linear model within 0.1 % of its optimum
"""

from experiments.lab.claim import Result
from experiments.toy_models.lecture_figure.claims import relu_claims
from experiments.toy_models.lecture_figure.config import Config
from experiments.toy_models.lecture_figure.draw import alt, draw
from experiments.toy_models.shared import side_by_side

__all__ = ["Config", "alt", "draw", "run"]
PAPER_COUNTS = (5, 7, 9, 10, 12, 13, 13)


def run(config: Config) -> Result:
    """Train, and hold the picture's claims against the numbers."""
    found = side_by_side.train(config)
    claims = [
        *side_by_side.linear_claims(config, found, "F2"),
        side_by_side.count_claim(config, found, "F2", PAPER_COUNTS, by=1),
        *relu_claims(config, found),
    ]
    return side_by_side.result(config, found, claims)
