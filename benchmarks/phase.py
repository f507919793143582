"""How long until the n=2, m=1 phase diagram is right: ours, and occhio's ModelGrid.

Right means that in at least 99 % of cells the best of 10 seeds is within 1 % of the exact minimum over
weights and biases. An 8 x 8 grid, 640 models: ours with the settings of experiments/toy_models/phase_diagram.py,
compilation included; theirs at batch 1,024 with the notebook's AdamW, checked every 500 steps up to
`--steps` (checks are not timed). Theirs has no learning-rate schedule.

Command:  python -m benchmarks.phase [--steps 3000]
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
import torch

from experiments.toy_models.phase_diagram import Config
from experiments.toy_models.shared import phase_grid
from experiments.toy_models.shared.phase_grid import DIAGRAM
from superposition.expected_loss import expected_loss
from superposition.typing import ToyParams

SIDE, SEEDS = 8, 10


def share_right(losses: np.ndarray, exact: np.ndarray) -> float:
    """Share of cells whose best seed is within 1 % of the exact minimum; losses (p, r, seed)."""
    return float((np.nanmin(losses, -1) / exact < 1.01).mean())


def theirs(grid: phase_grid.Grid, exact: np.ndarray, most: int) -> dict[str, Any]:
    """Train occhio's grid in stretches of 500 steps until it is right."""
    from occhio import ModelGrid, ToyModel
    from occhio.autoencoder import TiedLinearRelu
    from occhio.distributions.sparse import SparseUniform
    from occhio.model_grid import Axis

    r, p = grid.axes(SIDE)

    def create_model(params: dict[str, Any]) -> Any:
        seed = int(params["Seed"])
        return ToyModel(
            distribution=SparseUniform(
                2, p_active=float(params["Density"]), generator=torch.Generator().manual_seed(seed)
            ),
            ae=TiedLinearRelu(2, 1, generator=torch.Generator().manual_seed(seed)),
            importances=params["Importance"] ** torch.arange(2),
        )

    axes = [
        Axis("Density", torch.tensor(p)),
        Axis("Importance", torch.tensor(r)),
        Axis("Seed", list(range(SEEDS))),
    ]
    models = ModelGrid(create_model, axes=axes, cache_samples=True)
    importance = jnp.asarray(np.repeat(np.tile(DIAGRAM.importance(r), (SIDE, 1)), SEEDS, 0))
    density = jnp.asarray(np.repeat(np.repeat(p, SIDE), SEEDS))
    evaluate = jax.jit(jax.vmap(lambda W, b, i, d: expected_loss(ToyParams(W, b), i, d, activation="relu")))
    seconds, steps, right = 0.0, 0, 0.0
    while steps < most and right < 0.99:
        begun = time.perf_counter()
        models.fit(n_epochs=500, batch_size=1024, learning_rate=1e-3, weight_decay=0.01)
        seconds += time.perf_counter() - begun
        steps += 500
        flat = models.models.ravel()
        W, b = (np.stack([getattr(m.ae, name).detach().numpy() for m in flat]) for name in ("W", "b"))
        right = share_right(np.asarray(evaluate(W, b, importance, density)).reshape(SIDE, SIDE, SEEDS), exact)
        print(f"occhio: {steps} steps, {seconds:.1f} s, {100 * right:.0f} % of cells right", flush=True)
    return {"seconds": round(seconds, 2), "steps": steps, "right": right}


def main() -> None:
    """Time both and write benchmarks/phase.json."""
    most = int(sys.argv[sys.argv.index("--steps") + 1]) if "--steps" in sys.argv else 3000
    grid = Config(cells=SIDE)
    exact = phase_grid.exact(DIAGRAM, grid, SIDE)["loss"]
    begun = time.perf_counter()
    fit = phase_grid.trained(DIAGRAM, grid)
    seconds = time.perf_counter() - begun
    ours = {
        "seconds": round(seconds, 2),
        "steps": grid.steps,
        "right": share_right(fit["loss"][..., None], exact),
    }
    print(f"ours: {ours}", flush=True)
    torch.set_num_threads(os.cpu_count() or 1)
    result = {"ours": ours, "occhio": theirs(grid, exact, most)}
    result["ratio"] = round(result["occhio"]["seconds"] / ours["seconds"], 1)
    print(json.dumps(result))
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
