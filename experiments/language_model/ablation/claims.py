"""The claims of `ablation`, each held against what was measured."""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, at_most, less_than, more_than
from experiments.language_model.ablation.config import TO, Config


def claims(
    config: Config, a: dict[str, np.ndarray], numbers: dict[str, Any], kinds: list[int]
) -> list[Claim]:
    """Attributions predict ablations, and ablating the latents of one kind of text costs that kind."""
    gradient, integrated, truth = a["attributed"].reshape(-1, 3).T
    strong = np.abs(truth) > 0.1
    sign = float((np.sign(gradient) == np.sign(truth))[strong].mean()) if strong.any() else float("nan")
    off = [
        float(np.abs(a["sums"][:, i] - a["sums"][:, 2]).mean() / np.abs(a["sums"][:, 2]).mean())
        for i in (0, 1)
    ]
    r = [float(np.corrcoef(x, truth)[0, 1]) for x in (gradient, integrated)]
    error = [float(np.abs(x - truth).mean()) for x in (gradient, integrated)]
    zero = a["change"][:, 0]
    own = zero[np.arange(len(kinds)), kinds]
    other = np.array([np.delete(row, k).max() for row, k in zip(zero, kinds, strict=True)])
    told = "; ".join(
        f"{n} ({c} latents) {o:+.2f}, elsewhere at most {e:+.2f}"
        for n, c, o, e in zip(numbers["ablated"], a["latents"], own, other, strict=True)
    )
    worst = a["change"][np.arange(len(kinds)), :, kinds].mean(0)
    difference = numbers["largest difference of an unedited splice"]
    return [
        Claim("SAE Lens", "with the error term and nothing edited the model is itself (logits to 1e-5)",
              "the error term restores the output", f"largest difference of a logit {difference:.1e}", at_most(difference, 1e-5),
              source=Source.IDENTITY),
        Claim("SAE Lens", "gradient x activation foretells what ablating a latent does to the next token's logit "
              "(correlation above 0.95)", "attribution finds the latents that matter",
              f"r = {r[0]:.3f} over {len(truth)} latents at {config.prompts} positions, mean error {error[0]:.3f} of a mean "
              f"effect {np.abs(truth).mean():.3f}; of effects above 0.1 it has the sign right in {100 * sign:.1f} %",
              more_than(r[0], 0.95), source=Source.READING),
        Claim("Sundararajan 2017", "integrated gradients add up to the metric less its value with all latents at 0 (to 1 %); "
              "gradient x activation does not", "completeness",
              f"mean shortfall {100 * off[1]:.2f} % against {100 * off[0]:.0f} %",
              (less_than(off[1], 0.01), more_than(off[0], 0.01)),
              source=Source.IDENTITY),
        Claim("Sundararajan 2017", "integrated gradients, from all latents at 0, foretell single ablations better than "
              "gradient x activation (less mean error)", "the path's average, not one point's slope",
              f"mean error {error[1]:.3f} against {error[0]:.3f}; r = {r[1]:.3f} against {r[0]:.3f}",
              less_than(error[1], error[0]),
              source=Source.READING),
        Claim("Bricken 2023", "latents of one kind of text carry that kind: ablating them all to zero costs their own kind "
              "more than any other, for every kind that has some", "features are specific in effect too",
              f"nats a token: {told}", bool((own > other).all()), source=Source.READING),
        Claim("SAE Lens", "the loss of the own kind rises by as much again when latents are set to their mean over all text, "
              "or to other tokens' values, as to zero (within a quarter)", "the kinds of ablation agree",
              f"mean rise {', '.join(f'{t} {w:.3f}' for t, w in zip(TO, worst, strict=True))}; the SAE alone, without its "
              f"error term and nothing ablated, costs {a['spliced'].mean():+.3f}",
              bool((np.abs(worst / worst[0] - 1) < 0.25).all()), source=Source.READING),
    ]  # fmt: skip
