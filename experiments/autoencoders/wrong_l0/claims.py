"""The claims of `wrong_l0`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, at_most, less_than, more_than
from experiments.lab.seeds import half_interval

WORK = "Sparse but wrong"
RIGHT = 0.95  # MCC from which latents count as the true features


def all_claims(a: dict[str, np.ndarray], l0: np.ndarray, true_l0: float) -> list[Claim]:
    """SAEs mix correlated features below the true L0, and c_dec is least near it."""
    low, near = l0 < 0.8 * true_l0, int(np.argmin(np.abs(l0 - true_l0)))
    high = l0 >= 1.5 * true_l0
    claims = []
    for key, name in (("batch_topk", "BatchTopK"), ("jumprelu", "JumpReLU")):
        mcc, hedging, c_dec = (a[f"{key}_{m}"].mean(1) for m in ("mcc", "hedging", "c_dec"))
        reached = a[f"{key}_l0"].mean(1)
        each, spread = a[f"{key}_c_dec"].argmin(0), half_interval(a[f"{key}_mcc"])
        off = np.abs(np.take_along_axis(a[f"{key}_l0"], each[None], 0)[0] / true_l0 - 1)
        claims += [
            Claim(
                WORK,
                f"{name}: below the true L0 latents mix correlated features, near it they are the true ones (MCC > {RIGHT:g})",
                "every latent is affected below, none at the true L0",
                f"MCC {mcc[low].max():.2f} or less below, {mcc[near]:.3f} +- {spread[near]:.3f} at L0 {reached[near]:.1f} "
                f"(true {true_l0:.1f}); "
                f"hedging {hedging[low].min():.2f} or more, {hedging[near]:.2f}",
                (
                    more_than(mcc[near], RIGHT, spread[near]),
                    less_than(mcc[low].max(), 0.9),
                    more_than(hedging[low].min(), hedging[near] + 0.02),
                ),
                source=Source.READING,
            ),
            Claim(
                WORK,
                f"{name}: above the true L0 latents mix again",
                "degenerate solutions, many latents still right",
                f"MCC {mcc[high].max():.2f} or less at L0 {reached[high].min():.1f} and more",
                less_than(mcc[high].max(), mcc[near] - 0.02, spread[near]),
                source=Source.READING,
            ),
            Claim(
                WORK,
                f"{name}: pairwise cosine of the decoder, c_dec, is least near the true L0 (within 15 %)",
                "least at the true L0",
                f"least ({c_dec.min():.4f}) at L0 {reached[c_dec.argmin()]:.2f}; {c_dec[near]:.4f} at {reached[near]:.2f}; true "
                f"{true_l0:.2f}; seed by seed {100 * off.mean():.0f} +- {100 * half_interval(off):.0f} % from it",
                at_most(off.mean(), 0.15, half_interval(off)),
                source=Source.READING,
            ),
        ]
    ours, true = a["batch_topk_explained_variance"].mean(1), a["truth_explained_variance"][:, 0]
    gain = (ours - true)[low]
    claims.append(
        Claim(
            WORK,
            "below the true L0 the wrong SAE reconstructs better than the true dictionary with as many latents active",
            "MSE 2.73 against 4.88 at L0 = 5 of 11",
            "explained variance "
            + ", ".join(
                f"{o:.2f} against {t:.2f} at {k:g}"
                for o, t, k in zip(ours[low], true[low], l0[low], strict=True)
            ),
            bool((gain > 0).all()),
            source=Source.PAPER,
        )
    )
    return claims
