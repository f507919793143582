"""SAE Lens's tutorial, step by step, offline: load, look, contrast, find examples, steer, ablate, attribute.

Each step of the tutorial (SAELens, tutorials/tutorial_2_0.ipynb) is one function here, on the language model and the
SAE that ship, in no more lines than the tutorial types. The page of the latent that is looked at (activation
histogram, top logits, examples) is written as well, with `--out FOLDER`. The latent is the one that differs most
between two prompts, and the one ablated is that to which most of the next token's logit is attributed; nothing is
chosen by hand but the prompts.

Command:  python -m experiments sae_lens_tutorial --out runs/tutorial
Time:     half a minute on two free cores
Expect:   fewer lines at every step; the further a latent is steered, the further the model is from itself
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.claim import Result
from experiments.language_model.sae_lens_tutorial.claims import claims
from experiments.language_model.sae_lens_tutorial.config import Config
from experiments.language_model.sae_lens_tutorial.draw import alt, cache, contrast, draw, examples
from experiments.language_model.shared.small_lm import HOOK, material
from superposition import interventions
from superposition.interventions import Logit
from superposition.llm import LanguageModel
from superposition.llm.direct import logit_weights
from superposition.llm.packing import Tokens
from superposition.pages.llm import feature_pages
from superposition.pages.pieces import piece
from superposition.pages.write import write
from superposition.sae import SAE, Params
from superposition.storage import formats

__all__ = ["Config", "alt", "draw", "run"]


# -- the steps


def load() -> tuple[LanguageModel, SAE, Params]:
    """A model and an SAE of it."""
    sae, params, *_ = formats.load("superposition/small-lm-sae")
    return LanguageModel.from_hf("superposition/small-lm"), sae, params


def histogram(f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the activations that are not zero, and the bins."""
    return np.histogram(f[f > 0], 50)


def top_logits(lm: LanguageModel, params: Params, latent: int) -> list[tuple[str, float]]:
    """The ten tokens a latent promotes most."""
    weights = np.asarray(logit_weights(lm, HOOK, params["W_dec"][latent]))[0]
    return [(piece(lm.tokenizer, int(i)), float(weights[i])) for i in np.argsort(-weights)[:10]]


def steer(lm: LanguageModel, sae: SAE, params: Params, text: Tokens, latent: int, ids: list[int],
          config: Config) -> list[str]:  # fmt: skip
    """A prompt continued at several strengths."""
    largest = interventions.max_activations(interventions.Attached(lm, HOOK, sae, params), text)[latent]
    edits = [
        interventions.steer(interventions.Attached(lm, HOOK, sae, params), latent, s * largest)
        for s in config.strengths
    ]
    new = [
        lm.generate([ids], config.new, key=jax.random.key(0), temperature=0.7, top_p=0.9, edits=e)
        for e in edits
    ]
    return [str(lm.tokenizer.decode(one[0])) for one in new]


def ablate(lm: LanguageModel, sae: SAE, params: Params, latent: int, ids: list[int]) -> dict[str, np.ndarray]:
    """Next-token logits as they are, and without a latent, with and without the error term."""
    own = interventions.ablate, (interventions.Attached(lm, HOOK, sae, params), latent)
    edits = {
        "model": {},
        **{
            f"ablated, error term {'kept' if e else 'left out'}": own[0](*own[1], error_term=e)
            for e in (True, False)
        },
    }
    return {name: np.asarray(lm([ids], edits=e))[0, -1] for name, e in edits.items()}


def attribute(
    lm: LanguageModel, sae: SAE, params: Params, ids: list[int], target: int
) -> interventions.Attribution:
    """What the target's logit rests on, by token and latent."""
    return interventions.attribute(
        interventions.Attached(lm, HOOK, sae, params), [ids], Logit(jnp.asarray(target))
    )


def page(lm: LanguageModel, sae: SAE, params: Params, text: Tokens, latent: int, out: Path) -> Path:
    """The latent's page."""
    return write(
        out,
        *feature_pages(interventions.Attached(lm, HOOK, sae, params), text, features=[latent]),
        overwrite=True,
    )


# Lines of code (neither empty nor a comment) of the tutorial's cells, SAELens 91ca16c, by cell number.
THEIRS: dict[str, tuple[Callable[..., Any], tuple[int, ...], int]] = {
    "load": (load, (9,), 7), "cache": (cache, (31, 33), 16), "contrast": (contrast, (37, 39), 35),
    "max activating examples": (examples, (44, 45, 47), 79), "histogram": (histogram, (50, 51), 19),
    "top logits": (top_logits, (55,), 11), "steer": (steer, (68, 69), 80), "ablate": (ablate, (75,), 28),
    "attribute": (attribute, (77, 78, 81), 261), "dashboard": (page, (17,), 9),
}  # fmt: skip


def run(config: Config) -> Result:
    """All steps, one after the other."""
    lm, sae, params = load()
    text = material(lm, rows=config.rows, test_rows=config.rows).test
    ids, latents = cache(lm, sae, params, config.prompts[0])
    differing = contrast(lm, sae, params, config.prompts)
    latent = int(differing.latents[0])
    f, strongest = examples(lm, sae, params, text, latent)
    counts, edges = histogram(f)
    logits = top_logits(lm, params, latent)
    texts = steer(lm, sae, params, text, latent, ids, config)
    target = int(np.asarray(lm([ids]))[0, -1].argmax())
    attribution = attribute(lm, sae, params, ids, target)
    foremost = int(np.abs(attribution.integrated[0].sum(0)).argmax())
    standing = ablate(lm, sae, params, foremost, ids)
    with TemporaryDirectory() as scratch:
        folder = page(lm, sae, params, text, latent, config.out or Path(scratch) / "page")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    kl = _distance(lm, sae, params, latent, ids, config, f.max())
    lines = {name: (_lines(own), theirs) for name, (own, _, theirs) in THEIRS.items()}
    numbers = {
        "latent": latent, "ablated": foremost, "tokens": [lm.tokenizer.decode([i]) for i in ids],
        "examples": strongest, "logits": logits,
        "texts": texts, "target": lm.tokenizer.decode([target]), "lines": lines, "bytes of the page": size,
        "fired on the last token": int((latents[-1] > 0).sum()),
        "standing": {k: float(jax.nn.softmax(v)[target]) for k, v in standing.items()},
    }  # fmt: skip
    arrays = {"counts": counts, "edges": edges, "strengths": np.asarray(config.strengths), "kl": kl,
              "contrast": np.stack([differing.latents, differing.a, differing.b]),
              "by_token": np.asarray(attribution.integrated[0].sum(-1))}  # fmt: skip
    return Result(config, claims(numbers, arrays), arrays, numbers)


def _distance(lm: LanguageModel, sae: SAE, params: Params, latent: int, ids: list[int], config: Config,
              largest: float) -> np.ndarray:  # fmt: skip
    """KL of the steered next-token distribution from the model's own, by strength."""
    edits = [
        interventions.steer(interventions.Attached(lm, HOOK, sae, params), latent, s * largest)
        for s in config.strengths
    ]
    return np.array([float(interventions.kl(lm([ids], edits=e), lm([ids]))[0, -1]) for e in edits])


def _lines(step: Callable[..., Any]) -> int:
    """Lines of a step's body without its docstring."""
    source = inspect.getsource(step)
    body = source[source.index('"""', source.index('"""') + 3) + 3 :]
    return sum(1 for line in body.splitlines() if line.strip() and not line.strip().startswith("#"))
