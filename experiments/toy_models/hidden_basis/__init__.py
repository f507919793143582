"""A linear hidden layer has no basis of its own, one with a ReLU has: W of both side by side, n=10, m=5.

Elhage et al. 2022, "Superposition in a privileged basis", its first comparison: the same features through a linear hidden
layer, x' = ReLU(W^T W x + b), and through one of neurons, x' = ReLU(W^T ReLU(W x) + b); I_i = 0.75^i. How far a feature lies
along one hidden unit is the share of its largest squared weight, max_k W_ki^2 / ||W_i||^2, averaged over features of
norm > 1/2; the linear layer's is held against its own W turned at random, since no turn changes its loss. The paper
states no training: AdamW, 2,000 steps of 256, learning rate 2e-2 falling to 0 as a cosine, 40 seeds.

Command:  python -m experiments hidden_basis
Time:     half a minute on two cores
Expect:   1 in the layer of neurons where features are dense, 0.5 where they are codes of several neurons; 0.49 in the linear
          layer, a little less than for random directions (0.55): Adam looks at each weight alone
"""

import numpy as np
from scipy.stats import special_ortho_group

from experiments.lab.claim import Result
from experiments.toy_models.hidden_basis.claims import judge
from experiments.toy_models.hidden_basis.config import Config, M, N
from experiments.toy_models.hidden_basis.draw import alt, draw
from superposition import AdamW, ReLUOutput, ToyRun, geometry
from superposition.toy import ReLUHidden
from superposition.training import sweep

__all__ = ["Config", "alt", "draw", "judge", "run"]


def run(config: Config) -> Result:
    """Train both models, and measure how far features lie along hidden units."""
    W = []
    for model in (ReLUOutput(N, M), ReLUHidden(N, M)):
        recipe = ToyRun(
            model,
            importance_base=config.importance_base,
            optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
            steps=config.steps,
            batch_size=config.batch_size,
        )
        data = sweep(recipe, {"density": config.densities, "seed": range(config.seeds)})
        W.append((data["W"].values, data["loss"].values))
    aligned = np.array([alignment(weights) for weights, _ in W])
    turns = special_ortho_group.rvs(M, size=config.turns, random_state=0).reshape(-1, M, M)
    turned = np.mean([alignment(turn @ W[0][0]) for turn in turns], 0)
    rows = np.arange(len(config.densities))
    best = np.array([weights[rows, loss.argmin(1)] for weights, loss in W])
    arrays = {"W": best, "alignment": aligned, "turned": turned}
    return Result(config, judge(config, arrays), arrays)


def alignment(W: np.ndarray) -> np.ndarray:
    """Mean over features of norm > 1/2 of max_k W_ki^2 / ||W_i||^2; W (..., m, n) -> (...)."""
    norms = geometry.norms(W)
    share = (W**2).max(-2) / np.maximum(norms**2, 1e-12)
    there = norms > 0.5
    return np.asarray((share * there).sum(-1) / np.maximum(there.sum(-1), 1))
