"""The claims of `feature_dimensionality`, each held against what was measured."""

from collections import Counter
from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, at_most, less_than, more_than
from experiments.toy_models.feature_dimensionality.config import CLUSTER
from experiments.toy_models.feature_dimensionality.kinds import SMALL, shares_of
from experiments.toy_models.shared.blocks import SHAPES
from superposition import geometry
from superposition.geometry import Arrangement
from superposition.geometry.polytopes import TOLERANCE

GUIDES = {"3/4": 3 / 4, "2/3": 2 / 3, "1/2": 1 / 2, "2/5": 2 / 5, "3/8": 3 / 8}
BIN, NEAR, FEWEST = 0.005, 0.01, 20
ONE = 9.0  # 1 / (1 - S) from which all features are one component


def capacity_claim(D: np.ndarray, m: int) -> Claim:
    """A model's dimensionalities add up to its number of dimensions."""
    total = D.sum(-1)
    return Claim(
        "F8",
        "the dimensionalities of a model add up to no more than its dimensions, and nearly to them",
        "sum of D_i about m when packed efficiently",
        f"{total.size} models: sum of D_i from {total.min():.3f} to {total.max():.6f}, m = {m}",
        (at_most(total.max(), m + 1e-6), more_than(total.min(), 0.98 * m)),
        source=Source.IDENTITY,
    )


def peaks(values: np.ndarray) -> np.ndarray:
    """Centres of bins that hold most within 0.02 either side, and at least FEWEST, in a histogram of bins of BIN."""
    count, edges = np.histogram(values, np.arange(0.15, 1.05, BIN))
    smooth = np.convolve(count, np.ones(3), "same")
    reach = round(0.02 / BIN)
    around = np.array([smooth[max(0, k - reach) : k + reach + 1].max() for k in range(len(smooth))])
    centre = edges[:-1] + BIN / 2
    return centre[(smooth == around) & (smooth >= FEWEST)]


def peaks_claim(
    values: np.ndarray, which: str = "", wanted: tuple[str, ...] = tuple(GUIDES), restates: str = ""
) -> Claim:
    """The distribution of dimensionalities has peaks at the paper's fractions."""
    at = peaks(values)
    off = {name: float(np.abs(at - GUIDES[name]).min()) if len(at) else np.inf for name in GUIDES}
    near = [name for name in GUIDES if off[name] <= NEAR]
    return Claim(
        "F8",
        "represented features' dimensionalities peak within 0.01"
        + (which or " of 1/2, 2/3, 2/5, 3/4 and 3/8"),
        "lines at 1, 3/4, 2/3, 1/2, 2/5, 3/8, 0",
        f"{len(values)} features over all models; peaks at {', '.join(f'{x:.3f}' for x in at)}: near "
        f"{', '.join(near) or 'none'}; not near {', '.join(n for n in GUIDES if n not in near) or 'none'}",
        all(name in near for name in wanted),
        Source.RESTATED if restates else Source.PAPER,
        restates,
    )


def named_claim(p: np.ndarray, census: list[dict[str, int]]) -> Claim:
    """The stretch where theory has pairs, 1/(1-S) = 3 to 4.2, and the next, to 5, where pentagons cost less."""
    words, share = [], []
    for low, high, name in ((3.0, 4.2, "digon"), (4.2, 5.0, "pentagon")):
        counts: Counter[str] = Counter()
        for density, names in zip(p, census, strict=True):
            if low <= 1 / density <= high:
                counts.update({k: v for k, v in names.items() if k != "not represented"})
        total = max(sum(counts.values()), 1)
        share.append(counts[name] / total)
        parts = ", ".join(f"{100 * v / total:.0f} % {k}" for k, v in counts.most_common(3))
        words.append(f"1/(1-S) from {low} to {high}: of {total} represented features {parts or 'none'}")
    return Claim(
        "F8",
        "on the plateau at 1/2 components are antipodal pairs (over 90 %), and pentagons come as it ends",
        "digons, then pentagons",
        "; ".join(words),
        (more_than(share[0], 0.9), more_than(share[1], 0)),
        source=Source.READING,
    )


def cheapest_claim(p: np.ndarray, winners: list[str]) -> Claim:
    """Triangles and tetrahedra never gain most per dimension where superposition pays."""
    x = 1 / p
    order = list(dict.fromkeys(winners[k] for k in np.argsort(x)))
    spans = [
        f"{name} {x[[w == name for w in winners]].min():.1f} .. {x[[w == name for w in winners]].max():.1f}"
        for name in order
    ]
    sparse = [w for w, density in zip(winners, p, strict=True) if density < 4 / 7]
    never = [name for name in SHAPES if name not in sparse]
    return Claim(
        "this lab",
        "triangles and tetrahedra are missing for a reason: where superposition pays, they never gain most per dimension",
        "the paper's models show them",
        f"exact losses, one length and bias a shape; most is gained, at 1/(1-S) = {', '.join(spans)}; above 7/4 never "
        f"by {', '.join(never)}",
        bool(sparse) and "triangle" in never and "tetrahedron" in never,
    )


