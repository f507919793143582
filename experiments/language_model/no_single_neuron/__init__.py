"""No single neuron fires on all Arabic text, and only there; are SAE latents better detectors? (Bricken et al. 2023).

The small language model's 512 neurons, and the latents of TopK SAEs of several widths and seeds trained on them, each
unit alone as a detector of one script or format: it says yes where it exceeds a threshold, a fraction of its own
maximum. Unit and threshold are chosen on half of the test rows and judged on the other half; every usable token of a
row counts, spaces and punctuation too. Specificity is asked as well: what share of the units fires nine times in ten
on one kind of text alone. The text is sampled from the model after our own sentences and generated formats;
`--text FOLDER` takes real text instead.

Command:  python -m experiments no_single_neuron
Time:     about two minutes on two free cores
Expect:   no neuron detects Arabic or Hebrew well, and no single latent of a wide SAE does either, as it splits
          them; but latents fire on one kind of text alone far more often than neurons
"""

from functools import partial

import jax
import numpy as np

from experiments.lab.claim import Result
from experiments.language_model.no_single_neuron.claims import all_claims, overall_claims
from experiments.language_model.no_single_neuron.config import Config
from experiments.language_model.no_single_neuron.draw import alt, draw
from experiments.language_model.shared.detectors import activations, encode, judged, second_half
from experiments.language_model.shared.small_lm import HOOK, labels, material, small_lm
from superposition.llm.stream import lm_stream
from superposition.sae import TopK
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

__all__ = ["SHARED", "SHARED_LECTURE", "Config", "alt", "draw", "run"]
SCRIPTS = ("arabic", "hebrew")  # the lecture's
SHARED = "200 rows of sampled text"
SHARED_LECTURE = "60 rows of sampled text"


def run(config: Config) -> Result:
    """Train the SAEs, then choose and judge the best neuron and latents for every kind of text."""
    lm = small_lm()
    train, test = material(lm, config.text, rows=config.rows, test_rows=config.test_rows)
    stream = lm_stream(jax.random.key(2), lm, train, HOOK)
    neurons, truth, half = activations(lm, test), labels(test), second_half(test)
    arrays = {f"neuron_{k}": v for k, v in judged(lambda x: x, neurons, truth, half).items()}
    found = []
    for width, k in zip(config.widths, config.ks, strict=True):
        sae = TopK(d_in=stream.source.d_in, d_sae=width, k=k)
        recipe = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size)
        saes = fit(recipe, stream, {"seed": range(config.seeds)})
        found.append([judged(partial(encode, one.sae, one.params), neurons, truth, half) for one in saes])
    for name in found[0][0]:
        arrays[f"latent_{name}"] = np.array([[one[name] for one in row] for row in found])
    kinds = list(test.sources)
    claims = [
        claim
        for kind in SCRIPTS
        if kind in kinds
        for claim in all_claims(config, kind, kinds.index(kind), arrays)
    ]
    return Result(config, [*claims, *overall_claims(config, kinds, arrays)], arrays, {"kinds": kinds})
