"""Models of equal features trained across sparsity, which three figures look at: n=400, m=30, I=1.

The paper states no training settings. Ours: AdamW without decay (betas 0.9 and 0.99), 2,200 steps of 128
examples, learning rate 7e-3 falling to 0 as a cosine. Models start as in the released notebook, N(0, 0.013^2),
and the sparsest, which lose features for good from so small a start, as Xavier: U(-0.12, 0.12). The other way
round a dense model is left with dead outputs. Densities of one seed share their draws.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from superposition import AdamW, ReLUOutput, ToyRun
from superposition.sweep import sweep

SPARSEST = 0.02  # features fewer than this start larger


@dataclass(frozen=True)
class UniformSweep:
    """What is trained: every density from every seed 0 ... seeds - 1."""

    n_features: int = 400
    n_hidden: int = 30
    densities: tuple[float, ...] = tuple(np.geomspace(1, 0.01, 30).tolist())
    seeds: int = 5
    steps: int = 2_200
    batch_size: int = 128
    learning_rate: float = 7e-3


@cache
def trained(uniform: UniformSweep) -> dict[str, np.ndarray]:
    """W (density, seed, m, n), b (density, seed, n) and loss (density, seed), in the order of densities."""
    density = np.array(uniform.densities)
    found: dict[str, np.ndarray] = {}
    for init, mine in (("anthropic", density >= SPARSEST), ("xavier", density < SPARSEST)):
        if not mine.any():
            continue
        run = ToyRun(
            ReLUOutput(uniform.n_features, uniform.n_hidden, init=init),
            optimizer=AdamW(uniform.learning_rate, weight_decay=0.0, b2=0.99, schedule="cosine"),
            steps=uniform.steps,
            batch_size=uniform.batch_size,
        )
        data = sweep(run, {"density": density[mine].tolist(), "seed": range(uniform.seeds)})
        for name in ("W", "b", "loss"):
            values = data[name].values
            found.setdefault(name, np.empty((len(density), *values.shape[1:]), values.dtype))[mine] = values
    return found
