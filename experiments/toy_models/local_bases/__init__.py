"""Correlated features take a local, almost orthogonal basis each set, and sets interfere (n=20, m=10).

Elhage et al. 2022, "Local almost-orthogonal bases": 20 features in two correlated sets of ten, m=10, I=1. The paper
states neither sparsity nor training; a set is active with probability 0.1, 0.05 and 0.02 here, and so is a feature
of the uncorrelated model beside it. AdamW, 2,000 steps of 128 examples, learning rate 1e-2 falling to 0 as a cosine, the
best of 3 seeds by exact loss.

Command:  python -m experiments local_bases
Time:     fifteen seconds on two cores
Expect:   entries of W^T W inside a set 0.15 and 0.02 times those across sets at 0.05 and 0.02, but 0.47 at 0.1
"""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Result, Source, between
from experiments.toy_models.local_bases.claims import against_hand_claim, local_claims
from experiments.toy_models.local_bases.config import SETS, Config, M, N
from experiments.toy_models.local_bases.draw import alt, draw
from superposition import AdamW, Correlated, ReLUOutput, SparseUniform, ToyRun, geometry
from superposition.training import sweep

__all__ = ["Config", "alt", "draw", "run"]


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
        within, apart = _blocks(data["W"].values)
        rows = np.arange(len(config.densities))
        best.append(data["W"].values[rows, data["loss"].values.argmin(1)])
        losses.append(data["loss"].values)
        inside.append(within)
        across.append(apart)
    ratio, mixed = inside[0] / across[0], inside[1] / across[1]
    return Result(
        config,
        [
            *local_claims(config, ratio, inside[0], across[0], best[0]),
            Claim(
                "F12",
                "without correlation the same two groups of features are no different inside and across (median over "
                "seeds and densities between 0.7 and 1.4)",
                "an uncorrelated model has no such blocks",
                f"median {np.median(mixed):.3f}, from {mixed.min():.3f} to {mixed.max():.3f}",
                between(np.median(mixed), 0.7, 1.4),
                source=Source.READING,
            ),
            against_hand_claim(config, losses[0]),
        ],
        arrays={"W": np.stack(best), "losses": np.stack(losses), "ratio": np.stack([ratio, mixed])},
    )


def _blocks(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean |W_i . W_j|, i != j, inside sets and across; W (..., m, n) -> (...)."""
    A = np.abs(geometry.gram(W))
    mine = np.arange(N) // (N // SETS)
    same = mine[:, None] == mine
    return A[..., same & ~np.eye(N, dtype=bool)].mean(-1), A[..., ~same].mean(-1)
