"""From PCA to superposition: with falling density, collapsed pairs of correlated features come apart one by one.

Elhage et al. 2022, "Collapsing of correlated features": six features in three correlated pairs, m=2, I=1. The
paper states no training; here AdamW, 1,500 steps of 128 examples, learning rate 1e-2 falling to 0 as a cosine,
10 seeds at each of 24 densities of a pair. The exact optimum at a density is the least of what Newton's method on
the exact expected loss makes of the best two seeds and of the neighbouring densities' optima; the steps are then
located on two finer grids, each point started from both sides of the step.

Command:  python -m experiments.pca_to_superposition
Time:     a minute on two cores
Expect:   3, 2, 1, 0 collapsed pairs as the density falls; the steps at 0.39, 0.14 and 0.071
"""

from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._sets import Training, found, minimum, params, partners
from superposition import Correlated, geometry, theory
from superposition._internal import validate
from superposition.plot.sets import collapse

LAW = Correlated(n_sets=3)
COLLAPSED = 0.98
# Up to `high` the paper has `count` pairs collapsed; it leaves 0.2 to 0.25 open.
PAPER = ((0.0, 0.05, 0), (0.05, 0.15, 1), (0.15, 0.2, 2), (0.25, 0.5, 3))
STEPS = ((1, 0.05, 0.05), (2, 0.15, 0.15), (3, 0.2, 0.25))  # count above a step, and where the paper has it


@dataclass(frozen=True)
class Config:
    """Densities of a pair, and training."""

    lowest: float = 0.02
    highest: float = 0.8
    densities: int = 24
    training: Training = field(default_factory=lambda: Training(seeds=10))

    def __post_init__(self) -> None:
        validate.integer("densities", self.densities, 2)
        # The paper's first range of densities, and its last.
        validate.in_range("lowest", self.lowest, 0, PAPER[0][1], open_low=True)
        validate.in_range("highest", self.highest, PAPER[-1][0], 1)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(densities=6, training=Training(seeds=2, steps=50, batch_size=32))


def run(config: Config) -> Result:
    """Train, minimise exactly, count collapsed pairs, and find where their number changes."""
    density = np.geomspace(config.lowest, config.highest, config.densities)
    f = found(LAW, 6, density, config.training)
    best = theory.Minimum(*f.exact)
    for _ in range(2):
        density, best = _refined(density, best, config.densities)
    count = _collapsed(best.W)
    by_seed = _collapsed(f.W)
    shares = np.stack([(by_seed == c).mean(1) for c in range(4)], 1)
    at = _shown(density, count)
    steps = {c: _step(density, count, c) for c, _, _ in STEPS}
    return Result(
        config,
        [
            _sequence(density, count),
            *(_position(steps[c], c, low, high) for c, low, high in STEPS),
            _ranges(density, count),
            _stored(density, best.W, count),
            _hexagon(density, best.W),
            _seeds(f.excess(), by_seed, _collapsed(f.exact.W)),
        ],
        arrays={
            "density": density,
            "collapsed": count,
            "cosines": np.nan_to_num(np.sort(partners(best.W), -1)),
            "loss": best.loss,
            "planes": best.W[at],
            "at": density[at],
            "seed_density": f.density,
            "seed_shares": shares,
        },
        numbers={f"step to {c}": None if np.isnan(x) else x for c, x in steps.items()}
        | {"largest gradient": float(best.gradient.max())},
    )


def _collapsed(W: np.ndarray) -> np.ndarray:
    """How many pairs have cos > 0.98, (...)."""
    return np.asarray((partners(W) > COLLAPSED).sum(-1))


