"""Steering latents of the shipped SAE: dose and response, and whether anything else moves.

Latents are chosen by rule, one a kind of text at most: of those that fire nine times in ten on one script or format,
on one token in a thousand to one in ten, the one that fires most. A dose is a strength times the latent's largest
activation, added along its decoder direction at every position of text of other kinds. The response is the
probability of the ten tokens that its logit weights promote most, beside those of the other latents and of random
tokens; and, in text generated from prompts of other kinds, the share of tokens that belong to the latent's kind (nine
tenths of their occurrences). Seeds are disjoint samples of text.

Command:  python -m experiments steering
Time:     about a minute on two free cores
Expect:   the response rises with every dose up to twice the largest activation, and ten times more than any other
          latent's; the generated text turns into the latent's kind
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.claim import Result
from experiments.language_model.shared.latents import Kinds, by_kind, one_a_kind, shipped
from experiments.language_model.shared.small_lm import HOOK, material, small_lm
from experiments.language_model.steering.claims import claims
from experiments.language_model.steering.config import Config
from experiments.language_model.steering.draw import alt, draw
from superposition import interventions
from superposition.llm import LanguageModel
from superposition.llm.direct import logit_weights
from superposition.llm.packing import Tokens
from superposition.sae import SAE, Params

__all__ = ["SHARED", "Config", "alt", "draw", "run"]
OWN = 0.9  # a token is of a kind from this share of its occurrences on
PROMOTED = 10
SHARED = "60 rows of sampled text"


class Subject(NamedTuple):
    """A latent that is steered, its kind, and the tokens it promotes."""

    latent: int
    kind: int
    tokens: np.ndarray


def run(config: Config) -> Result:
    """Choose the latents, steer each, measure."""
    lm = small_lm()
    sae, params = shipped()
    held = material(lm, config.text, rows=config.rows, test_rows=config.seeds * config.test_rows)
    kinds = held.train.sources
    found = by_kind(lm, sae, params, held.train)
    subjects = choose(lm, sae, params, found)
    control = np.random.default_rng(config.random_seed).choice(lm.spec.d_vocab, PROMOTED, replace=False)
    sets = [*(s.tokens for s in subjects), control]
    belongs = _belongs(held.train, lm.spec.d_vocab)
    texts = _texts(held.test, config)
    shape = (len(subjects), config.seeds, len(config.strengths))
    mass, kl, share = np.zeros((*shape, len(sets))), np.zeros(shape), np.zeros(shape)
    for i, one in enumerate(subjects):
        amounts = np.asarray(config.strengths) * found.largest[one.latent]
        for seed, text in enumerate(texts):
            other = _others(text, kinds[one.kind])
            response = interventions.dose_response(
                interventions.Attached(lm, HOOK, sae, params), other, one.latent, amounts, sets
            )
            mass[i, seed], kl[i, seed] = response.log_probability.mean, response.kl.mean
            new = _continued(lm, sae, params, one.latent, amounts, other, config, seed)
            share[i, seed] = belongs[new, one.kind].mean((1, 2))
    names = [f"{kinds[s.kind]} (latent {s.latent})" for s in subjects]
    arrays = {"log_mass": mass, "kl": kl, "share": share, "strengths": np.asarray(config.strengths),
              "latents": np.array([s.latent for s in subjects]), "largest": found.largest[[s.latent for s in subjects]],
              "density": found.density[[s.latent for s in subjects]],
              "purity": found.purity[[s.latent for s in subjects], [s.kind for s in subjects]]}  # fmt: skip
    promoted = {
        n: [repr(lm.tokenizer.decode([t])) for t in s.tokens] for n, s in zip(names, subjects, strict=True)
    }
    return Result(config, claims(config, names, arrays), arrays, {"names": names, "promoted": promoted})


def choose(lm: LanguageModel, sae: SAE, params: Params, found: Kinds) -> list[Subject]:
    """The latents to steer, by the rule."""
    chosen = one_a_kind(found)
    weights = np.asarray(logit_weights(lm, HOOK, params["W_dec"][np.array(list(chosen.values()))]))
    best = np.argsort(-weights, 1, kind="stable")[:, :PROMOTED]
    return [Subject(latent, kind, ids) for (kind, latent), ids in zip(chosen.items(), best, strict=True)]


def _texts(test: Tokens, config: Config) -> list[Tokens]:
    """Disjoint rows for every seed, as many of each kind."""
    rng = np.random.default_rng(config.random_seed)
    order = [rng.permutation(np.flatnonzero(test.source == k)) for k in range(len(test.sources))]
    n = config.test_rows
    return [_rows(test, np.concatenate([o[i * n : (i + 1) * n] for o in order])) for i in range(config.seeds)]


def _others(text: Tokens, kind: str) -> Tokens:
    return _rows(text, np.flatnonzero(text.source != text.sources.index(kind)))


def _rows(text: Tokens, rows: np.ndarray) -> Tokens:
    return text._replace(tokens=text.tokens[rows], usable=text.usable[rows], source=text.source[rows])


def _belongs(text: Tokens, vocabulary: int) -> np.ndarray:
    """(d_vocab, kinds): whether a token's occurrences are nearly all in one kind of text."""
    counts = np.stack(
        [np.bincount(text.of(k).tokens[text.of(k).usable], minlength=vocabulary) for k in text.sources], 1
    )
    return counts > OWN * np.maximum(counts.sum(1, keepdims=True), 1)


def _continued(lm: LanguageModel, sae: SAE, params: Params, latent: int, amounts: np.ndarray, text: Tokens,
               config: Config, seed: int) -> np.ndarray:  # fmt: skip
    """Tokens generated after prompts of the text, (amounts, rows, new); the same draws for every amount."""
    prompts, key = text.tokens[:, : config.prompt], jax.random.key(seed)
    return np.stack([
        lm.generate(prompts, config.new, key=key, temperature=1.0,
                    edits=interventions.steer(interventions.Attached(lm, HOOK, sae, params), latent, jnp.float32(amount)))
        for amount in amounts
    ])  # fmt: skip
