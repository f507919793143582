"""The claims of `sae_lens_tutorial`, each held against what was measured."""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, less_than


def claims(n: dict[str, Any], a: dict[str, np.ndarray]) -> list[Claim]:
    """Every step takes no more lines than the tutorial's, and steering and ablation act as they should."""
    lines, kl, s = n["lines"], a["kl"], a["strengths"]
    up, down = (np.diff(kl[side][np.argsort(abs(s[side]))]) for side in (s >= 0, s <= 0))
    before, kept, left = n["standing"].values()
    return [
        Claim("SAE Lens", "every step of the tutorial takes no more lines here than there", "one to a hundred lines a step",
              "; ".join(f"{k} {o} against {t}" for k, (o, t) in lines.items()), all(o <= t for o, t in lines.values()),),
        Claim("SAE Lens", "the further a latent is steered, the further the next-token distribution is from the model's own "
              "(KL, both directions)", "stronger steering, stronger effect",
              f"KL {', '.join(f'{k:.2g} at {x:g}' for x, k in zip(s, kl, strict=True))}",
              bool((up > 0).all() and (down > 0).all()), source=Source.IDENTITY),
        Claim("SAE Lens", "with the error term an ablation moves the probability of the next token less than without it",
              "the error term keeps the rest of the model as it is",
              f"probability of {n['target']!r}: {before:.3f}; without latent {n['ablated']} {kept:.3f}, without the error "
              f"term as well {left:.3f}", less_than(abs(before - kept), abs(before - left)), source=Source.READING),
    ]  # fmt: skip
