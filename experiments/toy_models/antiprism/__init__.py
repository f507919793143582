"""Learning as geometry: two correlated sets of three features part, open into triangles, and turn into an octahedron.

Elhage et al. 2022, "Superposition and Learning Dynamics", phenomenon 2: n = 6, m = 3, two sets of three correlated
features. The paper gives neither sparsity nor training. Ours: a set fires with probability 0.1; Adam, learning rate
2e-3 kept constant, batches of 128, 12,000 steps; 20 seeds from near zero (std 0.01, the paper's stage 0) and 20
from the notebook's larger start. Stages are read from numbers, relative to the end of the same run: parted, when both sets'
means are over half as long; open, when both sets are over half as wide (second singular value about the mean);
turned, from when the triangles stay turned by over 50 degrees against each other. Losses are exact.

Command:  python -m experiments antiprism
Time:     half a minute on two cores
Expect:   every seed ends as an octahedron; the sets first take a dimension each, not one axis
"""

import numpy as np
import xarray as xr

from experiments.lab.claim import Result
from experiments.toy_models.antiprism.claims import (
    all_claims,
    in_order,
    is_octahedron,
    other_start_claim,
    stages_of,
    step_of,
)
from experiments.toy_models.antiprism.config import STAGES, Config
from experiments.toy_models.antiprism.draw import alt, animate, draw
from superposition import AdamW, ReLUOutput, ToyRun
from superposition.features import Correlated
from superposition.training.record import record

__all__ = ["Config", "alt", "animate", "draw", "run"]


def run(config: Config) -> Result:
    """Record runs from both starts, and read the stages off each."""
    small, usual = (_recorded(config, instances) for instances in (config.start_instances, 10))
    routes = [stages_of(W) for W in small["W"].values]
    octahedra = [is_octahedron(W) for W in small["W"].values[:, -1]]
    clean = [s for s in range(config.seeds) if octahedra[s] and in_order(routes[s])]
    # Of the runs that pass through every stage, the one that has furthest to turn.
    shown = max(clean or range(config.seeds), key=lambda s: -routes[s]["twist_when_open"])
    arrays: dict[str, np.ndarray] = {
        "step": small["step"].values, "W": small["W"].values[shown], "loss": small["loss"].values[shown]
    }  # fmt: skip
    arrays["stages"] = np.array([routes[shown][name] for name in STAGES])
    arrays["final_loss"] = np.stack([small["loss"].values[:, -1], usual["loss"].values[:, -1]])
    claims = [*all_claims(config, small, routes, octahedra), other_start_claim(usual)]
    numbers = {"seed_shown": shown, "stage_steps": [[step_of(small, r[s]) for s in STAGES] for r in routes]}
    return Result(config, claims, arrays, numbers)


def _recorded(config: Config, instances: int) -> xr.Dataset:
    recipe = ToyRun(
        ReLUOutput(6, 3, init="anthropic", notebook_instances=instances),
        Correlated(density=config.density, n_sets=2),
        optimizer=AdamW(config.learning_rate, weight_decay=0.0),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    frames = np.unique(np.geomspace(config.first_step, config.steps, config.frames).astype(int))
    return record(recipe, seeds=range(config.seeds), steps=frames.tolist())
