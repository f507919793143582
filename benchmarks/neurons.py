"""Models with a ReLU in the hidden layer, many at once, against the same batch of models in one PyTorch loop.

The PyTorch contestant is written as the released notebook's step is: batches from two dense uniform draws, all models
in one einsum, autograd, AdamW, float32, as many threads. Ours is what `sweep` runs: the same blocks, in as many
threads. Both take 1,024 examples a model and a step. "conditional" draws only examples in which a feature fires (the
rest is exact), so its steps carry more signal; "plain" draws as PyTorch does.

Each round times every contestant once, in turn; the ratio is the median over rounds of their ratios.

Command:  python -m benchmarks.neurons [--rounds 5]
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from benchmarks.step import compare
from superposition import AdamW, SparseUniform, ToyRun
from superposition.toy import AbsoluteValue, ReLUHidden, ToyModel
from superposition.training import blocks, loop
from superposition.training.grid import parse
from superposition.training.toy import Program, static_part
from superposition.training.toy_axes import cells_at

BATCH, DENSITY = 1024, 0.1


def ours(model: ToyModel, base: float, models: int, sampling: str) -> Callable[[int], None]:
    """K steps of every model, each of its own seed, cut into blocks and threads as `sweep` does."""
    law = SparseUniform(density=DENSITY, signed=isinstance(model, AbsoluteValue))
    run = ToyRun(model, law, importance_base=base, optimizer=AdamW(1e-3), batch_size=BATCH, sampling=sampling)
    parsed = parse(run, {"seed": range(models)})
    plan = blocks.plan(run, parsed, 2.0, False)
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


def peer(model: ToyModel, base: float, models: int) -> Callable[[int], None]:
    """The same in PyTorch: W (model, n, m) once or twice, two dense uniform draws, einsum, autograd, AdamW."""
    n, m, signed = model.n_features, model.n_hidden, isinstance(model, AbsoluteValue)
    parameters = [torch.nn.Parameter(torch.randn(models, n, m) * 0.3) for _ in range(1 + signed)]
    b = torch.nn.Parameter(torch.zeros(models, n))
    weight = base ** torch.arange(n)
    optimizer = torch.optim.AdamW([*parameters, b], lr=1e-3)
    zero = torch.zeros(())

    def go(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            values, coin = torch.rand(BATCH, models, n), torch.rand(BATCH, models, n)
            x = torch.where(coin <= DENSITY, 2 * values - 1 if signed else values, zero)
            hidden = torch.relu(torch.einsum("bin,inm->bim", x, parameters[0]))
            out = torch.relu(torch.einsum("bim,inm->bin", hidden, parameters[-1]) + b)
            loss = (weight * (x.abs() - out) ** 2).mean((0, 2)).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return go


def main() -> None:
    """Run every case and write benchmarks/neurons.json."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 5
    torch.set_num_threads(loop.worker_count())
    cases: list[tuple[str, ToyModel, float, int, int, int]] = [
        ("ReLU hidden layer, n=10, m=5, 1,000 models", ReLUHidden(10, 5), 0.75, 1000, 2, 16),
        ("absolute value, n=3, m=6, 1,000 models", AbsoluteValue(3, 6), 1.0, 1000, 4, 32),
        ("absolute value, n=100, m=40, 16 models", AbsoluteValue(100, 40), 0.8, 16, 8, 32),
    ]
    rows = []
    for name, model, base, models, theirs, steps in cases:
        contestants = {
            "pytorch": (peer(model, base, models), theirs),
            "ours": (ours(model, base, models, "conditional"), steps),
            "ours, plain sampling": (ours(model, base, models, "plain"), steps),
        }
        rows.append(compare(name, contestants, rounds))
    device = {"cores": loop.worker_count(), "backend": jax.default_backend(), "jax": jax.__version__}
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"device": device, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