def sparse_claim(p: np.ndarray, found: dict[float, list[list[Arrangement]]]) -> Claim:
    """At high sparsity nearly all features belong to one component, whatever the edge."""
    words, least = [], []
    for edge, arrangements in found.items():
        parts = {1 / density: float(shares_of(row)[-1]) for density, row in zip(p, arrangements, strict=True)}
        above = [share for x, share in parts.items() if x > ONE]
        first = min((x for x in parts if all(parts[y] > 0.95 for y in parts if y >= x)), default=np.inf)
        least.append(min(above, default=0.0))
        words.append(f"|cos| > {edge:g}: {100 * least[-1]:.0f} % or more (95 % from {first:.2f} on)")
    return Claim(
        "this lab",
        f"with more sparsity, 1/(1-S) > {ONE:g}, features no longer fall into separate polytopes: over 95 % of the represented "
        f"ones are in components of more than {SMALL} vectors",
        "polytopes up to high sparsity",
        f"for edges {'; '.join(words)}",
        [more_than(share, 0.95) for share in least],
    )


def nine_in_four_claim(W: np.ndarray, inside: np.ndarray) -> Claim:
    """At several edges, so that neither noise that joins nor an edge that parts decides."""
    total, words, most = int(inside.sum()), [], 0
    for edge in (0.05, 0.1, 0.2):
        count = 0
        for k, s in np.argwhere(inside.any(-1)):
            for c in geometry.recognise(W[k, s], edge=edge, tolerance=5.0).components:
                if (len(c.features), c.rank) == (9, 4):
                    count += int(inside[k, s][list(c.features)].sum())
        words.append(f"{count} at |cos| > {edge:g}")
        most = max(most, count)
    return Claim(
        "Elhage 2022, comments",
        "features near 4/9 belong to components of nine vectors in four dimensions",
        "conjectured by readers",
        f"of {total} features with D in {CLUSTER[0]} .. {CLUSTER[1]}: " + ", ".join(words),
        more_than(most, total / 2),
        source=Source.READING,
    )


def pairs_claim(W: np.ndarray, inside: np.ndarray, p: np.ndarray) -> Claim:
    """Half of an antipodal pair: another feature within 10 degrees of the opposite direction."""
    paired = other = 0
    where: Counter[float] = Counter()
    crowd: list[float] = []
    for k, s in np.argwhere(inside.any(-1)):
        kept = geometry.norms(W[k, s]) > 0.5
        C, mine = geometry.cosines(W[k, s][:, kept]), inside[k, s][kept]
        opposite = -np.cos(np.radians(TOLERANCE)) > C
        paired += int((mine & opposite.any(1)).sum())
        other += int((mine & ~opposite.any(1)).sum())
        where[round(1 / float(p[k]), 2)] += int(mine.sum())
        others = (np.where(opposite, 0, C) ** 2).sum(1) - 1
        crowd.extend(others[mine & opposite.any(1)].tolist())
    share = paired / max(paired + other, 1)
    return Claim(
        "this lab",
        "features near 4/9 are antipodal pairs that overlap a little with many other pairs",
        "unexplained",
        f"{100 * share:.0f} % of them have an opposite within 10 degrees; most at 1/(1-S) = "
        + ", ".join(f"{x} ({n})" for x, n in where.most_common(3))
        + f"; squared cosines with all others but that add up to {np.mean(crowd) if crowd else 0:.2f}",
        more_than(share, 0.5),
    )


def persists_claim(polished: list[dict[str, Any]], m: int) -> Claim:
    """The pairs' share of the dimensions that the other factors leave: (m - others) / (2 pairs)."""
    words, holds = [], []
    for row in polished:
        others = sum(rank for name, rank in row["rank"].items() if name != "digon")
        pairs = row["features"].get("digon", 0)
        D, share = row["dimensionality"].get("digon", 0.0), (m - others) / max(pairs, 1)
        names = " + ".join(f"{n} x {name}" for name, n in row["names"].items())
        words.append(
            f"1/(1-S) = {row['inverse_density']:.2f}: {names}, {row['dimensions']} dimensions' worth in {m}; D of pairs "
            f"{D:.4f}, (m - others) / features {share:.4f}"
        )
        holds.append(pairs > 0 and row["dimensions"] > m and abs(D - share) < 0.005)
    return Claim(
        "this lab",
        "it persists at the exact minimum: more polytopes than fit orthogonally, whose pairs share what is left evenly",
        "D of a pair = dimensions left / features in pairs",
        "; ".join(words) or "none polished",
        bool(holds) and all(holds),
    )


def gap_claim(polished: list[dict[str, Any]]) -> Claim:
    """Polishing a trained model lowers its loss by less than 1 %."""
    words = [
        f"1/(1-S) = {row['inverse_density']:.2f}: trained {row['trained']:.4f}, unlearned features set to 0 "
        f"{row['cut']:.4f}, polished {row['polished']:.4f} (last tenth of the steps {row['last_tenth']:.0e}), 30 "
        f"orthogonal pairs {row['digons']:.4f}"
        for row in polished
    ]
    excess = max((row["trained"] / row["polished"] - 1 for row in polished), default=np.inf)
    return Claim(
        "this lab",
        "trained models are within 1 % of the minimum they are polished to",
        "no training settings stated",
        "; ".join(words) or "none polished",
        less_than(excess, 0.01),
    )
