"""With too low an L0 an SAE mixes correlated features, and reconstructs better than the truth would.

Chanin and Garriga-Alonso 2025, "Sparse but wrong" (arXiv 2508.16560, version 3), sections 3.2 to 3.6, on a
planted world of 32 orthogonal correlated features in 64 dimensions, 4 of them active on average. BatchTopK
over a range of k and JumpReLU over a range of L0 targets (straight-through gradients into the encoder too, as
theirs), 32 latents each, Adam 3e-3. c_dec is their statistic: the mean |cosine| of two decoder rows (their
equation 4).

Command:  python -m experiments wrong_l0
Time:     one minute on two cores
Expect:   MCC and F1 highest, c_dec lowest near L0 = 4; below it a higher explained variance than the true SAE's
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoders.wrong_l0.claims import all_claims
from experiments.autoencoders.wrong_l0.config import MEASURES, Config
from experiments.autoencoders.wrong_l0.draw import alt, draw
from experiments.lab.claim import Result
from superposition import metrics
from superposition.activations import HELD_OUT_STEP, Batch, planted_stream
from superposition.features import PLANTED
from superposition.sae import SAE, BatchTopK, JumpReLU, Params
from superposition.training import Controller, SAERun, Trained, fit
from superposition.training.optimizer import Adam

__all__ = ["Config", "alt", "draw", "run"]


def measure(sae: SAE, params: Params, batches: Sequence[Batch], truth: np.ndarray) -> dict[str, float]:
    """L0, explained variance, F1 (against the nearest feature) and MCC over `batches`."""
    W = np.asarray(params["W_dec"], float)
    nearest = metrics.nearest(W, truth)
    total: metrics.Sums | None = None
    for batch in batches:
        latents, y_hat = (np.asarray(a) for a in sae.reconstruct(params, batch.x))
        sums = metrics.accumulate(np.asarray(batch.x), y_hat, latents, np.asarray(batch.features), nearest)
        total = sums if total is None else metrics.add(total, sums)
    assert total is not None
    seen = metrics.reconstruction_from(total)
    f1 = metrics.classify_from(total).f1
    return {
        "l0": seen.l0,
        "explained_variance": seen.explained_variance,
        "f1": f1,
        "mcc": metrics.mcc(W, truth),
    }


WORLD = PLANTED["correlated"]
RELATED = 0.1  # |correlation| of two features' firing above which they count as correlated


def run(config: Config) -> Result:
    """Train both architectures over the range, and measure them and the true dictionary on fresh examples."""
    stream = planted_stream(jax.random.key(0), WORLD)
    assert stream.dictionary is not None
    truth = np.asarray(stream.dictionary)
    batches = [stream.batch(HELD_OUT_STEP + i, 4096) for i in range(config.evaluation_batches)]
    fired = np.concatenate([np.asarray(b.features) > 0 for b in batches])
    related = np.abs(np.corrcoef(fired.T)) > RELATED
    size: dict[str, Any] = {"d_in": WORLD.d_in, "d_sae": WORLD.n_features}
    seeds = tuple(range(config.seeds))

    def trained(sae: SAE, steps: int, axis: str, **more: Any) -> list[Trained]:
        recipe = SAERun(sae, Adam(config.learning_rate), steps=steps, batch_size=config.batch_size, **more)
        return fit(recipe, stream, {axis: config.l0, "seed": seeds})

    jumprelu = JumpReLU(**size, to_input=True, threshold=0.1, bandwidth=1.0)
    batch_topk = BatchTopK(**size, aux_coefficient=0.0)  # no latent is silent for as long as AuxK waits
    slow = Controller()  # the default's pace for so short a run costs JumpReLU its dictionary
    runs = {
        "batch_topk": trained(batch_topk, config.steps, "k"),
        "jumprelu": trained(jumprelu, config.jumprelu_steps, "l0_target", l0_target=1.0, controller=slow),
    }
    arrays: dict[str, np.ndarray] = {}
    for name, found in runs.items():
        rows = np.array([_measure(t.sae, t.params, batches, truth, related) for t in found])
        for i, quantity in enumerate(MEASURES):
            arrays[f"{name}_{quantity}"] = rows[:, i].reshape(len(config.l0), config.seeds)
    true_sae = [_truth_at(l0, truth, batches) for l0 in config.l0]
    rows = np.array([_measure(s, p, batches, truth, related) for s, p in true_sae])
    arrays |= {"truth_l0": rows[:, [0]], "truth_explained_variance": rows[:, [3]]}
    true_l0 = float(fired.sum(1).mean())
    return Result(config, all_claims(arrays, np.array(config.l0), true_l0), arrays, {"true_l0": true_l0})


def _truth_at(l0: float, truth: np.ndarray, batches: list[Batch]) -> tuple[SAE, Params]:
    """The true dictionary as encoder and decoder, with the one threshold at which l0 latents fire on average."""
    x = np.concatenate([np.asarray(b.x) for b in batches])
    pre = np.sort((x @ truth.T).ravel())[::-1]
    threshold = max(pre[min(round(l0 * len(x)), pre.size - 1)], 1e-6)  # what is 0 must not fire
    n, d = truth.shape
    params = {
        "W_enc": jnp.asarray(truth.T),
        "b_enc": jnp.zeros(n),
        "W_dec": jnp.asarray(truth),
        "b_dec": jnp.zeros(d),
        "threshold": jnp.full(n, threshold, jnp.float32),
    }
    return JumpReLU(d_in=d, d_sae=n), params


def _measure(
    sae: SAE, params: Params, batches: list[Batch], truth: np.ndarray, related: np.ndarray
) -> list[float]:
    numbers = measure(sae, params, batches, truth)
    W = np.asarray(params["W_dec"], float)
    pairs = np.abs(np.asarray(metrics.cosines(W, W)))[np.triu_indices(len(W), 1)]
    own = {"c_dec": float(pairs.mean()), "hedging": metrics.hedging(W, truth, related).mean}
    return [{**numbers, **own}[name] for name in MEASURES]
