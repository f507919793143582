"""An SAE's training step against sae-lens's, its unavoidable parts, its memory, and its cost by width.

The contestant is sae-lens's own `SAETrainer.step` (optimizer, schedulers and firing statistics included),
fed tensors that lie ready in memory; ours is what `fit` runs, fed from an array in memory. Same sizes, same
cores, float32, alternating; a ratio is the median over rounds. AuxK off on both sides where stated.

Command:  python -m benchmarks.sae [--rounds 7]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.step import compare
from superposition.activations import Stream, array_stream
from superposition.sae import SAE, BatchTopK, ReLU, TopK
from superposition.training import SAERun, fitting, loop, sae_blocks
from superposition.training.optimizer import Adam

BATCH, D_IN, D_SAE, K = 2048, 512, 4096, 32
WIDTHS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)


def stream(d_in: int, batch: int) -> Stream:
    """Normal activations, four batches of them."""
    x = np.random.default_rng(0).standard_normal((4 * batch, d_in)).astype(np.float32)
    return array_stream(jax.random.key(0), x)


class Ours:
    """Steps as `fit` makes them; `shift` lowers b_enc to reach a sparse state, which a rate of ~0 then keeps."""

    def __init__(self, sae: SAE, batch: int, cells: int = 1, shift: float = 0.0):
        run = SAERun(sae, Adam(1e-9 if shift else 3e-4), steps=10_000, batch_size=batch, normalize=False)
        data = stream(sae.d_in, batch)
        sample = data.sample(batch, batch=batch)
        start_of = fitting.Fitting(run, data, ("seed",), 0, (1.0, 1.0), sample, sample.x, sample.x)
        size = sae_blocks.block_size(run, cells, 4.0)
        self.blocks = []
        for start in range(0, cells, size):
            rows = [(seed,) for seed in range(start, min(start + size, cells))]
            program, inputs, state = start_of.init(rows)
            lowered = state.params["b_enc"] - shift
            self.blocks.append([program, inputs, state._replace(params={**state.params, "b_enc": lowered})])
        self.pool = ThreadPoolExecutor(sae_blocks.workers(run))
        self.done = 0

    def __call__(self, steps: int) -> None:
        """Train on."""

        def advance(block: list[Any]) -> None:
            block[2] = jax.block_until_ready(loop.advance(*block, np.int32(self.done), np.int32(steps)))

        list(self.pool.map(advance, self.blocks))
        self.done += steps

    def l0(self) -> float:
        """L0 as last logged."""
        program, _, state = self.blocks[0]
        return float(state.history[0, 0, program.terms.index("l0")])

    def peak(self) -> dict[str, float]:
        """Megabytes: parameters + Adam moments + pre-activations, and the step's peak less its data."""
        program, inputs, state = self.blocks[0]
        lowered = loop.advance.lower(program, inputs, state, np.int32(0), np.int32(1))
        memory = lowered.compile().memory_analysis()
        data = sum(a.nbytes for a in jax.tree.leaves(inputs))
        weights = sum(a.nbytes for a in jax.tree.leaves(state.params))
        needed = 3 * weights + 4 * program.run.batch_size * program.run.sae.d_sae
        peak = memory.argument_size_in_bytes - data + memory.temp_size_in_bytes
        return {"needed MB": needed / 1e6, "peak MB": peak / 1e6, "ratio": round(peak / needed, 2)}


def sae_lens(kind: str, batch: int, d_in: int, d_sae: int, **settings: Any) -> Callable[[int], None]:
    """Steps of sae-lens's trainer."""
    import sae_lens as lens
    import torch
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    make = {
        "topk": (lens.TopKTrainingSAE, lens.TopKTrainingSAEConfig),
        "batchtopk": (lens.BatchTopKTrainingSAE, lens.BatchTopKTrainingSAEConfig),
        "standard": (lens.StandardTrainingSAE, lens.StandardTrainingSAEConfig),
    }
    cls, config = make[kind]
    data = [torch.randn(batch, d_in) for _ in range(4)]

    def forever() -> Iterator[Any]:
        while True:
            yield from data

    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=10_000 * batch,
            train_batch_size_samples=batch,
            lr=3e-4,
            lr_end=3e-5,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        cls(config(d_in=d_in, d_sae=d_sae, **settings)),
        forever(),
    )
    batches = forever()

    def go(steps: int) -> None:
        for _ in range(steps):
            trainer.maybe_reset_sparsity()
            trainer.step(next(batches))
            trainer.n_training_steps += 1

    return go


def parts() -> Callable[[int], None]:
    """What TopK cannot avoid: the encoder's product and top-k."""
    x, W = (
        jax.random.normal(jax.random.key(0), (BATCH, D_IN)),
        jax.random.normal(jax.random.key(1), (D_IN, D_SAE)),
    )

    @jax.jit
    def both(x: Any, W: Any) -> Any:
        return jax.lax.top_k(x @ W, K)

    def go(steps: int) -> None:
        for _ in range(steps):
            jax.block_until_ready(both(x, W))

    return go


