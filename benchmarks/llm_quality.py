"""A TopK SAE on the shipped language model by sae-lens and by us: same batches, width, k and tokens, spliced in.

sae-lens's trainer is fed the batches of our stream (already normalised, float32); both SAEs are then judged by our
`interventions.evaluate` on rows that were not trained on. Each library starts as it does by default.

Command:  python -m benchmarks.llm_quality [--text FOLDER] [--steps 1000] [--seeds 2]
"""

import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.language_model.shared.small_lm import HOOK, material
from superposition import interventions
from superposition.activations import Stream
from superposition.llm import LanguageModel
from superposition.llm.stream import lm_stream
from superposition.sae import TopK
from superposition.sae.transforms import fold_scale
from superposition.storage import formats
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

BATCH, D_SAE, K, RATE = 1000, 1024, 32, 1e-3
SHOWN = ("l0", "explained_variance", "ce_recovered", "ce_recovered_mean", "kl", "dead_fraction")


def batches(stream: Stream, steps: int, scale: float) -> list[Any]:
    """The batches that `fit` trains on."""
    import torch

    source, state = stream.source, stream.source.start(stream.inputs, BATCH)
    step = jax.jit(lambda inputs, state, i: source.next(inputs, state, i, BATCH))
    result = []
    for i in range(steps):
        batch, state = step(stream.inputs, state, jnp.uint32(i))
        result.append(torch.tensor(np.asarray(batch.x) * scale))
    return result


def theirs(data: list[Any], seed: int, scale: float) -> tuple[Any, Any]:
    """Trained by sae-lens, saved by it, read by us, the scale folded in."""
    import sae_lens as lens
    import torch
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(seed)
    sae = lens.TopKTrainingSAE(lens.TopKTrainingSAEConfig(d_in=data[0].shape[1], d_sae=D_SAE, k=K))
    config = SAETrainerConfig(total_training_samples=len(data) * BATCH, train_batch_size_samples=BATCH, lr=RATE,
                              lr_end=RATE / 10, lr_decay_steps=len(data) // 5,
                              logger=LoggingConfig(log_to_wandb=False))  # fmt: skip
    SAETrainer(config, sae, itertools.cycle(data)).fit()
    with tempfile.TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        loaded = formats.load(Path(folder))
    return fold_scale(loaded.sae, loaded.params, scale, scale)


def main() -> None:
    """Train both for every seed; write benchmarks/llm_quality.json."""
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    steps, seeds = int(options.get("--steps", 1000)), int(options.get("--seeds", 2))
    text = (Path(options["--text"]),) if "--text" in options else ()
    lm = LanguageModel.from_hf()
    held = material(lm, text, rows=400, test_rows=20)
    test = held.test
    if text:
        few = np.sort(np.random.default_rng(0).permutation(len(test.tokens))[:240])
        test = test._replace(tokens=test.tokens[few], usable=test.usable[few], source=test.source[few])
    stream = lm_stream(jax.random.key(1), lm, held.train, HOOK)
    floor = interventions.ablations(lm, HOOK, test)
    scale = stream.scales(BATCH)[0]
    data = batches(stream, steps, scale)
    peers = [theirs(data, seed, scale) for seed in range(seeds)]
    run = SAERun(TopK(d_in=stream.source.d_in, d_sae=D_SAE, k=K), Adam(RATE), steps=steps, batch_size=BATCH)
    mine = [(t.sae, t.params) for t in fit(run, stream, {"seed": range(seeds)})]
    rows = []
    for name, saes in (("sae-lens", peers), ("ours", mine)):
        attached = [interventions.Attached(lm, HOOK, sae, params) for sae, params in saes]
        numbers = [interventions.evaluate(one, test, floor).numbers for one in attached]
        rows.append({"who": name} | {k: [round(n[k], 5) for n in numbers] for k in SHOWN})
        print(json.dumps(rows[-1]), flush=True)
    config = {
        "steps": steps,
        "batch": BATCH,
        "d_sae": D_SAE,
        "k": K,
        "learning_rate": RATE,
        "text": bool(text),
    }
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"config": config, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
