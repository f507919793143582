"""The claims of `pentagon_digon`, each held against what was measured."""

import numpy as np
from scipy.interpolate import CubicSpline

from experiments.lab.claim import Claim, Source, at_least, less_than, more_than
from experiments.toy_models.pentagon_digon.config import DIGONS, PAPER, PENTAGON, BranchPath
from superposition import geometry


def where_claim(crossing: float, baseline: float) -> Claim:
    """The density at which two digons begin to beat the pentagon."""
    return Claim(
        "F10",
        "below about 1/2.5 of the others' density (+- 15 %) two digons beat the pentagon",
        "1/2.5 = 0.4",
        f"the exact branches cross at {crossing:.4f} = 1/{1 / crossing:.2f}; at a baseline density of "
        f"{baseline:.4f} in place of 0.05 they would cross at 1/2.5",
        less_than(abs(crossing / PAPER - 1), 0.15),
        source=Source.PAPER,
    )


def crosses_claim(crossing: float, path: BranchPath) -> Claim:
    """The losses of the two solutions cross."""
    gap = np.log(path.found.loss[PENTAGON] / path.found.loss[DIGONS])
    at = [int(np.abs(np.log(path.relative / r)).argmin()) for r in (crossing / 1.5, crossing * 1.5)]
    return Claim(
        "F10",
        "made sparse enough, one feature turns the best solution from the pentagon into two digons",
        "pentagon above, digons below the crossing",
        f"pentagon over digons {100 * np.expm1(gap[at[0]]):+.1f} % at {path.relative[at[0]]:.2f}, "
        f"{100 * np.expm1(gap[at[1]]):+.1f} % at {path.relative[at[1]]:.2f} of the others' density",
        (more_than(gap[at[0]], 0), less_than(gap[at[1]], 0)),
        source=Source.PAPER,
    )


def first_order_claim(crossing: float, fine: BranchPath) -> Claim:
    """The two losses cross at different slopes."""
    slopes = [
        float(
            CubicSpline(fine.relative, fine.found.loss[k])(crossing, 1) * crossing / fine.found.loss[k].mean()
        )
        for k in (PENTAGON, DIGONS)
    ]
    return Claim(
        "F10",
        "the transition is first order: two curves of loss cross at different slopes (by a factor over 1.5)",
        "loss curves of two geometries cross",
        f"d log loss / d log density at the crossing: pentagon {slopes[0]:.3f}, digons {slopes[1]:.3f}",
        more_than(slopes[1] / slopes[0], 1.5),
        source=Source.PAPER,
    )


def minima_claim(crossing: float, path: BranchPath, exists: np.ndarray, end: float) -> Claim:
    """Both solutions are local minima on both sides of the crossing."""
    near = (path.relative > crossing / 1.5) & (path.relative < crossing * 1.5)
    least = path.found.curvature[:, near].min(1)
    reach = path.relative[exists[DIGONS]]
    return Claim(
        "F10",
        "both solutions are local minima on both sides of the crossing (curvature modulo rotation >= 0)",
        "both found by refitting",
        f"least curvature within a factor 1.5: pentagon {least[0]:.4f}, digons {least[1]:.4f}; the pentagon ends "
        f"at {end:.3f}, the digons are minima from {reach.min():.2f} to {reach.max():.2f}",
        bool(exists[:, near].all()),
        source=Source.PAPER,
    )


