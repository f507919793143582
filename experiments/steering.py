"""Steering latents of the shipped SAE: dose and response, and whether anything else moves.

Latents are chosen by rule, one a kind of text at most: of those that fire nine times in ten on one script or format,
on one token in a thousand to one in ten, the one that fires most. A dose is a strength times the latent's largest
activation, added along its decoder direction at every position of text of other kinds. The response is the
probability of the ten tokens that its logit weights promote most, beside those of the other latents and of random
tokens; and, in text generated from prompts of other kinds, the share of tokens that belong to the latent's kind (nine
tenths of their occurrences). Seeds are disjoint samples of text.

Command:  python -m experiments.steering
Time:     about a minute on two free cores
Expect:   the response rises with every dose up to twice the largest activation, and ten times more than any other
          latent's; the generated text turns into the latent's kind
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._check import includes
from experiments._latents import Kinds, by_kind, one_a_kind, shipped
from experiments._small_lm import HOOK, material, small_lm
from superposition import interventions
from superposition.llm import LanguageModel
from superposition.llm.direct import logit_weights
from superposition.llm.packing import Tokens
from superposition.plot.steering import steering
from superposition.sae import SAE, Params

OWN = 0.9  # a token is of a kind from this share of its occurrences on
PROMOTED = 10

SHARED = "60 rows of sampled text"


@dataclass(frozen=True)
class Config:
    """Text, doses and responses."""

    text: tuple[Path, ...] = ()
    rows: int = 60
    """Rows of each kind to choose latents on."""
    test_rows: int = 4
    """Rows of each kind and seed to steer on."""
    seeds: int = 3
    strengths: tuple[float, ...] = (-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4)
    prompt: int = 16
    """Tokens of a prompt."""
    new: int = 40
    """Tokens generated."""
    random_seed: int = 0

    def __post_init__(self) -> None:
        includes("strengths", self.strengths, 0, 1)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=2, seeds=2, strengths=(-1, 0, 1), prompt=4, new=4)


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
            response = interventions.dose_response(lm, HOOK, sae, params, one.latent, amounts, other, sets)
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
    return Result(config, _claims(config, names, arrays), arrays, {"names": names, "promoted": promoted})


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
                    edits=interventions.steer(lm, HOOK, sae, params, latent, jnp.float32(amount)))
        for amount in amounts
    ])  # fmt: skip


def _claims(config: Config, names: list[str], a: dict[str, np.ndarray]) -> list[Claim]:
    s, n = a["strengths"], len(names)
    own = np.stack([a["log_mass"][i, :, :, i] for i in range(n)])
    inside = (s >= -2) & (s <= 2)
    rises = (np.diff(own[..., inside], axis=-1) > 0).all(-1)
    one, zero = int(np.argmin(abs(s - 1))), int(np.argmin(abs(s)))
    moved = a["log_mass"][:, :, one] - a["log_mass"][:, :, zero]
    others = np.array([np.delete(moved[i], i, -1).max() for i in range(n)])
    least = np.array([moved[i, :, i].min() for i in range(n)])
    share, two = a["share"], int(np.argmin(abs(s - 2)))
    told = "; ".join(
        f"{name}: {np.exp(own[i, :, zero].mean()):.2g} -> {np.exp(own[i, :, one].mean()):.2g}"
        for i, name in enumerate(names)
    )
    return [
        Claim("SAE Lens", f"the probability of a latent's tokens rises with every dose from {s[inside][0]:g} to "
              f"{s[inside][-1]:g} times its largest activation, in all {n} latents and every seed",
              "more strength, more of the feature",
              f"{int(rises.sum())} of {rises.size} curves rise throughout; mass at strength 0 -> 1: {told}",
              bool(rises.all())),
        Claim("SAE Lens", "steering is selective: a dose of one largest activation moves the log-probability of a latent's "
              "own tokens more than that of any other latent's and of random tokens, every latent and seed",
              "other concepts stay", "; ".join(f"{m} +{x:.2f} against at most {o:+.2f} nats"
                                               for m, x, o in zip(names, least, others, strict=True)),
              bool((least > others).all())),
        Claim("SAE Lens", "generated text turns into the latent's kind: at twice the largest activation more of it belongs "
              "to that kind than without steering, every latent and seed",
              "steered text is about the feature",
              "; ".join(f"{m} {100 * share[i, :, zero].mean():.0f} % -> {100 * share[i, :, two].mean():.0f} %"
                        for i, m in enumerate(names)),
              bool((share[..., two] > share[..., zero]).all())),
    ]  # fmt: skip


def draw(result: Result) -> Figure:
    """Dose and response, selectivity, and what the generated text is of."""
    a = result.arrays
    return steering(result.numbers["names"], a["strengths"], a["log_mass"], a["share"])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, names = result.arrays, result.numbers["names"]
    zero = int(np.argmin(abs(a["strengths"])))
    parts = [
        f"{n} {np.exp(a['log_mass'][i, :, zero, i].mean()):.2g} to {np.exp(a['log_mass'][i, :, -1, i].mean()):.2g}"
        for i, n in enumerate(names)
    ]
    return f"Probability of each latent's promoted tokens, unsteered and at the highest strength: {'; '.join(parts)}."


if __name__ == "__main__":
    main(__name__)