def _refined(density: np.ndarray, best: theory.Minimum, points: int) -> tuple[np.ndarray, theory.Minimum]:
    """`points` more densities between those where the count changes, started from both sides."""
    changes = np.flatnonzero(np.diff(_collapsed(best.W)))
    if not len(changes):
        return density, best
    share = max(1, points // len(changes))
    left = np.repeat(changes, share)[:points]
    left = np.concatenate([left, np.full(points - len(left), left[-1])])
    step = (np.concatenate([np.arange(share)] * len(changes) + [np.arange(points)])[:points] + 1) / (
        share + 1
    )
    step = np.minimum(step, 1.0)
    new = density[left] ** (1 - step) * density[left + 1] ** step
    sides = np.stack([left, left + 1], 1)
    extra = minimum(LAW, 6, new, params(best.W[sides], best.b[sides]))
    density, order = np.unique(np.concatenate([density, new]), return_index=True)
    return density, theory.Minimum(*(np.concatenate(pair)[order] for pair in zip(best, extra, strict=True)))


def _step(density: np.ndarray, count: np.ndarray, above: int) -> float:
    """Density at which the count first reaches `above` as density rises; NaN if never."""
    reached = np.flatnonzero(count >= above)
    if not len(reached) or reached[0] == 0:
        return float("nan")
    return float(np.sqrt(density[reached[0]] * density[reached[0] - 1]))


def _shown(density: np.ndarray, count: np.ndarray) -> np.ndarray:
    """One optimum in the middle of every stretch of equal count, and both ends."""
    edges = np.flatnonzero(np.diff(count)) + 1
    parts = np.split(np.arange(len(density)), edges)
    long = [part for part in parts if density[part[-1]] / density[part[0]] > 1.1]
    middles = [
        part[np.abs(np.log(density[part] ** 2 / density[part[0]] / density[part[-1]])).argmin()]
        for part in long
    ]
    return np.unique([0, *middles, len(density) - 1])


def _sequence(density: np.ndarray, count: np.ndarray) -> Claim:
    seen = [int(count[0])] + [int(c) for c in count[1:][np.diff(count) != 0]]
    return Claim(
        "F13",
        "as density rises the optimum passes through 0, 1, 2, 3 collapsed pairs in turn",
        "0 (hexagon), 1, 2, 3",
        f"{' -> '.join(map(str, seen))} from density {density[0]:.2f} to {density[-1]:.2f}",
        seen == [0, 1, 2, 3],
    )


def _position(found_at: float, above: int, low: float, high: float) -> Claim:
    says = f"{low:g}" if low == high else f"between {low:g} and {high:g}"
    return Claim(
        "F13",
        f"the step from {above - 1} to {above} collapsed pairs lies at density {says} (+- 25 %)",
        says,
        f"{found_at:.4f} at the exact optimum",
        bool(0.75 * low < found_at < 1.25 * high),
        expected=above == 2,
    )


def _ranges(density: np.ndarray, count: np.ndarray) -> Claim:
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
        min(shares) > 0,
    )


def _stored(density: np.ndarray, W: np.ndarray, count: np.ndarray) -> Claim:
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
    )


def _hexagon(density: np.ndarray, W: np.ndarray) -> Claim:
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
        bool(np.abs(gaps - 60).max() <= 10 and np.abs(partner - 60).max() <= 10),
    )


def _seeds(excess: np.ndarray, by_seed: np.ndarray, exact: np.ndarray) -> Claim:
    right = by_seed == exact[:, None]
    best = right[np.arange(len(right)), excess.argmin(1)]
    return Claim(
        "this lab",
        "the best of the trained seeds has as many collapsed pairs as the exact optimum at 80 % of the densities",
        "(not in the paper)",
        f"best seed at {100 * best.mean():.0f} % of the densities, {100 * right.mean():.0f} % of all seeds; best loss "
        f"{100 * np.median(excess.min(1)):.4f} % of E|x|^2 above the exact minimum in the median, "
        f"{100 * excess.min(1).max():.3f} % at most",
        bool(best.mean() >= 0.8),
    )


def draw(result: Result) -> Figure:
    """Optima along the density axis over the number of collapsed pairs."""
    a = result.arrays
    bands = [(max(low, float(a["density"][0])), high, count) for low, high, count in PAPER]
    seeds = (a["seed_density"], a["seed_shares"])
    return collapse(a["density"], a["collapsed"], a["planes"], a["at"], seeds, 2, bands)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    edges = np.flatnonzero(np.diff(a["collapsed"]))
    parts = [
        f"{int(a['collapsed'][k])} to {int(a['collapsed'][k + 1])} at {a['density'][k]:.3f}" for k in edges
    ]
    return (
        "Number of collapsed pairs of correlated features at the exact optimum, a step curve over density: "
        + ", ".join(parts)
        + ". Above, the optimal features in the plane; discs show what trained seeds do."
    )


if __name__ == "__main__":
    main(__name__)
