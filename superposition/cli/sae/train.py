"""`superposition sae train` and `llm train-sae`: a grid of SAEs from settings to a directory, and a table of them."""

import os
import time
from pathlib import Path

from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import LMTrainConfig
from superposition.cli.sae.config import TrainConfig
from superposition.cli.sae.data import open_data
from superposition.cli.terminal import draw_records
from superposition.evaluation.sae_directory import train_saes


def train(config: TrainConfig | LMTrainConfig) -> str:
    """Train a grid of SAEs and print a table of them; returns where they are."""
    assert config.out is not None
    out, notes = Path(os.path.abspath(config.out)), list[str]()
    smaller = "--batch-size" if isinstance(config, TrainConfig) else "--batch-size, --mixing or --ctx"
    with enough_memory(f"give a smaller {smaller}; --resume goes on from what was saved"):
        if isinstance(config, TrainConfig):
            data = open_data(config, train=True)
        else:
            from superposition.cli.llm.data import open_lm

            data = open_lm(config, out.with_name(f"{out.name}.partial"), notes.append)
        n_features = None if data.dictionary is None else len(data.dictionary)
        run, axes = config.plan(data.d_in, data.d_out, n_features)
        start, is_new = time.monotonic(), not out.exists()
        results = train_saes(
            run,
            axes,
            data,
            out,
            resume=config.resume,
            examples=config.examples,
            memory_gb=config.memory_gb,
            checkpoint_seconds=config.checkpoint_seconds,
            allow_mixed=config.allow_mixed,
        )
    records, sae = results["records"], results["run"]["sae"]
    if is_new:
        print(f"{len(records)} SAE{'s' if len(records) > 1 else ''} in {time.monotonic() - start:.1f} s")
    print(*notes, sep="\n", end="\n" * bool(notes))
    sizes = " ".join(f"{name}={sae[name]:g}" for name in ("d_in", "d_sae", "k") if sae.get(name) is not None)
    draw_records(records, f"{config.architecture}, {sizes}, {config.steps} steps")
    return f"SAEs in {config.out}; see them with: superposition sae show {config.out}"
