"""The claims of `feature_pages`, each held against what was measured."""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, at_most, more_than

GOOD = 0.8


def claims(a: dict[str, np.ndarray], n: dict[str, Any]) -> list[Claim]:
    """One description tells when a latent fires, for more latents than neurons; pages are small."""
    latents, neurons = ((q[~np.isnan(q)] >= GOOD).mean() for q in (a["quality"], a["neuron_quality"]))
    medians = [float(np.nanmedian(q)) for q in (a["quality"], a["neuron_quality"])]
    dense = [float(np.median(d)) for d in (a["density"], a["neuron_density"])]
    named = "; ".join(f"{int(a['id'][i])}: {n['labels'][i]}" for i in n["best"][:3])
    return [
        Claim("Bricken 2023", f"one simple description tells when a unit fires (F1 {GOOD} on text it was not chosen on) for a "
              "larger share of latents than of neurons", "features are more interpretable than neurons",
              f"{100 * latents:.0f} % of latents, {100 * neurons:.0f} % of neurons; the best: {named}",
              more_than(latents, neurons), source=Source.READING),
        Claim("Bricken 2023", "the median latent is told better by one description than the median neuron (F1)",
              "features are more interpretable than neurons",
              f"median F1 {medians[0]:.2f} against {medians[1]:.2f}; median density {dense[0]:.3f} against {dense[1]:.3f}: what "
              "fires often is easy to tell by frequent tokens", more_than(medians[0], medians[1]), source=Source.READING),
        Claim("this lab", "pages are small: 15 kB a feature at most, index and texts included", "(sae_vis: 99 kB)",
              f"{n['bytes a feature'] / 1000:.1f} kB a latent in {n['pages']} pages, {n['bytes a toy feature'] / 1000:.1f} kB a "
              "toy feature", at_most(n["bytes a feature"], 15_000),),
    ]  # fmt: skip
