"""The lecture figure at four times the size: n=80, m=20, I=0.9^i (Elhage et al. 2022, same section).

AdamW, 10,000 steps of 256 examples in which some feature fires, learning rate 3e-3 falling to 0 as a
cosine, no weight decay, the best of 3 seeds by exact loss.

Command:  python -m experiments.larger
Time:     one minute on two cores
Expect:   20, 27, 33, 41 ... features with norm > 1/2: a rescaled copy of the n=20 figure
"""

from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments import _columns
from experiments._base import Result, main
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
    linear_steps: int = 3_000
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
        _columns.count_claim(config, found, "F3", PAPER_COUNTS, by=2),
    ]
    return _columns.result(config, found, claims)


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
