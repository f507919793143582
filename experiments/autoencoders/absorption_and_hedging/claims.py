"""The claims of `absorption_and_hedging`, each held against what was measured."""

from itertools import pairwise

import numpy as np

from experiments.autoencoders.absorption_and_hedging.config import PARENTS, Config
from experiments.lab.architectures import NAMES
from experiments.lab.claim import Claim, Source
from experiments.lab.seeds import above, spread


def absorption_claims(config: Config, rate: dict[str, np.ndarray], cosines: np.ndarray) -> list[Claim]:
    """Which architectures absorb a parent's latent into its children's, and how much."""
    listed = "; ".join(f"{NAMES[n]} {spread(v)}" for n, v in rate.items())
    paired = "; ".join(f"{NAMES[n]} {spread(rate[n])}" for n in ("batch-topk", "matryoshka"))
    row = config.flat.index("batch-topk")
    decoder, encoder = cosines[row, :, 1], cosines[row, :, 3]
    return [
        Claim(
            "Absorption",
            "flat sparse SAEs absorb: the parent's latent is silent where a child fires (rate above 0.1 in each)",
            "in every SAE looked at",
            listed,
            [above(rate[n], 0.1) for n in config.flat],
            source=Source.READING,
        ),
        Claim(
            "Absorption",
            "Matryoshka absorbs less than half as much as BatchTopK, whose kind it is",
            "much less (Bussmann et al. 2025)",
            paired,
            above(rate["batch-topk"] / 2, rate["matryoshka"]),
            source=Source.READING,
        ),
        Claim(
            "Absorption",
            "encoder and decoder of a parent's latent disagree: the encoder's cosine with its children is lower",
            "absorption is asymmetric",
            f"BatchTopK: encoder {spread(encoder)}, decoder {spread(decoder)}",
            above(decoder, encoder),
            source=Source.PAPER,
        ),
    ]


def hedging_claims(config: Config, hedged: np.ndarray, inner: np.ndarray, flat: np.ndarray) -> list[Claim]:
    """Narrow SAEs mix correlated features, less the wider they are; so does Matryoshka's inner prefix."""
    listed = "; ".join(f"{w}: {spread(v)}" for w, v in zip(config.widths, hedged, strict=True))
    return [
        Claim(
            "Hedging",
            "a narrow SAE mixes correlated features into its latents (hedging above 0)",
            "latents of a narrow SAE are mixtures",
            f"{config.widths[0]} latents: {spread(hedged[0])}",
            above(hedged[0], 0),
            source=Source.PAPER,
        ),
        Claim(
            "Hedging",
            "the wider the SAE, the less it hedges (less from width to width)",
            "worse the narrower",
            listed,
            [above(narrow, wide) for narrow, wide in pairwise(hedged)],
            source=Source.PAPER,
        ),
        Claim(
            "Hedging",
            "Matryoshka hedges in its inner prefix, and more than BatchTopK of the same whole width",
            "its inner levels are narrow SAEs",
            f"Matryoshka, first {PARENTS}: {spread(inner)}; BatchTopK: {spread(flat)}",
            (above(inner, 0), above(inner, flat)),
            source=Source.READING,
        ),
    ]
