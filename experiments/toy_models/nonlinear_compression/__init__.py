"""Nonlinear compression: two features in one number, by quantising one and writing the other in between.

Elhage et al. 2022, appendix "Nonlinear Compression": t = (floor(Z x) + y) / Z, with every jump of the encoder
and of the decoder replaced by a straight segment epsilon wide, against a linear code. The paper does not say
where its segments lie; ours are centred on the jumps. x is read back as floor(Z t) / Z and, better, with the
best constant added. Errors are exact integrals, nothing is trained. Beyond the paper: noise in t, sparse inputs.

Command:  python -m experiments nonlinear_compression
Time:     ten seconds on one core
Expect:   beats linear at Z = 3 and epsilon = 0.1, 0.076 (with a constant 0.048) against 1/12 = 0.083
"""

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.nonlinear_compression.claims import (
    checked_claim,
    levels_against_width_claim,
    neurons_claim,
    noise_claims,
    paper_claims,
    sparse_claim,
    total_error,
)
from experiments.toy_models.nonlinear_compression.config import LEVELS, Config
from experiments.toy_models.nonlinear_compression.draw import alt, draw
from superposition.theory import compression as code
from superposition.theory.no_bias import no_bias_minimum

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Errors against epsilon, against noise, and against density."""
    width = np.linspace(0, 0.2, config.points)
    noise = np.geomspace(1e-3, 0.3, config.points)
    density = np.geomspace(1, 0.01, config.points)
    arrays = {
        "width": width,
        "noise": noise,
        "density": density,
        "floor": np.array([[total_error(z, w, 0.0) for w in width] for z in LEVELS]),
        "best_constant": np.array([[total_error(z, w, None) for w in width] for z in LEVELS]),
        "noisy": np.array([[code.noisy_error(z, s).total for s in noise] for z in LEVELS]),
        "noisy_linear": code.linear_error(1.0, noise),
        "sparse": np.array([[code.compression_error(z, density=p).total for p in density] for z in LEVELS]),
        "sparse_linear": code.linear_error(density),
        "superposition": no_bias_minimum(1.0, density).loss,
    }
    claims = [
        *paper_claims(arrays),
        neurons_claim(),
        levels_against_width_claim(config),
        *noise_claims(config),
        sparse_claim(),
        checked_claim(config),
    ]
    return Result(config, claims, arrays)
