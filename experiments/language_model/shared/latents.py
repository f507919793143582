"""What the experiments on the shipped SAE share: the SAE, how often its latents fire on which kind of text."""

from typing import NamedTuple

import numpy as np

from experiments.language_model.shared.small_lm import HOOK
from superposition import interventions
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.sae import SAE, Params
from superposition.storage import formats

SHIPPED = "superposition/small-lm-sae"


class Kinds(NamedTuple):
    """Over usable tokens: how many fire each latent (d_sae, kinds), how many there are (kinds,), largest (d_sae,)."""

    fired: np.ndarray
    tokens: np.ndarray
    largest: np.ndarray

    @property
    def density(self) -> np.ndarray:
        """Share of all tokens that each latent fires on, (d_sae,)."""
        return self.fired.sum(1) / self.tokens.sum()

    @property
    def purity(self) -> np.ndarray:
        """Share of each latent's firings that are in each kind, (d_sae, kinds); 0 for a dead latent."""
        return self.fired / np.maximum(self.fired.sum(1, keepdims=True), 1)


def shipped() -> tuple[SAE, Params]:
    """The SAE that ships."""
    loaded = formats.load(SHIPPED)
    return loaded.sae, loaded.params


def by_kind(lm: LanguageModel, sae: SAE, params: Params, tokens: Tokens) -> Kinds:
    """How latents fire on each kind of text."""
    parts = [
        interventions.firing(interventions.Attached(lm, HOOK, sae, params), tokens.of(kind))
        for kind in tokens.sources
    ]
    counts = np.array([part.tokens for part in parts])
    fired = np.stack([part.density for part in parts], 1) * counts
    return Kinds(fired.round(), counts, np.max([part.largest for part in parts], 0))


def one_a_kind(
    found: Kinds, *, purity: float = 0.9, least: float = 1e-3, most: float = 0.1
) -> dict[int, int]:
    """By kind, a latent: of the latents that fire on little else, the one that fires most; kinds without one left out.

    purity: least share of its firings in the kind. least, most: density over all the text.
    """
    chosen = {}
    for kind in range(len(found.tokens)):
        eligible = (found.purity[:, kind] >= purity) & (found.density >= least) & (found.density <= most)
        if eligible.any():
            chosen[kind] = int(np.where(eligible, found.density, -1).argmax())
    return chosen
