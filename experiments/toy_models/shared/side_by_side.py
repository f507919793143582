"""What lecture_figure and larger share: linear and ReLU models side by side across density."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Result, Source, less_than
from experiments.lab.relations import below
from experiments.lab.settings import Count, Density, Positive
from superposition import AdamW, Linear, ReLUOutput, ToyRun, geometry, theory
from superposition.errors import ConfigError
from superposition.toy import ToyModel
from superposition.training import sweep

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclass(frozen=True)
class Columns:
    """Models, data and training of a figure with one linear and several ReLU columns."""

    n_features: Count
    n_hidden: Count
    importance_base: Positive
    densities: tuple[Density, ...]
    seeds: Count
    steps: Count
    batch_size: Count
    linear_steps: Count
    linear_batch_size: Count = 256
    linear_seeds: Count = 2
    learning_rate: Positive = 3e-3
    linear_learning_rate: Positive = 1e-2

    def __post_init__(self) -> None:
        if tuple(self.densities) != DENSITIES:
            listed = ", ".join(map(str, DENSITIES))
            raise ConfigError(f"densities must be {listed}, as the paper's counts are; got {self.densities}")
        below("n_hidden", self.n_hidden, "n_features", self.n_features)

    def importance(self) -> np.ndarray:
        """I_i = base^i."""
        return self.importance_base ** np.arange(self.n_features)


def train(config: Columns) -> dict[str, np.ndarray]:
    """Train both models at every density; the best seed by exact loss.

    linear_W, relu_W (density, m, n), relu_b, linear_loss, relu_loss (density,), relu_losses (density, seed).
    """
    found: dict[str, np.ndarray] = {}
    settings: tuple[tuple[str, ToyModel, int, int, int, float], ...] = (
        (
            "linear",
            Linear(config.n_features, config.n_hidden),
            config.linear_steps,
            config.linear_batch_size,
            config.linear_seeds,
            config.linear_learning_rate,
        ),
        (
            "relu",
            ReLUOutput(config.n_features, config.n_hidden),
            config.steps,
            config.batch_size,
            config.seeds,
            config.learning_rate,
        ),
    )
    for name, model, steps, batch_size, seeds, rate in settings:
        run = ToyRun(
            model,
            importance_base=config.importance_base,
            optimizer=AdamW(rate, weight_decay=0.0, schedule="cosine"),
            steps=steps,
            batch_size=batch_size,
        )
        data = sweep(run, {"density": config.densities, "seed": range(seeds)})
        losses = data["loss"].values
        best = (np.arange(len(losses)), np.nanargmin(losses, 1))
        found |= {f"{name}_W": data["W"].values[best], f"{name}_b": data["b"].values[best]}
        found |= {f"{name}_loss": losses[best], f"{name}_losses": losses}
    return found


def linear_claims(config: Columns, found: dict[str, np.ndarray], figure: str) -> list[Claim]:
    """The linear model keeps the top n_hidden features and nothing else, at every density."""
    m, n = config.n_hidden, config.n_features
    optimum = np.array([theory.linear_optimum(config.importance(), p, m) for p in config.densities])
    excess = np.max(found["linear_loss"] / optimum - 1)
    target = np.diag((np.arange(n) < m).astype(float))
    off = np.abs(geometry.gram(found["linear_W"]) - target).max()
    return [
        Claim(
            figure,
            f"the linear model represents the top {m} features and no others, at any sparsity",
            f"W^T W = diag(1 x {m}, 0 x {n - m})",
            f"max |W^T W - diag| = {off:.3f} over {len(config.densities)} densities",
            less_than(off, 0.05),
            source=Source.PAPER,
        ),
        Claim(
            figure,
            "the linear model reaches the exact optimum L* = v(p) sum_(i >= m) I_i",
            "L / L* = 1 (Eckart-Young)",
            f"max L / L* - 1 = {excess:.1e}",
            less_than(excess, 1e-3),
        ),
    ]


def counts(W: np.ndarray) -> list[int]:
    """Features with norm > 1/2 at each density."""
    return [int(c) for c in geometry.represented(W)]


def count_claim(
    config: Columns, found: dict[str, np.ndarray], figure: str, paper: Sequence[int], by: int
) -> Claim:
    """The number of represented features grows with sparsity, as read off the published picture."""
    measured = counts(found["relu_W"])
    near = all(abs(a - b) <= by for a, b in zip(measured, paper, strict=False))
    growing = all(a <= b for a, b in pairwise(measured))
    return Claim(
        figure,
        f"the ReLU model represents more features as sparsity grows (norm > 1/2; within {by} of the picture)",
        ", ".join(map(str, paper)),
        ", ".join(map(str, measured)) + ("" if growing else " (not monotone)"),
        near and growing,
        source=Source.PAPER,
    )


def result(config: Any, found: dict[str, np.ndarray], claims: list[Claim]) -> Result:
    """Claims with the arrays the picture is drawn from: one linear column (the sparsest), then the ReLU ones."""
    return Result(
        config,
        claims,
        arrays={
            "W": np.concatenate([found["linear_W"][-1:], found["relu_W"]]),
            "b": np.concatenate([found["linear_b"][-1:], found["relu_b"]]),
            "relu_losses": found["relu_losses"],
            "linear_losses": found["linear_losses"],
        },
        numbers={"represented": counts(found["relu_W"]), "exact_loss": found["relu_loss"]},
    )


def describe(result: Result) -> str:
    """Alt text made from the numbers."""
    config: Columns = result.config
    count = dict(zip(config.densities, result.numbers["represented"], strict=True))
    return (
        f"W^T W, b and feature norms of toy models with n={config.n_features}, m={config.n_hidden}, "
        f"I_i = {config.importance_base}^i. The linear model keeps {config.n_hidden} features. The ReLU model keeps "
        + ", ".join(f"{c} at 1-S={p:g}" for p, c in count.items())
        + "; as density falls, bars turn from black (dedicated) to yellow (superposition)."
    )
