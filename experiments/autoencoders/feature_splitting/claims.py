"""The claims of `feature_splitting`, each held against what was measured."""

from itertools import pairwise

import numpy as np

from experiments.autoencoders.feature_splitting.config import SAME, Config
from experiments.lab.claim import Claim, Source
from experiments.lab.seeds import above, spread


def _listed(widths: tuple[int, ...], values: np.ndarray) -> str:
    return "; ".join(f"{w}: {spread(v)}" for w, v in zip(widths, values, strict=True))


def splitting_claims(config: Config, whole: np.ndarray, born: np.ndarray, pure: np.ndarray) -> list[Claim]:
    """Latents split as the dictionary grows, and what they split into is below them in truth."""
    wider, first = config.widths[1:], config.widths[0]
    return [
        Claim(
            "Bricken 2023",
            f"features split: of the {first} latents of the narrowest SAE most have two descendants or more in the widest",
            "a feature of a narrow SAE is several of a wide one",
            f"split, by width: {_listed(wider, whole)}",
            above(whole[-1], 0.5),
            source=Source.PAPER,
        ),
        Claim(
            "Bricken 2023",
            "the wider the SAE, the more a feature splits (descendants per latent rise from width to width)",
            "more with every widening",
            f"descendants by width: {_listed(wider, born)}",
            [above(wide, narrow) for narrow, wide in pairwise(born)],
            source=Source.PAPER,
        ),
        Claim(
            "Bricken 2023",
            "what a latent splits into is below it in truth: at every width at least 9 in 10 descendants detect its "
            "node or one under it",
            "finer versions of one feature",
            f"by width: {_listed(wider, pure)}",
            bool((pure.mean(1) >= 0.9).all()),
            source=Source.READING,
        ),
    ]


def universality_claims(config: Config, universality: np.ndarray) -> list[Claim]:
    """Other seeds and architectures find the same latents more often than chance does."""

    def claim(start: int, text: str) -> Claim:
        found, chance = universality[:, start], universality[:, start + 1]
        return Claim(
            "Bricken 2023",
            f"{text} more often than by chance at every width (cosine at least {SAME})",
            "features are universal",
            f"{_listed(config.widths, found)}; chance at most {chance.max():.3f}",
            [above(f, c) for f, c in zip(found, chance, strict=True)],
            source=Source.PAPER,
        )

    return [
        claim(0, "another seed finds the same features"),
        claim(2, "another architecture (ReLU with L1) finds the same features"),
    ]
