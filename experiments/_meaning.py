"""Whether what a unit fires on says what steering it does: its kind of text, and the kind whose tokens it raises."""

from typing import Any

import numpy as np

from experiments._detectors import blocks, encoder
from experiments._pushed import Text, as_long, chosen, pushes, some_neurons
from superposition.llm import LanguageModel
from superposition.sae_run import Trained

SHORT = 80  # positions of each row steered on: many units on some text rather than few on much


def meant(
    config: Any,
    lm: LanguageModel,
    x: np.ndarray,
    half: np.ndarray,
    saes: list[Trained],
    text: Text,
    truth: np.ndarray,
) -> dict[str, np.ndarray]:
    """`rank` of steered units in the kind they fire on most: meant_latent, meant_neuron, meant_random (units,).

    x (tokens, d_in), of which the tokens outside `half` choose the units and say what they fire on; truth (tokens,
    kinds). Random directions are as long as the latents', and are held against the latents' kinds.
    """
    x, truth, rows = x[~half], truth[~half], text.unrelated
    short = rows._replace(tokens=rows.tokens[:, :SHORT], usable=rows.usable[:, :SHORT])
    text = text._replace(unrelated=short)
    parts: dict[str, list[np.ndarray]] = {"latent": [], "neuron": [], "random": []}
    for seed, one in enumerate(saes):
        encode = encoder(one)
        latents, neurons = (
            chosen(encode, x, config.meanings),
            some_neurons(x, config.meanings, seed, len(saes)),
        )
        fired = np.concatenate([encode(b)[:, latents.units] for b in blocks(x)])
        vectors = np.asarray(one.params["W_dec"])[latents.units] * latents.maximum[:, None]
        spikes = np.eye(x.shape[1])[neurons.units] * neurons.maximum[:, None]
        kind = (fired.clip(0).T @ truth).argmax(1)
        for name, steered, own in (
            ("latent", vectors, kind),
            ("neuron", spikes, (x[:, neurons.units].clip(0).T @ truth).argmax(1)),
            ("random", as_long(seed, vectors), kind),
        ):
            parts[name].append(rank(pushes(lm, one.sae, steered, text).mass, own))
    return {f"meant_{name}": np.concatenate(values) for name, values in parts.items()}


def rank(mass: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """For each row of `mass` (n, kinds) the share of other kinds that gain less than its own one; by chance 1/2."""
    own = mass[np.arange(len(kinds)), kinds][:, None]
    return np.asarray((mass < own).sum(1) / (mass.shape[1] - 1))
