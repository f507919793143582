"""An autoencoder with an L1 penalty takes features out of superposition: MMCS over penalty and width.

Sharkey, Braun and Millidge 2022: 512 features in 256 dimensions, decay 0.99, 5 active. The band is shown at
that size, at twice the true width (2,500 steps of 1,024 examples, Adam 2e-3); the whole map at a quarter of
it in every direction (128 in 64, decay 0.99^4, 1.25 active: the same firing rates; 4,000 steps of 256, 3e-3).
They had 1e-3 and batches of 4,096. Their autoencoder: untied, bias in the encoder, unit decoder rows, L1
(architecture "bricken", never resampled).

Command:  python -m experiments sharkey
Time:     three minutes on two cores
Expect:   MMCS above 0.97 in a band of penalties at twice the true width, below 0.7 under the true width
"""

import itertools

import jax
import numpy as np

from experiments.autoencoders.sharkey.claims import all_claims, full_claim
from experiments.autoencoders.sharkey.config import FULL, Config
from experiments.autoencoders.sharkey.draw import alt, draw
from experiments.lab.claim import Result
from superposition import metrics
from superposition.activations import planted_stream
from superposition.sae import Bricken
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train a row of penalties per width, side by side, and compare dictionaries with the truth and each other."""
    stream = config.stream()
    assert stream.dictionary is not None
    truth = np.asarray(stream.dictionary)
    fresh = stream.sample(16 * 4096).x
    decoders, dead = [], []
    for width in config.widths:
        sae = Bricken(d_in=truth.shape[1], d_sae=width, resample_times=0)
        recipe = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size)
        found = fit(recipe, stream, {"penalty": config.penalties.tolist()}, seed=config.seed)
        decoders.append([np.asarray(t.params["W_dec"]) for t in found])
        dead.append(
            [int((np.asarray(t.sae.encode(t.params, fresh)) > 0).any(0).__invert__().sum()) for t in found]
        )
    mmcs = np.array([[metrics.mmcs(W, truth) for W in row] for row in decoders])
    of_latents = np.array([[metrics.mmcs(truth, W) for W in row] for row in decoders])
    larger = np.full_like(mmcs, np.nan)  # the widest dictionary has no larger one
    for i, (row, above) in enumerate(itertools.pairwise(decoders)):
        larger[i] = [metrics.mmcs(b, a) for a, b in zip(row, above, strict=True)]
    arrays = {
        "mmcs": mmcs,
        "mmcs_of_latents": of_latents,
        "mmcs_with_larger": larger,
        "dead": np.array(dead),
        "widths": np.array(config.widths),
        "penalties": config.penalties,
    }
    full = _full_size(config)
    claims = [*all_claims(arrays, len(truth)), *([full_claim(config, full)] if full else [])]
    return Result(config, claims, arrays, {"n_features": len(truth), "full_size_mmcs": full})


def _full_size(config: Config) -> list[float]:
    """MMCS at the post's own size, twice as many latents as features, a penalty each."""
    if not config.full_penalty_steps:
        return []
    stream = planted_stream(jax.random.key(config.seed), FULL)
    sae = Bricken(d_in=FULL.d_in, d_sae=2 * FULL.n_features, resample_times=0)
    rate = Adam(config.full_learning_rate)
    recipe = SAERun(sae, rate, steps=config.full_steps, batch_size=config.full_batch_size)
    penalties = (10.0 ** (np.array(config.full_penalty_steps) / 4)).tolist()
    found = fit(recipe, stream, {"penalty": penalties}, seed=config.seed)
    return [float(metrics.mmcs(np.asarray(t.params["W_dec"]), stream.dictionary)) for t in found]
