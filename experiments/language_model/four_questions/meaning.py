"""Whether what a unit fires on says what steering it does: its kind of text, and the kind whose tokens it raises."""

from typing import Any

import numpy as np

from experiments.language_model.four_questions.pushed import Text, directions, pushes
from experiments.language_model.shared.detectors import blocks, encoder
from superposition.llm import LanguageModel
from superposition.training import Trained

SHORT = 80  # positions of each row steered on: many units on some text rather than few on much


def meant(
    config: Any, lm: LanguageModel, saes: list[Trained], x: np.ndarray, truth: np.ndarray, text: Text
) -> dict[str, np.ndarray]:
    """`rank` of steered units in the kind they fire on most: meant_latent, meant_neuron, meant_random (units,).

    x (tokens, d_in) and truth (tokens, kinds) choose the units and say what they fire on. Random directions are held
    against the latents' kinds.
    """
    rows = text.unrelated
    text = text._replace(
        unrelated=rows._replace(tokens=rows.tokens[:, :SHORT], usable=rows.usable[:, :SHORT])
    )
    parts: dict[str, list[np.ndarray]] = {"latent": [], "neuron": [], "random": []}
    for seed, one in enumerate(saes):
        ways, encode = directions(one, x, config.meanings, seed, len(saes)), encoder(one)
        fired = np.concatenate([encode(b)[:, ways.latents.units] for b in blocks(x)])
        of_latents, of_neurons = ((a.clip(0).T @ truth).argmax(1) for a in (fired, x[:, ways.neurons.units]))
        for name, steered, own in (
            ("latent", ways.along, of_latents),
            ("neuron", ways.spikes, of_neurons),
            ("random", ways.noise, of_latents),
        ):
            parts[name].append(rank(pushes(lm, one.sae, steered, text).mass, own))
    return {f"meant_{name}": np.concatenate(values) for name, values in parts.items()}


def rank(mass: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """For each row of `mass` (n, kinds) the share of other kinds that gain less than its own one; by chance 1/2."""
    own = mass[np.arange(len(kinds)), kinds][:, None]
    return np.asarray((mass < own).sum(1) / (mass.shape[1] - 1))
