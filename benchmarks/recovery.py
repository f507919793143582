"""Recovery of planted features: our SAEs and sae-lens's own, trained on the same batches, at equal L0.

A reduced SynthSAEBench (`PLANTED["synth-sae-bench"]`); both sides see the same batches in the same order,
scaled alike, with the same width, learning rate, decay and number of steps, otherwise with their own
defaults. sae-lens trains first; where its sparsity is a penalty, ours is asked for the L0 that came of it.
Scores by our metrics on fresh samples, mean and standard deviation over seeds.

Command:  python -m benchmarks.recovery [--steps 4000] [--seeds 3]
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from superposition import metrics
from superposition.activations import Stream, planted_stream
from superposition.features import PLANTED
from superposition.sae import BatchTopK, Gated, JumpReLU, MatchingPursuit, Matryoshka, ReLU, TopK
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

BATCH, D_SAE, K, RATE = 1024, 256, 6, 1e-3
PREFIXES = (8, 32, 128, 256)


def score(stream: Stream, encode: Any, decode: Any, W_dec: np.ndarray) -> dict[str, float]:
    """F1, MCC, explained variance, L0 on 32,768 fresh samples."""
    sample = stream.sample(32_768)
    x, truth = np.asarray(sample.x), np.asarray(sample.features)
    latents = encode(x)
    return {
        "f1": float(metrics.classify(latents, truth, W_dec, stream.dictionary).f1),
        "mcc": float(metrics.mcc(W_dec, stream.dictionary)),
        "ev": float(metrics.explained_variance(x, decode(latents))),
        "l0": float(metrics.l0(latents)),
    }


def theirs(
    stream: Stream, kind: str, batches: list[Any], seed: int, scale: float, **settings: Any
) -> dict[str, float]:
    """One SAE trained by sae-lens on `batches`."""
    import sae_lens as lens
    import torch
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(seed)
    name = {"batchtopk": "BatchTopK", "matryoshka": "MatryoshkaBatchTopK", "standard": "Standard"}
    name |= {"jumprelu": "JumpReLU", "topk": "TopK", "matchingpursuit": "MatchingPursuit", "gated": "Gated"}
    cls, config = (getattr(lens, f"{name[kind]}TrainingSAE{part}") for part in ("", "Config"))
    sae = cls(config(d_in=stream.source.d_in, d_sae=D_SAE, **settings))

    steps = len(batches)
    config = SAETrainerConfig(
        total_training_samples=steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=RATE,
        lr_end=RATE / 10,
        lr_decay_steps=steps // 5,
        logger=LoggingConfig(log_to_wandb=False),
    )
    SAETrainer(config, sae, itertools.cycle(batches)).fit()
    with torch.no_grad():
        if hasattr(sae, "topk_threshold"):
            threshold, norms = float(sae.topk_threshold), sae.W_dec.norm(dim=-1)

            def encode(x: np.ndarray) -> np.ndarray:
                inside = sae.process_sae_in(torch.tensor(x * scale))
                pre = (inside @ sae.W_enc + sae.b_enc) * norms
                return torch.where(pre > threshold, pre, torch.zeros(())).detach().numpy()

        else:

            def encode(x: np.ndarray) -> np.ndarray:
                return sae.encode(torch.tensor(x * scale)).detach().to_dense().numpy()

        def decode(latents: np.ndarray) -> np.ndarray:
            return sae.decode(torch.tensor(latents)).detach().numpy() / scale

        return score(stream, encode, decode, sae.W_dec.detach().numpy())


def ours(
    stream: Stream, sae: Any, steps: int, seeds: list[int], l0: float | None = None
) -> list[dict[str, float]]:
    """The same by fit, all seeds side by side."""
    run = SAERun(sae, Adam(RATE), steps=steps, batch_size=BATCH, l0_target=l0)
    rows = []
    for trained in fit(run, stream, {"seed": seeds}):
        sae, params = trained.sae, trained.params

        def encode(x: np.ndarray, sae: Any = sae, params: Any = params) -> np.ndarray:
            return np.asarray(sae.encode(params, x))

        def decode(latents: np.ndarray, sae: Any = sae, params: Any = params) -> np.ndarray:
            return np.asarray(sae.decode(params, latents))

        rows.append(score(stream, encode, decode, np.asarray(params["W_dec"])))
    return rows


def main() -> None:
    """Train every pair; write benchmarks/recovery.json."""
    import torch

    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    steps, seeds = int(options.get("--steps", 4000)), list(range(int(options.get("--seeds", 3))))
    stream = planted_stream(jax.random.key(0), PLANTED["synth-sae-bench"])
    scale = stream.scales(BATCH)[0]
    batches = [torch.tensor(np.asarray(stream.batch(i, BATCH).x) * scale) for i in range(steps)]
    sizes = {"d_in": stream.source.d_in, "d_sae": D_SAE}
    pairs: list[tuple[str, str, dict[str, Any], Any]] = [
        ("BatchTopK", "batchtopk", {"k": float(K)}, BatchTopK(k=float(K), **sizes)),
        (
            "Matryoshka",
            "matryoshka",
            {"k": float(K), "matryoshka_widths": list(PREFIXES)},
            Matryoshka(k=float(K), prefixes=PREFIXES, **sizes),
        ),
        ("TopK", "topk", {"k": K}, TopK(k=K, **sizes)),
        ("L1", "standard", {"l1_coefficient": 2.0, "l1_warm_up_steps": steps // 20}, ReLU(**sizes)),
        ("Gated", "gated", {"l1_coefficient": 2.0, "l1_warm_up_steps": steps // 20}, Gated(**sizes)),
        ("JumpReLU", "jumprelu", {"l0_coefficient": 2.0, "l0_warm_up_steps": steps // 20}, JumpReLU(**sizes)),
        (
            "Matching pursuit",
            "matchingpursuit",
            {"max_iterations": K},
            MatchingPursuit(max_iterations=K, **sizes),
        ),
    ]
    rows = []
    for name, kind, settings, sae in pairs:
        peer = [theirs(stream, kind, batches, seed, scale, **settings) for seed in seeds]
        l0 = float(np.mean([r["l0"] for r in peer])) if sae.penalised else None
        mine = ours(stream, sae, steps, seeds, l0)
        row: dict[str, Any] = {"architecture": name}
        for who, scores in (("sae-lens", peer), ("ours", mine)):
            for key in scores[0]:
                values = [s[key] for s in scores]
                row[f"{who} {key}"] = [round(float(np.mean(values)), 4), round(float(np.std(values)), 4)]
        print(json.dumps(row), flush=True)
        rows.append(row)
    config = {"steps": steps, "seeds": seeds, "batch": BATCH, "d_sae": D_SAE, "k": K, "learning_rate": RATE}
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"config": config, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
