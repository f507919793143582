"""The claims of `local_bases`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, less_than
from experiments.toy_models.local_bases.config import Config, M
from experiments.toy_models.shared.sets import params
from superposition import geometry
from superposition.expected_loss import reference_loss


def local_claims(
    config: Config, ratio: np.ndarray, inside: np.ndarray, across: np.ndarray, best: np.ndarray
) -> list[Claim]:
    """The same claim at every density, in every seed: mean |off-diagonal| inside over that across."""
    claims = []
    for k, p in enumerate(config.densities):
        lengths = geometry.norms(best[k]) ** 2
        claims.append(
            Claim(
                "F12",
                "inside a correlated set features are nearly orthogonal: mean |off-diagonal| of W^T W inside sets below "
                f"0.3 x that across sets, in every seed, density {p:g}",
                "each block nearly diagonal, interference across",
                f"inside {inside[k].min():.4f} to {inside[k].max():.4f}, across {across[k].min():.4f} to "
                f"{across[k].max():.4f}, ratio {ratio[k].min():.3f} to {ratio[k].max():.3f}; |W_i|^2 "
                f"{lengths.min():.2f} to {lengths.max():.2f} in the best seed",
                less_than(ratio[k].max(), 0.3),
                source=Source.READING,
            )
        )
    return claims


def against_hand_claim(config: Config, losses: np.ndarray) -> Claim:
    """Trained losses (density, seed) beside two orthonormal bases, opposite each other: pairs (i, i + 10)."""
    pair = params(np.array([[1.0, -1.0]]), np.zeros(2))
    hand = [M * reference_loss(pair, np.ones(2), p, activation="relu") for p in config.densities]
    best, spread = losses.min(1) / hand, losses.max(1) / losses.min(1) - 1
    words = ", ".join(f"{x:.2f} at {p:g}" for x, p in zip(best, config.densities, strict=True))
    return Claim(
        "this lab",
        "the best seed is within 15 % of the loss of a solution by hand, W = [1, -1], b = 0 (exact losses)",
        "(not in the paper)",
        f"best seed over solution by hand {words}; worst seed {100 * spread.max():.0f} % above the best at most",
        less_than(best.max(), 1.15),
    )
