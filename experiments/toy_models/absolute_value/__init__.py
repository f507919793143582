"""Computation in superposition: |x| of 100 features through 40 neurons, from monosemantic to polysemantic.

Elhage et al. 2022, "Computation in superposition": x ~ U[-1, 1] when active, h = ReLU(W1 x), y = ReLU(W2 h + b),
target |x|, I = 0.8^i; n=3, m=6 to warm up, then n=100, m=40 at seven densities. The paper states no training
settings. Ours: Adam (eps 1e-12) at two learning rates that rise over the first 40 % of the steps and fall as a
cosine, 256 examples a step, the best of all seeds and rates by loss. At densities from 0.3 on the rates are twice as
high and the seeds three times as many: there few runs give every feature both its signs, and at 4e-2 sparse ones
diverge. W2 starts as |W1|^T / 4, so that every output
is open for both signs; a random start, kept as a comparison, leaves most features with one sign or none. Losses
are exact up to one active feature and sampled above.

Command:  python -m experiments absolute_value
Time:     two to three minutes on two cores
Expect:   all neurons monosemantic at 1 - S >= 0.3, none at 0.001, where the loss is a fifth of the best without
          superposition
"""

from dataclasses import replace

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.absolute_value.claims import (
    baseline_claims,
    importances,
    neurons_claims,
    start_claim,
    warm_up_claim,
)
from experiments.toy_models.absolute_value.config import MONOSEMANTIC, Config
from experiments.toy_models.absolute_value.draw import alt, draw
from experiments.toy_models.absolute_value.measure import best_models, losses_of, rescaled, signs, trained
from superposition.geometry.neurons import concentration
from superposition.theory.computation import dedicated_loss
from superposition.toy import AbsoluteValue

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train, keep the best model of each density, and weigh it against neurons that each serve one feature."""
    rates = config.learning_rates
    small, small_loss = trained(
        config,
        AbsoluteValue(3, 6),
        (config.warm_up_density,),
        config.warm_up_steps,
        config.warm_up_seeds,
        rates[:1],
    )
    model = AbsoluteValue(config.n_features, config.n_hidden)
    best = best_models(config, model)
    _, random_loss = trained(
        config,
        replace(model, init="xavier"),
        config.densities,
        config.steps,
        config.random_start_seeds,
        rates[:1],
    )
    loss, error = losses_of(config, model, best)
    baseline = dedicated_loss(importances(config, config.n_features), config.densities, config.n_hidden)
    scaled = rescaled(best)
    share = concentration(scaled.W_in)
    fraction = (share > MONOSEMANTIC).mean(1)
    both, one = signs(best)
    warm = rescaled(small)
    arrays = {
        "W_in": np.round(scaled.W_in, 3),
        "monosemantic": share > MONOSEMANTIC,
        "warm_up_W_in": warm.W_in[0],
        "warm_up_W_out": warm.W_out[0],
        "fraction_monosemantic": fraction,
        "largest_share": share.max(1),
        "loss": loss,
        "standard_error": error,
        "dedicated_loss": baseline,
        "random_start_loss": random_loss,
        "features_with_both_signs": both,
        "features_with_one_sign": one,
    }
    claims = [
        warm_up_claim(warm, float(small_loss[0])),
        *neurons_claims(config, fraction, share),
        *baseline_claims(config, arrays),
        start_claim(config, arrays),
    ]
    return Result(config, claims, arrays=arrays)
