"""The claims of `steering`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source
from experiments.language_model.steering.config import Config


def claims(config: Config, names: list[str], a: dict[str, np.ndarray]) -> list[Claim]:
    """The response rises with the dose, is selective, and turns generated text into the latent's kind."""
    s, n = a["strengths"], len(names)
    own = np.stack([a["log_mass"][i, :, :, i] for i in range(n)])
    inside = (s >= -2) & (s <= 2)
    rises = (np.diff(own[..., inside], axis=-1) > 0).all(-1)
    one, zero = int(np.argmin(abs(s - 1))), int(np.argmin(abs(s)))
    moved = a["log_mass"][:, :, one] - a["log_mass"][:, :, zero]
    others = np.array([np.delete(moved[i], i, -1).max() for i in range(n)])
    least = np.array([moved[i, :, i].min() for i in range(n)])
    share, two = a["share"], int(np.argmin(abs(s - 2)))
    told = "; ".join(
        f"{name}: {np.exp(own[i, :, zero].mean()):.2g} -> {np.exp(own[i, :, one].mean()):.2g}"
        for i, name in enumerate(names)
    )
    return [
        Claim("SAE Lens", f"the probability of a latent's tokens rises with every dose from {s[inside][0]:g} to "
              f"{s[inside][-1]:g} times its largest activation, in all {n} latents and every seed",
              "more strength, more of the feature",
              f"{int(rises.sum())} of {rises.size} curves rise throughout; mass at strength 0 -> 1: {told}",
              bool(rises.all()), source=Source.IDENTITY),
        Claim("SAE Lens", "steering is selective: a dose of one largest activation moves the log-probability of a latent's "
              "own tokens more than that of any other latent's and of random tokens, every latent and seed",
              "other concepts stay", "; ".join(f"{m} +{x:.2f} against at most {o:+.2f} nats"
                                               for m, x, o in zip(names, least, others, strict=True)),
              bool((least > others).all()), source=Source.IDENTITY),
        Claim("SAE Lens", "generated text turns into the latent's kind: at twice the largest activation more of it belongs "
              "to that kind than without steering, every latent and seed",
              "steered text is about the feature",
              "; ".join(f"{m} {100 * share[i, :, zero].mean():.0f} % -> {100 * share[i, :, two].mean():.0f} %"
                        for i, m in enumerate(names)),
              bool((share[..., two] > share[..., zero]).all()), source=Source.READING),
    ]  # fmt: skip
