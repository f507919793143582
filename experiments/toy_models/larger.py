"""The lecture figure at four times the size: n=80, m=20, I=0.9^i (Elhage et al. 2022, same section).

AdamW, 10,000 steps of 256 examples in which some feature fires, learning rate 3e-3 falling to 0 as a
cosine, no weight decay, the best of 3 seeds by exact loss.

Command:  python -m experiments larger
Time:     under a minute on two cores
Expect:   20, 27, 34, 43, 50, 62, 68 features with norm > 1/2: a rescaled copy of the n=20 figure
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.claim import Claim, Result, Source
from experiments.lab.run import main
from experiments.lab.settings import Count, Density, Positive
from experiments.toy_models.shared import side_by_side
from superposition import plot

PAPER_COUNTS = (20, 26, 32, 41, 49, 52, 53)


@dataclass(frozen=True)
class Config(side_by_side.Columns):
    """n=80 features in m=20 dimensions."""

    n_features: Count = 80
    n_hidden: Count = 20
    importance_base: Positive = 0.9
    densities: tuple[Density, ...] = side_by_side.DENSITIES
    seeds: Count = 3
    steps: Count = 10_000
    batch_size: Count = 256
    linear_steps: Count = 10_000
    linear_learning_rate: Positive = 2e-2
    linear_seeds: Count = 1

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=1, steps=20, linear_steps=20, batch_size=32, linear_batch_size=32)


def run(config: Config) -> Result:
    """Train, and hold the picture's claims against the numbers."""
    found = side_by_side.train(config)
    claims = [
        *side_by_side.linear_claims(config, found, "F3"),
        *_count_claims(found),
    ]
    return side_by_side.result(config, found, claims)


def _count_claims(found: dict[str, np.ndarray]) -> list[Claim]:
    measured: list[int] = side_by_side.counts(found["relu_W"])

    def claim(part: slice, text: str, **source: Any) -> Claim:
        ours, paper = measured[part], list(PAPER_COUNTS)[part]
        return Claim(
            "F3",
            text,
            ", ".join(map(str, paper)),
            ", ".join(map(str, ours)),
            all(abs(a - b) <= 2 for a, b in zip(ours, paper, strict=True)) and ours == sorted(ours),
            **source,
        )

    return [
        claim(
            slice(0, 5),
            "the ReLU model represents more features as sparsity grows, 1-S = 1 to 0.01 (norm > 1/2; within 2)",
            source=Source.RESTATED,
            restates="it packs about as many",
        ),
        claim(
            slice(5, 7),
            "it packs about as many as in the published picture at 1-S = 0.003 and 0.001 (trained here to the end)",
            source=Source.PAPER,
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
    return side_by_side.describe(result)


if __name__ == "__main__":
    main(__name__)
