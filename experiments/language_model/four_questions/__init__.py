"""The lecture's four questions of an SAE's features, answered with numbers on the small language models.

(1) Are they meaningful and monosemantic? For every kind of text the best single latent's F1 as a detector against the
best single neuron's (chosen on half of the test rows, judged on the others), and the share of units that fire nine
times in ten on one kind. (2) Are they found again? A latent is, where another dictionary has one that correlates with
it on the same tokens (0.7 or more): of another seed, width, architecture, or of the second, independently trained
model; beside it chance (tokens shuffled), untrained SAEs, and the neurons of the two models. (3) Do they split as the
dictionary grows, and coalesce as it shrinks? Descent is `metrics.split_features`. (4) Is intervening predictable?
Latents evenly spaced in order of how often they fire are steered on unrelated text, and taken out where they are
strongest; what the logit weights (the direct path) say beforehand is held against what the model then does.
All SAEs are trained here, on text sampled from the model; `--text FOLDER` takes real text.

Command:  python -m experiments four_questions
Time:     five minutes on two free cores
Expect:   (1) the best latent of a kind is no better a detector than the best neuron (mean F1 0.66 to 0.69), but 8 % of
          1,024 latents fire on one kind alone, 2 % of the neurons, 6 % where as sparse; (2) two thirds of the latents
          are found by another seed, half or more by another architecture, 16 % in another model, where 12 % of the
          neurons are; (3) three or four latents in ten have a parent in the width before, a narrow latent has 1.2
          children among 256 and 1.6 among 1,024, and fires on more than its parts; (4) the logit weights predict
          steering with a correlation of 0.95, dose and response are monotone and selective
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.lab.claim import Result
from experiments.language_model.four_questions.claims import claims_1, claims_2, claims_3, claims_4
from experiments.language_model.four_questions.config import GROUPS, Config
from experiments.language_model.four_questions.draw import alt, draw, more
from experiments.language_model.four_questions.found_again import comparisons
from experiments.language_model.four_questions.meaning import meant
from experiments.language_model.four_questions.pushed import Text, intervened
from experiments.language_model.four_questions.tree import trees
from experiments.language_model.shared.detectors import activations, encoder, judged, rules, second_half
from experiments.language_model.shared.small_lm import HOOK, Material, labels, material, small_lm
from superposition.activations import Stream
from superposition.llm import LanguageModel
from superposition.llm.stream import lm_stream
from superposition.sae import ARCHITECTURES, SAE, TopK
from superposition.training import SAERun, Trained, fit
from superposition.training.optimizer import Adam

__all__ = ["SHARED", "Config", "alt", "draw", "more", "run"]
OTHER = "superposition/small-lm-seed1"
Saes = dict[str, list[Trained]]
SHARED = "200 rows of sampled text"


def run(config: Config) -> Result:
    """Train the SAEs, then ask."""
    models = [small_lm(), small_lm(OTHER)]
    held = material(models[0], config.text, rows=config.rows, test_rows=config.test_rows)
    saes = train(config, models, held)
    return answer(config, models, held, saes)


def train(config: Config, models: list[LanguageModel], held: Material) -> Saes:
    """SAEs by name: "topk-64" and so on, an architecture at the middle width, "other-256", all seeds of each."""
    streams = [lm_stream(jax.random.key(2), lm, held.train, HOOK) for lm in models]

    def fitted(stream: Stream, sae: SAE) -> list[Trained]:
        recipe = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size,
                        l0_target=config.k if sae.penalised else None)  # fmt: skip
        return fit(recipe, stream, {"seed": range(config.seeds)})

    d_in = streams[0].source.d_in
    saes = {f"topk-{w}": fitted(streams[0], TopK(d_in=d_in, d_sae=w, k=config.k)) for w in config.widths}
    for name in config.architectures:
        own: dict[str, Any] = {} if ARCHITECTURES[name].penalised else {"k": config.k}
        saes[name] = fitted(streams[0], ARCHITECTURES[name](d_in=d_in, d_sae=config.widths[-2], **own))
    for w in config.widths[-2:]:
        saes[f"other-{w}"] = fitted(streams[1], TopK(d_in=d_in, d_sae=w, k=config.k))
    return saes


def answer(config: Config, models: list[LanguageModel], held: Material, saes: Saes) -> Result:
    """Every question in turn."""
    lm, test, kinds = models[0], held.test, list(held.test.sources)
    x, truth, half = activations(lm, test), labels(test), second_half(test)
    other = activations(models[1], test)[half]
    detected = _detect(config, x, truth, half, saes)
    again = comparisons(config, x[half], other, saes)
    named = {w: rules(encoder(saes[f"topk-{w}"][0]), x, truth, test, lm.tokenizer) for w in config.widths}
    tree, drawn = trees(config, x[half], saes, named, kinds, _group)
    widest, text = saes[f"topk-{config.widths[-1]}"], Text.of(lm, held)
    pushed = intervened(config, lm, x, half, widest, text)
    pushed |= meant(config, lm, widest, x[~half], truth[~half], text)
    claims = [
        *claims_1(config, kinds, detected),
        *claims_2(config, again),
        *claims_3(config, tree),
        *claims_4(config, pushed),
    ]
    numbers = {"kinds": kinds, "again": {k: v._asdict() for k, v in again.items()}, "tree": drawn}
    return Result(config, claims, detected | tree | pushed, numbers)


def _detect(
    config: Config, x: np.ndarray, truth: np.ndarray, half: np.ndarray, saes: Saes
) -> dict[str, np.ndarray]:
    """Question 1: neuron_* (kinds,), sparse_pure of the k largest neurons a token, latent_* (widths, seeds, kinds)."""
    arrays = {f"neuron_{k}": v for k, v in judged(lambda b: b, x, truth, half).items()}
    arrays["sparse_pure"] = judged(partial(_largest, config.k), x, truth, half)["pure"]
    found = [[judged(encoder(t), x, truth, half) for t in saes[f"topk-{w}"]] for w in config.widths]
    names = ("f1", "precision", "recall", "specificity", "pure")
    return arrays | {f"latent_{n}": np.array([[one[n] for one in row] for row in found]) for n in names}


def _largest(k: int, x: np.ndarray) -> np.ndarray:
    """The k largest neurons of a token, the others 0: neurons as sparse as latents are."""
    least = -np.partition(-x, k - 1, axis=1)[:, k - 1 : k]
    return np.where(x >= least, x, 0)


def _group(kind: str) -> int:
    return next(i for i, kinds in enumerate(GROUPS.values()) if kind in kinds)