def large(rounds: int) -> list[dict[str, Any]]:
    """d=512, d_sae=4096, k=32, batch 2048."""
    topk = TopK(d_in=D_IN, d_sae=D_SAE, k=K, aux_coefficient=0.0)
    batch_topk = BatchTopK(d_in=D_IN, d_sae=D_SAE, k=K, aux_coefficient=0.0)
    relu = ReLU(d_in=D_IN, d_sae=D_SAE)
    sparse = Ours(relu, BATCH, shift=0.22)
    sizes = (BATCH, D_IN, D_SAE)
    off = {"aux_loss_coefficient": 0.0}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("TopK", {"sae-lens": sae_lens("topk", *sizes, k=K, **off), "ours": Ours(topk, BATCH)}),
        ("TopK: encoder product + top-k alone", {"ours": Ours(topk, BATCH), "parts": parts()}),
        (
            "TopK with AuxK on, nothing dead",
            {"without": Ours(topk, BATCH), "with": Ours(replace(topk, aux_coefficient=1 / 32), BATCH)},
        ),
        (
            "BatchTopK",
            {"sae-lens": sae_lens("batchtopk", *sizes, k=K, **off), "ours": Ours(batch_topk, BATCH)},
        ),
        ("L1, as it starts", {"sae-lens": sae_lens("standard", *sizes), "ours": Ours(relu, BATCH)}),
        ("L1, sparse", {"sae-lens": sae_lens("standard", *sizes), "ours": sparse}),
    ]
    rows = [compare(name, {k: (go, 4) for k, go in case.items()}, rounds) for name, case in cases]
    rows[-1]["l0"] = sparse.l0()
    rows += [
        {"case": f"memory of {type(s).__name__}"} | Ours(s, BATCH).peak() for s in (topk, batch_topk, relu)
    ]
    return rows


def many(rounds: int) -> list[dict[str, Any]]:
    """64 SAEs on a toy model's 5 dimensions, in one program; sae-lens trains them one after the other."""
    rows = []
    for name, kind, sae, settings in (
        ("L1", "standard", ReLU(d_in=5, d_sae=40), {}),
        ("TopK", "topk", TopK(d_in=5, d_sae=40, k=2), {"k": 2}),
    ):
        go = sae_lens(kind, 1024, 5, 40, **settings)
        ours = Ours(sae, 1024, cells=64)
        row = compare(
            f"64 SAEs of 40 latents in 5 dimensions, {name}",
            {"sae-lens": (go, 64), "ours": (ours, 8)},
            rounds,
        )
        row["sae-lens ms for 64"] = round(64 * row["sae-lens ms"], 1)
        row["ratio for 64"] = round(64 * row["ours ratio"], 1)
        rows.append(row)
    return rows


def by_width(rounds: int) -> list[dict[str, Any]]:
    """TopK's step against d_sae at d=512, k=32, batch 1024: ours, and the dense form of the same step."""
    from superposition.sae import _sparse

    rows = []
    for width in WIDTHS:
        row: dict[str, Any] = {"case": "TopK by width", "d_sae": width}
        for name, below in (("ours", 24), ("dense", 10**9)):
            if name == "dense" and width > 16384:
                continue
            _sparse.DENSE_BELOW = below
            jax.clear_caches()
            go = Ours(TopK(d_in=D_IN, d_sae=width, k=K, aux_coefficient=0.0), 1024)
            go(2)
            times = []
            for _ in range(max(3, rounds // 2)):
                begun = time.perf_counter()
                go(3)
                times.append((time.perf_counter() - begun) / 3 * 1e3)
            row[f"{name} ms"] = round(statistics.median(times), 1)
            _sparse.DENSE_BELOW = 24
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Milliseconds a step against d_sae."""
    from superposition import plot

    with plot.style.styled():
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
        for name, label in (("dense", "dense products"), ("ours", "active latents alone")):
            points = [(r["d_sae"], r[f"{name} ms"]) for r in rows if f"{name} ms" in r]
            ax.loglog(*zip(*points, strict=True), "o-", label=label, base=2)
        ax.set(xlabel="$d_{sae}$", ylabel="ms a step", title="TopK, d=512, k=32, batch 1024, two cores")
        ax.legend(frameon=False)
    alt = "; ".join(f"{r['d_sae']}: {r['ours ms']} ms" for r in rows)
    plot.save(figure, path, alt=f"Milliseconds a step against d_sae. {alt}", title="TopK step by width")


def main() -> None:
    """Run every case; write benchmarks/sae.json and sae.png."""
    import torch

    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 7
    torch.set_num_threads(loop.worker_count())
    here = Path(__file__)
    widths = by_width(rounds)
    draw(widths, here.with_suffix(".png"))
    rows = large(rounds) + many(rounds) + widths
    device = {"cores": loop.worker_count(), "backend": jax.default_backend(), "jax": jax.__version__}
    here.with_suffix(".json").write_text(json.dumps({"device": device, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
