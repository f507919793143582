"""Are units found again: by another seed, width, architecture, in another model? And how often by chance."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.architectures import NAMES
from experiments.language_model.shared.detectors import LEAST, Encode, blocks, encode, encoder
from superposition import metrics
from superposition.sae import TopK
from superposition.training import Trained

LEVELS = (0.5, 0.7, 0.9)  # correlations from which a unit is the same
SAME = 1  # the one that claims are made with


class Units(NamedTuple):
    """Neurons or latents, read off activations x (tokens, d_in) of the same tokens for all that are compared."""

    encode: Encode
    x: np.ndarray
    W_dec: np.ndarray | None = None


class Again(NamedTuple):
    """One comparison: shares of units found again (pairs, levels), by chance (levels,), median correlation (pairs,).

    cosine: mean best cosine of the first pair's decoder rows and, by chance, with one side turned; None across spaces.
    """

    shares: np.ndarray
    chance: np.ndarray
    median: np.ndarray
    cosine: tuple[float, float] | None


def again(pairs: Sequence[tuple[Units, Units]], draws: int) -> Again:
    """How many units of a does b have too, for every pair; chance is the first pair with the tokens of b shuffled."""
    found = [correlations(*pair) for pair in pairs]
    a, b = pairs[0]
    key, order = jax.random.key(0), np.arange(len(b.x))
    shuffled = [np.asarray(jax.random.permutation(jax.random.fold_in(key, i), order)) for i in range(draws)]
    chance = [_shares(correlations(a, b, order)) for order in shuffled]
    return Again(
        np.array([_shares(one) for one in found]),
        np.mean(chance, 0),
        np.array([np.median(one) if one.size else 0.0 for one in found]),
        None if a.W_dec is None or b.W_dec is None or a.x is not b.x else _aligned(a.W_dec, b.W_dec, draws),
    )


def correlations(a: Units, b: Units, order: np.ndarray | None = None) -> np.ndarray:
    """Of every living unit of a, the correlation with that of b which correlates most with it.

    `order` reads the tokens of b in another order. Living is what fires at least LEAST times.
    """
    sums: metrics.Comoments | None = None
    fired: Any = 0
    for one, other in zip(blocks(a.x), blocks(b.x if order is None else b.x[order]), strict=True):
        latents = a.encode(one)
        new = _sums(jnp.asarray(latents), jnp.asarray(b.encode(other)))
        sums = new if sums is None else metrics.add(sums, new)
        fired = fired + (latents > 0).sum(0)
    assert sums is not None
    return metrics.partners(sums)[0].correlation[fired >= LEAST]


_sums: Any = jax.jit(metrics.correlation_sums)


def _aligned(W: np.ndarray, other: np.ndarray, draws: int) -> tuple[float, float]:
    chance = metrics.against_chance(
        jax.random.key(0), lambda rows: metrics.mmcs(other, rows), np.asarray(W), n_draws=draws
    )
    return chance.observed, chance.mean


def _shares(best: np.ndarray) -> np.ndarray:
    return np.array([(best >= level).mean() if best.size else 0.0 for level in LEVELS])


def comparisons(
    config: Any, x: np.ndarray, other: np.ndarray, saes: Mapping[str, list[Trained]]
) -> dict[str, Again]:
    """Every comparison of question 2, by name; "in": how many of the first the second has."""
    *_, middle, wide = config.widths
    units = {
        name: [
            Units(encoder(t), other if name.startswith("other") else x, np.asarray(t.params["W_dec"]))
            for t in own
        ]
        for name, own in saes.items()
    }
    blank = TopK(d_in=x.shape[1], d_sae=wide, k=config.k)
    sample = jnp.asarray(x[:4096])
    units["untrained"] = [
        Units(partial(encode, blank, blank.init_params(jax.random.key(s), sample)), x)
        for s in range(config.seeds)
    ]
    neurons = [Units(lambda b: b, x), Units(lambda b: b, other)]

    def turned(name: str) -> list[Units]:
        return [*units[name][1:], units[name][0]]

    pairs = {f"another seed, {w} latents": (units[f"topk-{w}"], turned(f"topk-{w}")) for w in (middle, wide)}
    pairs |= {f"{middle} latents in {wide}": (units[f"topk-{middle}"], units[f"topk-{wide}"])}
    pairs |= {f"{wide} latents in {middle}": (units[f"topk-{wide}"], units[f"topk-{middle}"])}
    pairs |= {
        f"{middle} latents in {NAMES[name]}": (units[f"topk-{middle}"], units[name])
        for name in config.architectures
    }
    pairs |= {
        f"another model, {w} latents": (units[f"topk-{w}"], units[f"other-{w}"]) for w in (middle, wide)
    }
    pairs |= {"neurons, another model": (neurons, neurons[::-1])}
    pairs |= {f"untrained SAEs, {wide} latents": (units["untrained"], turned("untrained"))}
    return {name: again(list(zip(*both, strict=True)), config.draws) for name, both in pairs.items()}
