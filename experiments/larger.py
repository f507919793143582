"""The lecture figure at four times the size: n=80, m=20, I=0.9^i (Elhage et al. 2022, same section).

AdamW, 10,000 steps of 256 examples in which some feature fires, learning rate 3e-3 falling to 0 as a
cosine, no weight decay, the best of 3 seeds by exact loss.

Command:  python -m experiments.larger
Time:     under a minute on two cores
Expect:   20, 27, 34, 43, 50, 62, 68 features with norm > 1/2: a rescaled copy of the n=20 figure
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments import _columns
from experiments._base import Claim, Result, main
from superposition import plot

PAPER_COUNTS = (20, 26, 32, 41, 49, 52, 53)


@dataclass(frozen=True)
class Config(_columns.Columns):
    """n=80 features in m=20 dimensions."""

    n_features: int = 80
    n_hidden: int = 20
    importance_base: float = 0.9
    densities: tuple[float, ...] = _columns.DENSITIES
    seeds: int = 3
    steps: int = 10_000
    batch_size: int = 256
    linear_steps: int = 10_000
    linear_learning_rate: float = 2e-2
    linear_seeds: int = 1

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=1, steps=20, linear_steps=20, batch_size=32, linear_batch_size=32)


def run(config: Config) -> Result:
    """Train, and hold the picture's claims against the numbers."""
    found = _columns.train(config)
    claims = [
        *_columns.linear_claims(config, found, "F3"),
        *_count_claims(found),
    ]
    return _columns.result(config, found, claims)


def _count_claims(found: dict[str, np.ndarray]) -> list[Claim]:
    measured: list[int] = _columns.counts(found["relu_W"])

    def claim(part: slice, text: str, expected: bool) -> Claim:
        ours, paper = measured[part], list(PAPER_COUNTS)[part]
        return Claim(
            "F3",
            text,
            ", ".join(map(str, paper)),
            ", ".join(map(str, ours)),
            all(abs(a - b) <= 2 for a, b in zip(ours, paper, strict=True)) and ours == sorted(ours),
            expected,
        )

    return [
        claim(
            slice(0, 5),
            "the ReLU model represents more features as sparsity grows, 1-S = 1 to 0.01 (norm > 1/2; within 2)",
            expected=True,
        ),
        claim(
            slice(5, 7),
            "it packs about as many as in the published picture at 1-S = 0.003 and 0.001 (trained here to the end)",
            expected=False,
        ),
    ]


GROUPS = (
    ("Linear Model", 0, 0, ""),
    ("ReLU Output Model", 1, 7, ""),
)


def draw(result: Result) -> Figure:
    """W^T W, b and norms, column by column, in the paper's manner."""
    return plot.columns(
        result.arrays["W"],
        result.arrays["b"],
        ["(or any)", *result.config.densities],
        importance_label="0.9^i",
        groups=GROUPS,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    return _columns.describe(result)


if __name__ == "__main__":
    main(__name__)
