"""Our training step against PyTorch's and occhio's: the same models, batch and cores, alternating runs.

The PyTorch contestant is the released notebook's step, written for this benchmark: dense batches drawn
with two uniform tensors, all models in one einsum, autograd, AdamW, float32. occhio is its `ModelGrid`
(vmapped PyTorch) with sample caching on. Ours is what `sweep` runs: the same blocks, in as many threads.

Each round times every contestant once, in turn; the ratio is the median over rounds of their ratios.

Command:  python -m benchmarks.step [--rounds 7]
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import jax
import numpy as np
import torch

from superposition import ReLUOutput, ToyRun
from superposition.training import blocks, loop
from superposition.training.grid import parse
from superposition.training.toy import Program, static_part
from superposition.training.toy_axes import cells_at

BATCH = 1024
SEVEN = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


def ours(n: int, m: int, axes: dict[str, Any], *, sampling: str, share: bool = True) -> Callable[[int], None]:
    """K steps of every cell, cut into blocks and threads as `sweep` does."""
    run = ToyRun(ReLUOutput(n, m), importance_base=0.7, batch_size=BATCH, sampling=sampling)
    parsed = parse(run, axes)
    plan = blocks.plan(run, parsed, 2.0, share)
    program = Program(static_part(run), plan.shared_draw)
    states = []
    for region in blocks.regions(parsed, plan.shape):
        cells = jax.tree.map(jax.numpy.asarray, cells_at(run, parsed, blocks.block_index(region, plan.cells)))
        states.append(list(program.start(cells)))
    pool = ThreadPoolExecutor(loop.worker_count())

    def advance(block: list[Any], steps: int) -> None:
        block[1] = loop.advance(program, block[0], block[1], np.int32(0), np.int32(steps))
        jax.block_until_ready(block[1])

    def go(steps: int) -> None:
        list(pool.map(lambda block: advance(block, steps), states))

    return go


def notebook(n: int, m: int, density: np.ndarray, importance: np.ndarray) -> Callable[[int], None]:
    """The released notebook's step: W (instance, n, m), two dense uniform draws, einsum, AdamW."""
    models = len(density)
    W = torch.nn.Parameter(torch.randn(models, n, m) * 0.3)
    b = torch.nn.Parameter(torch.zeros(models, n))
    p, weight = (
        torch.tensor(density, dtype=torch.float32)[:, None],
        torch.tensor(importance, dtype=torch.float32),
    )
    optimizer = torch.optim.AdamW([W, b], lr=1e-3)
    zero = torch.zeros(())

    def go(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            values, coin = torch.rand(BATCH, models, n), torch.rand(BATCH, models, n)
            x = torch.where(coin <= p, values, zero)
            hidden = torch.einsum("bin,inm->bim", x, W)
            out = torch.relu(torch.einsum("bim,inm->bin", hidden, W) + b)
            loss = (weight * (x.abs() - out) ** 2).mean((0, 2)).sum()
            loss.backward()
            optimizer.step()

    return go


def model_grid(side: int) -> Callable[[int], None]:
    """Occhio's ModelGrid over density and relative importance at n=2, m=1, sample caching on."""
    from occhio import ModelGrid, ToyModel
    from occhio.autoencoder import TiedLinearRelu
    from occhio.distributions.sparse import SparseUniform
    from occhio.model_grid import Axis

    def create_model(params: dict[str, Any]) -> Any:
        generator = torch.Generator().manual_seed(0)
        return ToyModel(
            distribution=SparseUniform(2, p_active=float(params["Density"]), generator=generator),
            ae=TiedLinearRelu(2, 1),
            importances=params["Relative Importance"] ** torch.arange(2),
        )

    grid = ModelGrid(
        create_model,
        axes=[
            Axis("Density", torch.logspace(0, -2, side)),
            Axis("Relative Importance", torch.logspace(-1, 1, side)),
        ],
        cache_samples=True,
    )
    return lambda steps: grid.fit(n_epochs=steps, batch_size=BATCH, learning_rate=1e-3)


def compare(
    name: str, contestants: dict[str, tuple[Callable[[int], None], int]], rounds: int
) -> dict[str, Any]:
    """Median milliseconds a step of each, and the median ratio of each to the first."""
    for go, steps in contestants.values():
        go(min(steps, 5))
    times: dict[str, list[float]] = {key: [] for key in contestants}
    for _ in range(rounds):
        for key, (go, steps) in contestants.items():
            time.sleep(0.3)  # the threads of the one before spin on for a while
            begun = time.perf_counter()
            go(steps)
            times[key].append((time.perf_counter() - begun) / steps * 1e3)
    first = next(iter(times))
    row: dict[str, Any] = {"case": name}
    for key, values in times.items():
        row[f"{key} ms"] = round(statistics.median(values), 4)
        if key != first:
            row[f"{key} ratio"] = round(
                statistics.median(a / b for a, b in zip(times[first], values, strict=True)), 1
            )
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Run every case and write benchmarks/step.json."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 7
    torch.set_num_threads(loop.worker_count())
    eight = {"density": np.geomspace(1, 0.01, 8), "importance_base": np.geomspace(0.1, 10, 8)}
    grid = {"density": np.geomspace(1, 0.01, 32), "importance_base": np.geomspace(0.1, 10, 32)}
    density = np.repeat(eight["density"], 8)
    importance = np.stack([np.ones(64), np.tile(eight["importance_base"], 8)], 1)
    rows = [
        compare(
            "n=20, m=5, 7 densities",
            {
                "pytorch": (notebook(20, 5, np.array(SEVEN), 0.7 ** np.arange(20.0)), 40),
                "ours": (ours(20, 5, {"density": SEVEN}, sampling="conditional"), 1000),
                "ours, plain sampling": (ours(20, 5, {"density": SEVEN}, sampling="plain"), 1000),
            },
            rounds,
        ),
        compare(
            "n=2, m=1, 64 models",
            {
                "pytorch": (notebook(2, 1, density, importance), 40),
                "ours": (ours(2, 1, eight, sampling="conditional"), 1000),
                "ours, plain sampling": (ours(2, 1, eight, sampling="plain"), 1000),
                "ours, a draw each": (ours(2, 1, eight, sampling="plain", share=False), 300),
            },
            rounds,
        ),
        compare(
            "n=2, m=1, 32 x 32 grid",
            {
                "occhio": (model_grid(32), 20),
                "ours": (ours(2, 1, grid, sampling="conditional"), 200),
                "ours, plain sampling": (ours(2, 1, grid, sampling="plain"), 200),
            },
            rounds,
        ),
    ]
    device = {"cores": loop.worker_count(), "backend": jax.default_backend(), "jax": jax.__version__}
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"device": device, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
