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

Command:  python -m experiments.four_questions
Time:     five minutes on two free cores
Expect:   (1) the best latent of a kind is no better a detector than the best neuron (mean F1 0.66 to 0.69), but 8 % of
          1,024 latents fire on one kind alone, 2 % of the neurons, 6 % where as sparse; (2) two thirds of the latents
          are found by another seed, half or more by another architecture, 16 % in another model, where 12 % of the
          neurons are; (3) three or four latents in ten have a parent in the width before, a narrow latent has 1.2
          children among 256 and 1.6 among 1,024, and fires on more than its parts; (4) the logit weights predict
          steering with a correlation of 0.95, dose and response are monotone and selective
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Result, main
from experiments._check import includes, several
from experiments._detectors import activations, encoder, judged, rules, second_half
from experiments._feature_tree import trees
from experiments._found_again import LEVELS, SAME, comparisons
from experiments._four_claims import claims_1, claims_2, claims_3, claims_4
from experiments._meaning import meant
from experiments._pushed import Text, intervened
from experiments._small_lm import HOOK, Material, labels, material, small_lm
from superposition._internal import validate
from superposition.activations import Stream
from superposition.llm import LanguageModel
from superposition.llm.stream import lm_stream
from superposition.plot.feature_tree import Tree
from superposition.plot.four_questions import Detection, Dose, four_questions
from superposition.sae import ARCHITECTURES, SAE, TopK
from superposition.training import SAERun, Trained, fit
from superposition.training.optimizer import Adam

OTHER = "superposition/small-lm-seed1"
GROUPS = {"other scripts": ("arabic", "hebrew", "cherokee", "chinese"), "English": ("english",),
          "code": ("python", "c", "javascript"),
          "data": ("dna", "base64 of text", "base64 of floats", "base64 of noise", "hex")}  # fmt: skip
Saes = dict[str, list[Trained]]

SHARED = "200 rows of sampled text"


@dataclass(frozen=True)
class Config:
    """Text, SAEs and their training, and how much is looked at."""

    text: tuple[Path, ...] = ()
    rows: int = 200
    test_rows: int = 40
    widths: tuple[int, ...] = (64, 256, 1024)
    """Of the tree; architectures are compared at the last but one, models at the last two."""
    k: int = 16
    architectures: tuple[str, ...] = ("batch-topk", "relu")
    seeds: int = 3
    steps: int = 800
    batch_size: int = 500
    learning_rate: float = 6e-3
    draws: int = 2
    latents: int = 8
    """Steered and taken out, of each seed."""
    meanings: int = 170
    """Steered to hold the text they fire on against the text they promote, of each seed; of three, all 512 neurons but two."""
    strengths: tuple[float, ...] = (-4, -2, -1, 0, 1, 2, 4)
    """In units of a latent's largest activation."""

    def __post_init__(self) -> None:
        several("widths", self.widths)
        includes("strengths", self.strengths, 0, 1)
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, widths=(16, 32), k=4, architectures=(), seeds=2, steps=4,
                   batch_size=100, latents=2, meanings=2, strengths=(-1, 0, 1))  # fmt: skip


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


def draw(result: Result) -> Figure:
    """A panel a question."""
    config, a, n = result.config, result.arrays, result.numbers
    sensitivity, specificity = (a[f"latent_{m}"][-1].mean(0) for m in ("recall", "specificity"))
    detection = Detection(n["kinds"], a["neuron_f1"], a["latent_f1"], (a["neuron_recall"], a["neuron_specificity"]),
                          (sensitivity, specificity))  # fmt: skip
    again = {k: (np.asarray(v["shares"])[:, SAME], float(v["chance"][SAME])) for k, v in n["again"].items()}
    drawn = n["tree"]
    tree = Tree(
        config.widths, drawn["labels"], drawn["groups"], drawn["parents"], drawn["rates"], drawn["roots"]
    )
    correlations = {"latent\nup": a["steer_up"], "latent\ndown": a["steer_down"], "neuron\nup": a["steer_neuron"],
                    "random\ndirection": a["steer_random"]}  # fmt: skip
    dose = Dose(config.strengths, *(np.concatenate(a[f"dose_{m}"]) for m in ("promoted", "others")))
    return four_questions(
        detection, again, LEVELS[SAME], tree, list(GROUPS), correlations, dose, _notes(result)
    )


def _group(kind: str) -> int:
    return next(i for i, kinds in enumerate(GROUPS.values()) if kind in kinds)


def _notes(result: Result) -> list[str]:
    """What a panel does not draw, a line each."""
    a, widths = result.arrays, result.config.widths
    pure = ", ".join(
        f"{100 * p.mean():.0f} % of {w} latents" for w, p in zip(widths, a["latent_pure"], strict=True)
    )
    born = ", ".join(
        f"{100 * d.mean():.0f} % of {w}" for w, d in zip(widths[1:], a["tree_descended"], strict=False)
    )
    whole = ", ".join(f"{100 * c.mean():.0f} %" for c in a["tree_covered"][:-1])
    return [
        f"On one kind of text alone fire {100 * float(a['neuron_pure']):.0f} % of the neurons, "
        f"{100 * float(a['sparse_pure']):.0f} % where as sparse as latents; {pure}",
        "Where another unit correlates with it on the same tokens",
        f"With a parent in the width before: {born} (chance {100 * a['tree_chance'].max():.0f} %). Where several have one "
        f"parent, one of them fires on {whole} of its occasions",
        f"On unrelated text. Own kind of text raised above {100 * a['meant_latent'].mean():.0f} % of the other kinds (neurons "
        f"{100 * a['meant_neuron'].mean():.0f} %, chance 50 %)",
    ]


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, n = result.arrays, result.numbers
    f1 = "; ".join(
        f"{k} {x:.2f}, {y:.2f}"
        for k, x, y in zip(n["kinds"], a["neuron_f1"], a["latent_f1"][-1].mean(0), strict=True)
    )
    again = "; ".join(f"{k} {np.mean(np.asarray(v['shares'])[:, SAME]):.2f}" for k, v in n["again"].items())
    return (
        f"Four panels. F1 of the best neuron and the best latent of the widest SAE: {f1}. Share found again: {again}. "
        f"A tree of latents over widths {result.config.widths}: {100 * a['tree_descended'][-1].mean():.0f} % of the "
        f"widest descend from the narrowest. Steering: correlation with the logit weights {a['steer_up'].mean():.2f}, "
        f"dose-response monotone for {100 * a['dose_monotone'].mean():.0f} % of the latents."
    )


if __name__ == "__main__":
    main(__name__)
