"""What steering and ablation do to the next token, beside what the logit weights (the direct path) predict."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.language_model.shared.detectors import LEAST, Encode, blocks, encoder
from experiments.language_model.shared.small_lm import HOOK, Material
from superposition import interventions
from superposition.interventions import Steer
from superposition.llm import LanguageModel
from superposition.llm.direct import logit_weights
from superposition.llm.packing import Tokens
from superposition.sae import SAE, Params
from superposition.training import Trained

SCALE = "ln_final.hook_scale"
PROMOTED, CONTROLS, STRONGEST = 10, 100, 8


class Text(NamedTuple):
    """Test rows of the second half; a row of each kind among them, to steer on; tokens typical of kinds (d_vocab, kinds)."""

    test: Tokens
    unrelated: Tokens
    typical: np.ndarray

    @classmethod
    def of(cls, lm: LanguageModel, held: Material) -> "Text":
        """The text to act on."""
        rows = np.flatnonzero(np.arange(len(held.test.tokens)) % 2)
        test = held.test._replace(**{n: getattr(held.test, n)[rows] for n in ("tokens", "usable", "source")})
        return cls(test, one_row_a_kind(test), typical_tokens(held.train, lm.spec.d_vocab))


class Chosen(NamedTuple):
    """Units to act on, by rule: as many living ones as asked for, evenly spaced in order of how often they fire."""

    units: np.ndarray
    maximum: np.ndarray


class Directions(NamedTuple):
    """Latents and their vectors (n, d_in), one largest activation long; neurons and theirs; random ones, as long as latents'."""

    latents: Chosen
    along: np.ndarray
    neurons: Chosen
    spikes: np.ndarray
    noise: np.ndarray


class Pushes(NamedTuple):
    """Steering along n directions by one largest activation, averaged over tokens of unrelated text.

    correlation, slope (n,): of the realised change of the logits with the predicted, over the vocabulary, both
    centred. mass (n, kinds): change of the log of the probability of the tokens typical for a kind.
    """

    correlation: np.ndarray
    slope: np.ndarray
    mass: np.ndarray


def chosen(encode: Encode, x: np.ndarray, n: int) -> Chosen:
    """`n` units of those that fire at least LEAST times on x."""
    parts = [encode(b) for b in blocks(x)]
    fired, maximum = np.sum([(p > 0).sum(0) for p in parts], 0), np.max([p.max(0) for p in parts], 0)
    living = np.flatnonzero(fired >= LEAST)
    ordered = living[np.argsort(-fired[living], kind="stable")]
    own = np.unique(ordered[np.round(np.linspace(0, len(ordered) - 1, n)).astype(int)])
    return Chosen(own, maximum[own])


def directions(one: Trained, x: np.ndarray, n: int, seed: int, seeds: int) -> Directions:
    """`n` latents of one of `seeds` SAEs, `n` neurons that no other seed is given, and noise; chosen on x (tokens, d_in)."""
    latents, neurons = chosen(encoder(one), x, n), chosen(lambda b: b, x, n * seeds)
    neurons = Chosen(neurons.units[seed::seeds], neurons.maximum[seed::seeds])
    along = np.asarray(one.params["W_dec"])[latents.units] * latents.maximum[:, None]
    spikes = np.eye(x.shape[1])[neurons.units] * neurons.maximum[:, None]
    noise = np.asarray(jax.random.normal(jax.random.key(seed), along.shape), np.float64)
    length, own = (np.linalg.norm(v, axis=1, keepdims=True) for v in (along, noise))
    return Directions(latents, along, neurons, spikes, noise * (length / own))


def typical_tokens(tokens: Tokens, vocabulary: int) -> np.ndarray:
    """(vocabulary, kinds): the kind that most occurrences of a token are of, where it is more than half."""
    source = np.broadcast_to(tokens.source[:, None], tokens.tokens.shape)[tokens.usable]
    counts = np.zeros((vocabulary, len(tokens.sources)))
    np.add.at(counts, (tokens.tokens[tokens.usable], source), 1)
    return counts > 0.5 * np.maximum(counts.sum(1, keepdims=True), 1)


def one_row_a_kind(tokens: Tokens) -> Tokens:
    """The first row of every kind that has one."""
    _, at = np.unique(tokens.source, return_index=True)
    return tokens._replace(tokens=tokens.tokens[at], usable=tokens.usable[at], source=tokens.source[at])


def pushes(lm: LanguageModel, sae: SAE, vectors: np.ndarray, text: Text, predicted: Any = None) -> Pushes:
    """Steer by each of vectors (n, d_in) on unrelated text; predicted (n, d_vocab), by default their logit weights."""
    tokens = text.unrelated
    predicted = logit_weights(lm, HOOK, vectors) if predicted is None else predicted
    clean, seen = lm.run_with_cache(tokens.tokens, [SCALE])
    usable, typical = jnp.asarray(tokens.usable), jnp.asarray(text.typical, jnp.float32)
    rows = []
    for vector, weights in zip(jnp.asarray(vectors, jnp.float32), predicted, strict=True):
        new = lm(tokens.tokens, edits={HOOK: Steer(vector, sae)})
        rows.append([np.asarray(v) for v in _agreement(clean, new, usable, weights / seen[SCALE], typical)])
    return Pushes(*(np.array(column, np.float64) for column in zip(*rows, strict=True)))


