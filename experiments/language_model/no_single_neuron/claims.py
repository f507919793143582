"""The claims of `no_single_neuron`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, less_than
from experiments.lab.seeds import spread
from experiments.language_model.no_single_neuron.config import Config
from experiments.language_model.shared.detectors import PURE, TOP


def all_claims(config: Config, kind: str, i: int, a: dict[str, np.ndarray]) -> list[Claim]:
    """No neuron detects a kind of text; for each kind, does a latent do better than the best neuron?"""
    neuron, latent = float(a["neuron_f1"][i]), a["latent_f1"][..., i]
    said = (
        f"best neuron (number {int(a['neuron_unit'][i])}): F1 {neuron:.3f}, sensitivity {a['neuron_recall'][i]:.3f}, "
        f"precision {a['neuron_precision'][i]:.3f}; {100 * a['neuron_top'][i, i]:.0f} % of its {TOP} strongest "
        f"tokens are {kind}"
    )
    widths = "; ".join(
        f"{w} latents {spread(row)}, {100 * top.mean():.0f} % of the strongest"
        for w, row, top in zip(config.widths, latent, a["latent_top"][..., i, i], strict=True)
    )
    return [
        Claim(
            "Bricken 2023",
            f"no single neuron fires on all {kind} text and only there (F1 below 0.9)",
            "no neuron is such a detector",
            said,
            less_than(neuron, 0.9),
            source=Source.READING,
        ),
        Claim(
            "Bricken 2023",
            f"one SAE latent detects {kind} text better than the best neuron (some width, every seed)",
            "a feature fires on it, mostly and only",
            f"F1 by width: {widths}; {said}",
            bool((latent > neuron).all(1).any()),
            source=Source.READING,
        ),
    ]


def overall_claims(config: Config, kinds: list[str], a: dict[str, np.ndarray]) -> list[Claim]:
    """Latents are more specific than neurons, and cover less of a kind of text the wider the SAE is."""
    listed = "; ".join(
        f"{k} {n:.2f} -> {', '.join(f'{v:.2f}' for v in m)}"
        for k, n, m in zip(kinds, a["neuron_f1"], a["latent_f1"].mean(1).T, strict=True)
    )
    mean = a["latent_f1"].mean((1, 2))
    pure = "; ".join(f"{w} latents {spread(p)}" for w, p in zip(config.widths, a["latent_pure"], strict=True))
    return [
        Claim(
            "Bricken 2023",
            f"latents are specific: a larger share of them than of neurons fires {100 * PURE:.0f} % of the time on one "
            "kind of text, at every width and seed",
            "features are more specific than neurons",
            f"neurons {float(a['neuron_pure']):.3f}; {pure}",
            bool((a["latent_pure"] > a["neuron_pure"]).all()),
            source=Source.READING,
        ),
        Claim(
            "Bricken 2023",
            "the wider the SAE, the less a single latent covers of a kind of text (mean F1 falls from the narrowest "
            "to the widest)",
            "features split",
            f"mean F1 by width {', '.join(f'{m:.3f}' for m in mean)}; neuron -> latents: {listed}",
            less_than(mean[-1], mean[0]),
            source=Source.READING,
        ),
    ]
