"""Correlated features take a local, almost orthogonal basis each set, and sets interfere (n=20, m=10).

Elhage et al. 2022, "Local almost-orthogonal bases": 20 features in two correlated sets of ten, m=10, I=1. The paper
states neither sparsity nor training; a set is active with probability 0.1, 0.05 and 0.02 here, and so is a feature
of the uncorrelated model beside it. AdamW, 2,000 steps of 128 examples, learning rate 1e-2 falling to 0 as a cosine, the
best of 3 seeds by exact loss.

Command:  python -m experiments.local_bases
Time:     fifteen seconds on two cores
Expect:   entries of W^T W inside a set 0.15 and 0.02 times those across sets at 0.05 and 0.02, but 0.47 at 0.1
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._sets import params
from superposition import AdamW, Correlated, ReLUOutput, SparseUniform, ToyRun, geometry
from superposition._internal import validate
from superposition.expected_loss import reference_loss
from superposition.plot.sets import grams
from superposition.training import sweep

N, M, SETS = 20, 10, 2


@dataclass(frozen=True)
class Config:
    """Data and training."""

    densities: tuple[float, ...] = (0.1, 0.05, 0.02)
    shown: int = 1
    seeds: int = 3
    steps: int = 2_000
    batch_size: int = 128
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        validate.integer("shown, an index into densities,", self.shown, 0, len(self.densities))

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=2, steps=60, batch_size=32)


def run(config: Config) -> Result:
    """Train with and without correlation, and compare the entries of W^T W inside and across sets."""
    laws: tuple[Any, ...] = (Correlated(n_sets=SETS), SparseUniform(density=1.0))
    best, losses, inside, across = [], [], [], []
    for law in laws:
        recipe = ToyRun(
            ReLUOutput(N, M),
            law,
            optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
            steps=config.steps,
            batch_size=config.batch_size,
        )
        data = sweep(recipe, {"density": config.densities, "seed": range(config.seeds)})
        within, between = _blocks(data["W"].values)
        rows = np.arange(len(config.densities))
        best.append(data["W"].values[rows, data["loss"].values.argmin(1)])
        losses.append(data["loss"].values)
        inside.append(within)
        across.append(between)
    ratio, mixed = inside[0] / across[0], inside[1] / across[1]
    return Result(
        config,
        [
            *_local(config, ratio, inside[0], across[0], best[0]),
            Claim(
                "F12",
                "without correlation the same two groups of features are no different inside and across (median over "
                "seeds and densities between 0.7 and 1.4)",
                "an uncorrelated model has no such blocks",
                f"median {np.median(mixed):.3f}, from {mixed.min():.3f} to {mixed.max():.3f}",
                bool(0.7 < np.median(mixed) < 1.4),
            ),
            _against_hand(config, losses[0]),
        ],
        arrays={"W": np.stack(best), "losses": np.stack(losses), "ratio": np.stack([ratio, mixed])},
    )


def _local(
    config: Config, ratio: np.ndarray, inside: np.ndarray, across: np.ndarray, best: np.ndarray
) -> list[Claim]:
    """The same claim at every density, in every seed: mean |off-diagonal| inside over that across."""
    claims = []
    for k, p in enumerate(config.densities):
        lengths = geometry.norms(best[k]) ** 2
        claims.append(
            Claim(
                "F12",
                "inside a correlated set features are nearly orthogonal: mean |off-diagonal| of W^T W inside sets below "
                f"0.3 x that across sets, in every seed, density {p:g}",
                "each block nearly diagonal, interference across",
                f"inside {inside[k].min():.4f} to {inside[k].max():.4f}, across {across[k].min():.4f} to "
                f"{across[k].max():.4f}, ratio {ratio[k].min():.3f} to {ratio[k].max():.3f}; |W_i|^2 "
                f"{lengths.min():.2f} to {lengths.max():.2f} in the best seed",
                bool(ratio[k].max() < 0.3),
                expected=p < 0.1,
            )
        )
    return claims


def _against_hand(config: Config, losses: np.ndarray) -> Claim:
    """Trained losses (density, seed) beside two orthonormal bases, opposite each other: pairs (i, i + 10)."""
    pair = params(np.array([[1.0, -1.0]]), np.zeros(2))
    hand = [M * reference_loss(pair, np.ones(2), p, activation="relu") for p in config.densities]
    best, spread = losses.min(1) / hand, losses.max(1) / losses.min(1) - 1
    words = ", ".join(f"{x:.2f} at {p:g}" for x, p in zip(best, config.densities, strict=True))
    return Claim(
        "this lab",
        "the best seed is within 15 % of the loss of a solution by hand, W = [1, -1], b = 0 (exact losses)",
        "(not in the paper)",
        f"best seed over solution by hand {words}; worst seed {100 * spread.max():.0f} % above the best at most",
        bool(best.max() < 1.15),
    )


def _blocks(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean |W_i . W_j|, i != j, inside sets and across; W (..., m, n) -> (...)."""
    A = np.abs(geometry.gram(W))
    mine = np.arange(N) // (N // SETS)
    same = mine[:, None] == mine
    return A[..., same & ~np.eye(N, dtype=bool)].mean(-1), A[..., ~same].mean(-1)


def draw(result: Result) -> Figure:
    """W^T W grouped by set, beside the uncorrelated model's."""
    at = result.config.shown
    p = result.config.densities[at]
    titles = (f"2 correlated sets, 1 − S = {p:g}", f"independent, 1 − S = {p:g}")
    return grams(result.arrays["W"][:, at], titles, (N // SETS, 0))


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    plain, mixed = (r[result.config.shown] for r in result.arrays["ratio"])
    return (
        "Two heat maps of W transposed W. With two correlated sets the blocks of a set are nearly diagonal: off-diagonal "
        f"entries are {plain.max():.2f} of those across sets at most; with independent features {mixed.mean():.2f}."
    )


if __name__ == "__main__":
    main(__name__)
