"""Sparsity lets a ReLU model put five features into two dimensions: n=5, m=2 at 0, 80 and 90 % sparsity.

Elhage et al. 2022, the introduction's figure, with I = 0.9^i as in the released notebook. AdamW, 5,000
steps of 1,024 examples, learning rate 3e-3 falling to 0 as a cosine, the best of 20 seeds by exact loss.

Command:  python -m experiments intro
Time:     ten seconds on two cores
Expect:   two orthogonal features; two antipodal pairs; a pentagon
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.claim import Claim, Result, Source, at_most, less_than
from experiments.lab.run import main
from experiments.lab.settings import Count, Positive, Sparsity
from superposition import AdamW, ReLUOutput, ToyRun, geometry, plot
from superposition.errors import ConfigError
from superposition.training import sweep


@dataclass(frozen=True)
class Config:
    """Data, model and training."""

    sparsities: tuple[Sparsity, ...] = (0.0, 0.8, 0.9)
    importance_base: Positive = 0.9
    seeds: Count = 20
    steps: Count = 5_000
    batch_size: Count = 1024
    learning_rate: Positive = 3e-3

    def __post_init__(self) -> None:
        if len(self.sparsities) != 3:
            raise ConfigError(
                f"sparsities must be three, one for each claim: the dense model, the pairs, the pentagon; got "
                f"{len(self.sparsities)}"
            )

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(seeds=2, steps=100, batch_size=64)


def run(config: Config) -> Result:
    """Train, keep the best seed of each sparsity, and measure its geometry."""
    recipe = ToyRun(
        ReLUOutput(5, 2),
        importance_base=config.importance_base,
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    data = sweep(recipe, {"sparsity": config.sparsities, "seed": range(config.seeds)})
    losses = data["loss"].values
    best = (np.arange(len(losses)), losses.argmin(1))
    W = data["W"].values[best]
    importance = config.importance_base ** np.arange(5)
    return Result(
        config,
        [_dense(W[0]), _pairs(W[1]), _pentagon(W[2])],
        arrays={"W": W, "b": data["b"].values[best], "losses": losses, "importance": importance},
    )


def _dense(W: np.ndarray) -> Claim:
    norms, cosine = geometry.norms(W), geometry.cosines(W)[0, 1]
    kept = [int(i) for i in np.flatnonzero(norms > 0.5)]
    return Claim(
        "F1",
        "0 % sparsity: the two most important features get a dimension each, the others map to zero",
        "features 0 and 1, orthogonal",
        f"features {kept}; cosine {cosine:.3f}; largest other norm {norms[2:].max():.3f}",
        (kept == [0, 1], less_than(abs(cosine), 0.1), less_than(norms[2:].max(), 0.1)),
        source=Source.PAPER,
    )


def _pairs(W: np.ndarray) -> Claim:
    norms, cosines = geometry.norms(W), geometry.cosines(W)
    kept = [int(i) for i in np.flatnonzero(norms > 0.5)]
    pairs = geometry.antipodal_pairs(W, threshold=-0.95)
    across = (
        max((abs(cosines[i, j]) for i in pairs[0] for j in pairs[1]), default=1.0) if len(pairs) == 2 else 1.0
    )
    return Claim(
        "F1",
        "80 % sparsity: two antipodal pairs, the least important feature is dropped",
        "4 features in 2 orthogonal pairs",
        f"features {kept}; pairs {pairs}; largest cosine between pairs {across:.3f}",
        (kept == [0, 1, 2, 3], len(pairs) == 2, less_than(across, 0.15)),
        source=Source.PAPER,
    )


def _pentagon(W: np.ndarray) -> Claim:
    norms = geometry.norms(W)
    angles = np.sort(np.degrees(np.arctan2(W[1], W[0])))
    gaps = np.diff(angles, append=angles[0] + 360)
    return Claim(
        "F1",
        "90 % sparsity: all five features are stored, as a pentagon (neighbours 72 +- 10 degrees apart)",
        "5 features, 72 degrees apart",
        f"{int((norms > 0.5).sum())} features, {gaps.min():.1f} to {gaps.max():.1f} degrees apart",
        (bool((norms > 0.5).all()), at_most(np.abs(gaps - 72).max(), 10)),
        source=Source.PAPER,
    )


def draw(result: Result) -> Figure:
    """Three panels of features as lines with dots, coloured by importance."""
    titles = [f"{100 * s:.0f}% Sparsity" for s in result.config.sparsities]
    return plot.features_2d(result.arrays["W"], result.arrays["importance"], titles, annotate=True)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    kept = [int(c) for c in geometry.represented(result.arrays["W"])]
    parts = [
        f"{100 * s:.0f} % sparsity, {k} represented"
        for s, k in zip(result.config.sparsities, kept, strict=True)
    ]
    return "Five features in a plane, drawn as lines from the origin: " + "; ".join(parts) + "."


if __name__ == "__main__":
    main(__name__)