@jax.jit
def _agreement(
    clean: Any, new: Any, usable: Array, predicted: Array, kinds: Array
) -> tuple[Array, Array, Array]:
    n = usable.sum()

    def mean(value: Array) -> Array:
        return jnp.where(usable, value, 0).sum() / n

    change = new - clean
    change = change - change.mean(-1, keepdims=True)
    both, own, all_ = (
        (a * b).sum(-1) for a, b in ((change, predicted), (predicted, predicted), (change, change))
    )
    p, q = (jnp.where(usable[..., None], jax.nn.softmax(a), 0).sum((0, 1)) / n for a in (clean, new))
    return mean(both / jnp.sqrt(own * all_)), mean(both / own), jnp.log((q @ kinds) / (p @ kinds))


class Doses(NamedTuple):
    """Log-probability (nats) of what each of n latents promotes, and of random other tokens, against strength.

    promoted, others (n, strengths), of all the tokens of a set together, mean over tokens of text; monotone (n,):
    whether the probability of the promoted rises with every strength.
    """

    promoted: np.ndarray
    others: np.ndarray
    monotone: np.ndarray


class Ablated(NamedTuple):
    """Latents taken out where they are strongest: change of the log-probability of both sets, rise of the loss (n,)."""

    promoted: np.ndarray
    others: np.ndarray
    loss: np.ndarray


def token_sets(key: Any, weights: np.ndarray) -> list[list[np.ndarray]]:
    """For each row of logit weights the PROMOTED tokens of the largest, and CONTROLS random ones of the others."""
    result = []
    for i, row in enumerate(weights):
        order = np.argsort(-row, kind="stable")
        drawn = jax.random.permutation(jax.random.fold_in(key, i), order[PROMOTED:])
        result.append([order[:PROMOTED], np.asarray(drawn)[:CONTROLS]])
    return result


def doses(
    lm: LanguageModel,
    sae: SAE,
    params: Params,
    own: Chosen,
    tokens: Tokens,
    sets: list[list[np.ndarray]],
    strengths: tuple[float, ...],
) -> Doses:
    """Steer each latent by strength times its largest activation at every usable token."""
    rows = []
    for unit, maximum, both in zip(own.units, own.maximum, sets, strict=True):
        amounts = np.asarray(strengths) * maximum
        got = interventions.dose_response(
            interventions.Attached(lm, HOOK, sae, params), tokens, int(unit), amounts, both
        )
        monotone = (np.diff(got.probability.mean[:, 0]) > 0).all()
        rows.append((*got.log_probability.mean.T, monotone))
    return Doses(*(np.array(column) for column in zip(*rows, strict=True)))


def ablated(
    lm: LanguageModel,
    sae: SAE,
    params: Params,
    own: Chosen,
    tokens: Tokens,
    latents: np.ndarray,
    sets: list[list[np.ndarray]],
) -> Ablated:
    """Take each latent out at its STRONGEST of tokens[usable]; latents (usable tokens, n) are its activations there."""
    place = np.argwhere(tokens.usable)
    followed = place[:, 1] + 1 < tokens.tokens.shape[1]
    place, latents = place[followed], latents[followed]
    rows = []
    for i, unit in enumerate(own.units):
        at = place[np.argsort(-latents[:, i], kind="stable")[:STRONGEST]]
        ids, number = tokens.tokens[at[:, 0]], np.arange(len(at))
        where = np.zeros(ids.shape, bool)
        where[number, at[:, 1]] = True
        edits = {
            hook: interventions.At(edit, jnp.asarray(where))
            for hook, edit in interventions.ablate(
                interventions.Attached(lm, HOOK, sae, params), int(unit)
            ).items()
        }
        before, after = (np.asarray(lm(ids, edits=e))[number, at[:, 1]] for e in (None, edits))
        p, q = (np.asarray(jax.nn.log_softmax(a), np.float64) for a in (before, after))
        change = [np.log(np.exp(q[:, s]).sum(1) / np.exp(p[:, s]).sum(1)).mean() for s in sets[i]]
        target = ids[number, at[:, 1] + 1].astype(int)
        rows.append((*change, (p - q)[number, target].mean()))
    return Ablated(*(np.array(column) for column in zip(*rows, strict=True)))


def intervened(
    config: Any,
    lm: LanguageModel,
    x: np.ndarray,
    half: np.ndarray,
    saes: list[Trained],
    text: Text,
) -> dict[str, np.ndarray]:
    """Arrays steer_*, dose_*, ablated_* (seeds, units); of latents, neurons, random directions as long."""
    parts: dict[str, list[np.ndarray]] = {}

    def keep(name: str, value: np.ndarray) -> None:
        parts.setdefault(name, []).append(value)

    for seed, one in enumerate(saes):
        ways, encode = directions(one, x[~half], config.latents, seed, len(saes)), encoder(one)
        own = ways.latents
        latents = np.concatenate([encode(b)[:, own.units] for b in blocks(x)])
        weights = np.asarray(logit_weights(lm, HOOK, ways.along))
        up, down = (pushes(lm, one.sae, sign * ways.along, text) for sign in (1, -1))
        away = pushes(lm, one.sae, ways.noise, text, predicted=weights)
        spiked = pushes(lm, one.sae, ways.spikes, text)
        both = token_sets(jax.random.key(seed), weights)
        dose = doses(lm, one.sae, one.params, own, text.unrelated, both, config.strengths)
        gone = ablated(lm, one.sae, one.params, own, text.test, latents[half], both)
        keep("steer_unit", own.units)
        for name, value in (("up", up), ("down", down), ("random", away), ("neuron", spiked)):
            keep(f"steer_{name}", value.correlation)
        keep("steer_slope", up.slope)
        for name in ("promoted", "others", "monotone"):
            keep(f"dose_{name}", getattr(dose, name))
        for name in ("promoted", "others", "loss"):
            keep(f"ablated_{name}", getattr(gone, name))
    return {name: np.array(values) for name, values in parts.items()}
