"""The claims of `pca_to_superposition`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, at_least, at_most, more_than
from experiments.toy_models.pca_to_superposition.config import COLLAPSED, PAPER
from experiments.toy_models.shared.sets import partners
from superposition import geometry


def sequence_claim(density: np.ndarray, count: np.ndarray) -> Claim:
    """The number of collapsed pairs passes through 0, 1, 2 and 3 in turn."""
    seen = [int(count[0])] + [int(c) for c in count[1:][np.diff(count) != 0]]
    return Claim(
        "F13",
        "as density rises the optimum passes through 0, 1, 2, 3 collapsed pairs in turn",
        "0 (hexagon), 1, 2, 3",
        f"{' -> '.join(map(str, seen))} from density {density[0]:.2f} to {density[-1]:.2f}",
        seen == [0, 1, 2, 3],
        source=Source.PAPER,
    )


def position_claim(found_at: float, above: int, low: float, high: float) -> Claim:
    """One step of that number lies at the density the paper gives."""
    says = f"{low:g}" if low == high else f"between {low:g} and {high:g}"
    return Claim(
        "F13",
        f"the step from {above - 1} to {above} collapsed pairs lies at density {says} (+- 25 %)",
        says,
        f"{found_at:.4f} at the exact optimum",
        bool(0.75 * low < found_at < 1.25 * high),
        source=Source.PAPER,
    )


def ranges_claim(density: np.ndarray, count: np.ndarray) -> Claim:
    """How much of each of the paper's ranges, in log density, has its count."""
    fine = np.geomspace(density[0], density[-1], 2_000)
    nearest = np.abs(np.log(fine[:, None] / density)).argmin(1)
    shares = [float((count[nearest[(fine >= low) & (fine <= high)]] == c).mean()) for low, high, c in PAPER]
    words = ", ".join(f"{c} in {100 * s:.0f} %" for (_, _, c), s in zip(PAPER, shares, strict=True))
    return Claim(
        "F13",
        "in each of the paper's four ranges of density the optimum has the paper's number of pairs somewhere",
        "<= 0.05: 0; 0.05-0.15: 1; 0.15-0.2: 2; 0.25-0.5: 3",
        f"share of the range (logarithmic) in which it has: {words}",
        more_than(min(shares), 0),
        source=Source.READING,
    )


def stored_claim(density: np.ndarray, W: np.ndarray, count: np.ndarray) -> Claim:
    """A collapsed pair is stored as its normalised sum."""
    use = (density <= 0.5) & (count > 0)
    pair = partners(W[use]) > COLLAPSED
    norms = geometry.norms(W[use]).reshape(*pair.shape, 2)[pair]
    uneven = np.abs(norms[:, 0] / norms[:, 1] - 1)
    return Claim(
        "F13",
        "a collapsed pair is stored as (a + b) / sqrt 2: two equal columns of norm 0.71 (+- 10 %), up to density 0.5",
        "(a + b) / sqrt 2",
        f"norms {norms.min(initial=9):.3f} to {norms.max(initial=0):.3f}, the two differ by at most "
        f"{100 * uneven.max(initial=0):.1f} %",
        bool(len(norms) > 0 and np.abs(norms * np.sqrt(2) - 1).max() < 0.1 and uneven.max() < 0.05),
        source=Source.PAPER,
    )


def hexagon_claim(density: np.ndarray, W: np.ndarray) -> Claim:
    """At low density the optimum is a hexagon with partners side by side."""
    W = W[density <= 0.05]
    angles = np.sort(np.degrees(np.arctan2(W[:, 1], W[:, 0])), -1)
    gaps = np.diff(angles, append=angles[:, :1] + 360)
    partner = np.degrees(np.arccos(np.clip(partners(W), -1, 1)))
    return Claim(
        "F13",
        "up to density 0.05 the optimum is a hexagon (60 +- 10 degrees) with partners side by side",
        "hexagon",
        f"neighbours {gaps.min():.1f} to {gaps.max():.1f} degrees apart, partners {np.nanmin(partner):.1f} to "
        f"{np.nanmax(partner):.1f}",
        (at_most(np.abs(gaps - 60).max(), 10), at_most(np.abs(partner - 60).max(), 10)),
        source=Source.PAPER,
    )


def typical_claim(density: np.ndarray, by_seed: np.ndarray) -> Claim:
    """What the paper shows are trained models: between 0.25 and 0.5 most seeds have three pairs, though two cost less."""
    low, high, wanted = PAPER[-1]
    there = (density >= low) & (density <= high)
    share = (by_seed[there] == wanted).mean(1)
    return Claim(
        "F13",
        f"typical trained models have three collapsed pairs from {low:g} to {high:g}, as in the paper (the most frequent number)",
        f"{low:g} to {high:g}: {wanted}",
        "share of seeds with three: "
        + ", ".join(f"{100 * s:.0f} % at {p:.2f}" for s, p in zip(share, density[there], strict=True)),
        all(np.bincount(row).argmax() == wanted for row in by_seed[there]),
        source=Source.READING,
    )


def seeds_claim(excess: np.ndarray, by_seed: np.ndarray, exact: np.ndarray) -> Claim:
    """The best trained seed has as many collapsed pairs as the exact optimum."""
    right = by_seed == exact[:, None]
    best = right[np.arange(len(right)), excess.argmin(1)]
    return Claim(
        "this lab",
        "the best of the trained seeds has as many collapsed pairs as the exact optimum at 80 % of the densities",
        "(not in the paper)",
        f"best seed at {100 * best.mean():.0f} % of the densities, {100 * right.mean():.0f} % of all seeds; best loss "
        f"{100 * np.median(excess.min(1)):.4f} % of E|x|^2 above the exact minimum in the median, "
        f"{100 * excess.min(1).max():.3f} % at most",
        at_least(best.mean(), 0.8),
    )