def shapes_claim(planes: np.ndarray) -> Claim:
    """At the crossing the solutions are a stretched pentagon, and two digons without the sparse feature."""
    below, above = planes[2], planes[3]
    norms = geometry.norms(below)
    pairs = geometry.antipodal_pairs(below, threshold=-0.95)
    angles = np.sort(np.degrees(np.arctan2(above[1], above[0])))
    gaps = np.diff(angles, append=angles[0] + 360)
    return Claim(
        "F10",
        "at the crossing a (stretched) pentagon of five becomes two digons with the sparse feature at zero",
        "five in a pentagon; two digons, the sparse one at 0",
        f"above: {int((geometry.norms(above) > 0.5).sum())} features {gaps.min():.1f} to {gaps.max():.1f} degrees "
        f"apart; below: pairs {pairs}, norm of the sparse feature {norms[0]:.4f}",
        (
            bool((geometry.norms(above) > 0.5).all()),
            less_than(gaps.max(), 100),
            len(pairs) == 2,
            less_than(norms[0], 0.05),
        ),
        source=Source.PAPER,
    )


def room_claim(path: BranchPath) -> Claim:
    """Angle between the two neighbours of feature 0 in the pentagon."""
    room = []
    for relative in (3.0, 1.0, 0.4):
        W = path.found.W[PENTAGON, np.abs(np.log(path.relative / relative)).argmin()]
        angle = np.sort(np.degrees(np.arccos(np.clip(geometry.cosines(W)[0, 1:], -1, 1))))
        room.append(float(angle[0] + angle[1]))
    return Claim(
        "F10",
        "a denser feature is given more room by the others, a sparser one less",
        "others repel from it; others push towards it",
        f"angle between its two neighbours {room[0]:.1f}, {room[1]:.1f}, {room[2]:.1f} degrees at 3, 1 and 0.4 times "
        "the others' density",
        room[0] > room[1] > room[2],
        source=Source.PAPER,
    )


def norms_claims(limit: BranchPath) -> list[Claim]:
    """The paper's formula for the pentagon's norms, and the formula for their squares that holds."""
    norm = float(geometry.norms(limit.found.W[PENTAGON, -1]).mean())
    bias = float(-limit.found.b[PENTAGON, -1].mean())
    said = 1 / (1 - bias)
    return [
        Claim(
            "F10",
            "the pentagon's norms are ||W_i|| = 1 / (1 - |b_i|) in the limit of great sparsity (within 3 %)",
            "1 / (1 - b)",
            f"norm {norm:.4f}, bias -{bias:.4f}, formula {said:.4f}: {100 * abs(said / norm - 1):.1f} % off",
            less_than(abs(said / norm - 1), 0.03),
            source=Source.PAPER,
        ),
        Claim(
            "F10",
            "it is the square that the formula describes, ||W_i||^2 = 1 / (1 - |b_i|) (within 3 %)",
            "(not in the paper)",
            f"square of the norm {norm**2:.4f}, formula {said:.4f}: {100 * abs(said / norm**2 - 1):.1f} % off",
            less_than(abs(said / norm**2 - 1), 0.03),
            source=Source.RESTATED,
            restates="the pentagon's norms are ||W_i|| = 1 / (1 - |b_i|)",
        ),
    ]


def refits_claim(refits: dict[str, np.ndarray], path: BranchPath, exists: np.ndarray) -> Claim:
    """The best of many trained models is on the better branch."""
    envelope = np.where(exists, path.found.loss, np.inf).min(0)
    exact = np.exp(np.interp(np.log(refits["relative"]), np.log(path.relative), np.log(envelope)))
    excess = refits["loss"] / exact[:, None] - 1
    return Claim(
        "F10",
        "training many times and keeping the best finds the better branch (within 1 % at 90 % of the densities)",
        "many refits, the best kept",
        f"best of {excess.shape[1]}: {100 * np.median(excess.min(1)):.2f} % above the exact minimum in the median, "
        f"{100 * excess.min(1).max():.1f} % at most, within 1 % at {100 * (excess.min(1) < 0.01).mean():.0f} % of the "
        f"densities; a seed {100 * np.median(excess):.1f} % in the median; none below by more than "
        f"{100 * max(0.0, -excess.min()):.2f} %",
        (at_least((excess.min(1) < 0.01).mean(), 0.9), more_than(excess.min(), -0.01)),
        source=Source.READING,
    )
