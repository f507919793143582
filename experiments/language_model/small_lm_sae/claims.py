"""The claims of `small_lm_sae`, each held against what was measured."""

import numpy as np

from experiments.lab.architectures import NAMES
from experiments.lab.claim import Claim, Source, at_least
from experiments.language_model.small_lm_sae.config import NUMBERS, Config


def claims(config: Config, values: np.ndarray, wide: dict[str, float]) -> list[Claim]:
    """How much of the model's loss the SAEs keep, at which sparsity, and with how many dead latents."""
    l0, recovered, dead = (values[..., NUMBERS.index(n)] for n in ("l0", "ce_recovered", "dead_fraction"))
    good = (l0 <= 32.5) & (recovered >= 0.95) & (dead < 0.1)
    best = [
        f"{NAMES[n]} {r.max():.3f} at L0 {a.flat[r.argmax()]:.1f}, {100 * d.flat[r.argmax()]:.0f} % dead"
        for n, a, r, d in zip(config.architectures, l0, recovered, dead, strict=True)
    ]
    order = np.argsort(l0.mean(2), axis=1)  # by what came out, not by what was asked for
    frontier = [np.take_along_axis(v.mean(2), order, 1) for v in (l0, recovered)]
    return [
        Claim("Gemma Scope",
              "some SAE of at most 32 active latents keeps 95 % of the loss (zero ablation) with under 10 % dead",
              "loss recovered near 1 at L0 of tens", "; ".join(best), bool(good.any()), source=Source.READING),
        Claim("Gemma Scope", "the more latents are active, the more of the loss is kept, for every architecture",
              "every frontier rises", "; ".join(
                  f"{NAMES[n]} {', '.join(f'{r:.3f} at {a:.0f}' for a, r in zip(*curve, strict=True))}"
                  for n, *curve in zip(config.architectures, *frontier, strict=True)),
              bool((np.diff(frontier[1], axis=1) > 0).all()), source=Source.READING),
        Claim("SAE Lens", f"the whole chain: a TopK of {config.wide} latents keeps 95 % of the loss at L0 "
              f"{config.wide_l0}", "CE loss score near 1",
              f"CE recovered {wide['ce_recovered']:.3f} (mean ablation {wide['ce_recovered_mean']:.3f}), explained "
              f"variance {wide['explained_variance']:.3f}, L0 {wide['l0']:.1f}; {100 * wide['dead_fraction']:.1f} % of "
              f"the latents silent on the {wide['tokens'] / 1000:.0f} thousand tokens measured on",
              at_least(wide["ce_recovered"], 0.95), source=Source.READING),
    ]  # fmt: skip
