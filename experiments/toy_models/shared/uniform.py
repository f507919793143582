"""Models of equal features trained across sparsity, which three figures look at: n=400, m=30, I=1.

The paper states no training settings. Ours: AdamW without decay (betas 0.9 and 0.99), 2,200 steps of 128
examples, learning rate 7e-3 falling to 0 as a cosine. Where pairs form, at densities 0.35 to 0.65, a model leaves
the projection that stores parts of all features only slowly, and slower the noisier its steps: there it is 8,000
steps of 256 examples at 1.5e-3 (after 2,200 of 128 the loss was up to 2.5 % above the best polytopes', D* up to 0.3
too high). Models start as in the released notebook, N(0, 0.013^2), and the sparsest, which lose features for good
from so small a start, as Xavier: U(-0.12, 0.12). The other way round a dense model is left with dead outputs.
Densities of one seed share their draws.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from experiments.lab.settings import Count, Density, Number, Positive
from superposition import AdamW, ReLUOutput, ToyRun
from superposition._internal import validate
from superposition.training import sweep

SPARSEST = 0.02  # features fewer than this start larger


@dataclass(frozen=True)
class UniformSweep:
    """What is trained: every density from every seed 0 ... seeds - 1, all for `longer` times as many steps."""

    n_features: Count = 400
    n_hidden: Count = 30
    densities: tuple[Density, ...] = tuple(float(f"{p:.4g}") for p in np.geomspace(1, 0.01, 30))
    seeds: Count = 5
    steps: Count = 2_200
    batch_size: Count = 128
    learning_rate: Positive = 7e-3
    slow: tuple[Number, Number] = (0.35, 0.65)
    slow_steps: Count = 8_000
    slow_batch_size: Count = 256
    slow_learning_rate: Positive = 1.5e-3
    longer: Count = 1

    def __post_init__(self) -> None:
        validate.integer("uniform.longer", self.longer, 1)  # elsewhere `longer` are indices, from 0


def recipes(uniform: UniformSweep) -> str:
    """How models were trained, for captions: a curve over all densities is spliced from three recipes."""
    low, high = uniform.slow
    return (
        f"Three recipes: {uniform.slow_steps:,} steps of {uniform.slow_batch_size} at rate {uniform.slow_learning_rate:g} for "
        f"1-S = {low:g} to {high:g}, elsewhere {uniform.steps:,} of {uniform.batch_size} at {uniform.learning_rate:g}; below "
        f"1-S = {SPARSEST:g} Xavier's start"
    )


@cache
def trained(uniform: UniformSweep) -> dict[str, np.ndarray]:
    """W (density, seed, m, n), b (density, seed, n) and loss (density, seed), in the order of densities."""
    density = np.array(uniform.densities)
    slow = (density >= uniform.slow[0]) & (density <= uniform.slow[1])
    usual = (uniform.steps, uniform.batch_size, uniform.learning_rate)
    patient = (uniform.slow_steps, uniform.slow_batch_size, uniform.slow_learning_rate)
    found: dict[str, np.ndarray] = {}
    for init, mine, (steps, batch_size, rate) in (
        ("anthropic", slow, patient),
        ("anthropic", ~slow & (density >= SPARSEST), usual),
        ("xavier", ~slow & (density < SPARSEST), usual),
    ):
        if not mine.any():
            continue
        run = ToyRun(
            ReLUOutput(uniform.n_features, uniform.n_hidden, init=init),
            optimizer=AdamW(rate, weight_decay=0.0, b2=0.99, schedule="cosine"),
            steps=uniform.longer * steps,
            batch_size=batch_size,
        )
        data = sweep(run, {"density": density[mine].tolist(), "seed": range(uniform.seeds)})
        for name in ("W", "b", "loss"):
            values = data[name].values
            found.setdefault(name, np.empty((len(density), *values.shape[1:]), values.dtype))[mine] = values
    return found
