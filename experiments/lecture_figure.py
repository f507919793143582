"""Superposition grows with sparsity: linear and ReLU models, n=20, m=5, I=0.7^i, at seven densities.

Elhage et al. 2022, the figure comparing linear and ReLU-output models ("Demonstrating superposition").
The paper states no training settings; ours are AdamW, 10,000 steps of 512 examples in which some feature
fires, learning rate 3e-3 falling to 0 as a cosine, no weight decay, the best of 10 seeds by exact loss.

Command:  python -m experiments.lecture_figure
Time:     half a minute on two cores
Expect:   5, 8, 9, 10 or 11, ... features with norm > 1/2; the linear model within 0.1 % of its optimum
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments import _columns
from experiments._base import Claim, Result, main
from superposition import geometry, plot

PAPER_COUNTS = (5, 7, 9, 10, 12, 13, 13)
PAPER_DEDICATED = (5, 3, 1, 0, 0, 0, 0)


@dataclass(frozen=True)
class Config(_columns.Columns):
    """n=20 features in m=5 dimensions."""

    n_features: int = 20
    n_hidden: int = 5
    importance_base: float = 0.7
    densities: tuple[float, ...] = _columns.DENSITIES
    seeds: int = 10
    steps: int = 10_000
    batch_size: int = 512
    linear_steps: int = 3_000

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=1, linear_seeds=1, steps=100, linear_steps=100, batch_size=64)


def run(config: Config) -> Result:
    """Train, and hold the picture's claims against the numbers."""
    found = _columns.train(config)
    claims = [
        *_columns.linear_claims(config, found, "F2"),
        _columns.count_claim(config, found, "F2", PAPER_COUNTS, by=1),
        *_relu_claims(config, found),
    ]
    return _columns.result(config, found, claims)


def _relu_claims(config: Config, found: dict[str, np.ndarray]) -> list[Claim]:
    W, b = found["relu_W"], found["relu_b"]
    norms, interference = geometry.norms(W), geometry.interference(W)
    dense, m = config.densities.index(1.0), config.n_hidden
    kept = norms[dense] > 0.5
    bias = b[dense][~kept]
    top = bool(kept[:m].all() and not kept[m:].any())
    dedicated = [int(((norms[k] > 0.5) & (interference[k] < 0.1)).sum()) for k in range(len(W))]
    paired = config.densities.index(0.1)
    pairs = geometry.antipodal_pairs(W[paired], threshold=-0.95)
    sparse = config.densities.index(0.01)
    gram = geometry.gram(W)
    off = gram - gram * np.eye(config.n_features)
    represented = (norms[..., None] > 0.5) & (norms[:, None, :] > 0.5)
    positive = np.where(represented, off, 0).max((1, 2))
    lowest = b.min(1)
    return [
        Claim(
            "F2",
            "in the dense regime the ReLU model also keeps the top m, and predicts the mean of the rest",
            "top 5; b = E x = 0.5 on the rest",
            f"top {m}: {'yes' if top else 'no'}; "
            + (f"b = {bias.min():.3f} to {bias.max():.3f}" if bias.size else "none left out"),
            top and bool(np.abs(bias - 0.5).max() < 0.03),
        ),
        Claim(
            "F2",
            "the most important features are the last to share a dimension (dedicated: norm > 1/2, interference < 0.1; within 1)",
            ", ".join(map(str, PAPER_DEDICATED)),
            ", ".join(map(str, dedicated)),
            all(abs(a - c) <= 1 for a, c in zip(dedicated, PAPER_DEDICATED, strict=True)),
        ),
        Claim(
            "F2",
            "early superposition is organised in antipodal pairs (1-S = 0.1: cosine < -0.95)",
            "4 pairs and feature 0 alone",
            f"{len(pairs)} pairs {pairs}; {dedicated[paired]} dedicated",
            len(pairs) == 4 and dedicated[paired] == 1,
        ),
        Claim(
            "F2",
            "positive interference and negative biases appear in the high sparsity regime only (1-S <= 0.01)",
            "none at 1-S = 0.1; both at 0.01 and below",
            f"at 0.1: max W_i.W_j = {positive[paired]:.2f}, min b = {lowest[paired]:.2f}; "
            f"at 0.01: {positive[sparse]:.2f}, {lowest[sparse]:.2f}",
            bool(
                positive[paired] < 0.1
                and lowest[paired] > -0.05
                and (positive[sparse:] > 0.1).all()
                and (lowest[sparse:] < -0.05).all()
            ),
        ),
    ]


GROUPS = (
    (
        "Linear Model",
        0,
        0,
        "**Linear models** learn the top m features. 1−S = 0.001 is shown, others are similar.",
    ),
    (
        "ReLU Output Model",
        1,
        1,
        "In the **dense** regime, ReLU output models also learn the top m features.",
    ),
    (
        "",
        2,
        4,
        "As **sparsity increases**, superposition lets models represent more features. The most important are "
        "touched last; the first to share a dimension do so in antipodal pairs.",
    ),
    (
        "",
        5,
        7,
        "In the **high sparsity** regime all features are in superposition and more keep being packed, with "
        "positive interference and negative biases.",
    ),
)


def draw(result: Result) -> Figure:
    """W^T W, b and norms, column by column, in the paper's manner."""
    return plot.columns(
        result.arrays["W"],
        result.arrays["b"],
        ["(or any)", *result.config.densities],
        importance_label="0.7^i",
        groups=GROUPS,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    return _columns.describe(result)


if __name__ == "__main__":
    main(__name__)
