"""One feature made sparser turns the pentagon into two digons: two exact branches whose losses cross (n=5, m=2).

Elhage et al. 2022, "Non-Uniform Superposition": I = 1, density 0.05, the density of one feature varied. The
paper states no training: here both solutions are minimised exactly (expected loss in closed form, Newton) and
followed as the density changes, each minimum from its neighbour's. Behind them refits: AdamW, 2,000 steps of
256 examples, learning rate 1e-2 falling to 0 as a cosine, 10 seeds at each of 21 densities.

Command:  python -m experiments.pentagon_digon
Time:     half a minute on two cores
Expect:   pentagon and digons cross at a relative density of 0.27, not 1/2.5; both are minima on both sides
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from experiments._base import Claim, Result, main
from experiments._sets import params
from superposition import AdamW, Correlated, ReLUOutput, SparseUniform, ToyParams, ToyRun, geometry, theory
from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.plot.branches import Branch, branches
from superposition.training import sweep

PENTAGON, DIGONS = 0, 1
INDEPENDENT = Correlated(n_sets=5)  # sets of one feature: the same law, by the faster exact loss
PAPER = 1 / 2.5

# The branches cross within these: at 0.185 of a baseline of 0.02, at 0.426 of one of 0.1.
RANGES = {"baseline": (0.02, 0.1), "lowest": (0.01, 0.15), "highest": (1.5, 4.0)}


@dataclass(frozen=True)
class Config:
    """Densities, and the training of the refits."""

    baseline: float = 0.05
    lowest: float = 0.1
    highest: float = 3.0
    points: int = 20
    refit_densities: int = 21
    seeds: int = 10
    steps: int = 2_000
    batch_size: int = 256
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            validate.in_range(name, getattr(self, name), low, high)
        validate.integer("points", self.points, 10)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(points=10, refit_densities=5, seeds=2, steps=100, batch_size=64)


class _Path(NamedTuple):
    """Both branches along densities of the varied feature (step,); rows are PENTAGON and DIGONS."""

    relative: np.ndarray
    found: theory.Branches

    def reversed(self) -> "_Path":
        return _Path(self.relative[::-1], theory.Branches(*(a[:, ::-1] for a in self.found)))

    def then(self, other: "_Path") -> "_Path":
        joined = (np.concatenate(pair, 1) for pair in zip(self.found, other.found, strict=True))
        return _Path(np.concatenate([self.relative, other.relative]), theory.Branches(*joined))

    def exists(self) -> np.ndarray:
        """(branch, step): converged, a minimum, and of its own kind."""
        norm = geometry.norms(self.found.W)[..., 0]
        own = np.stack([norm[PENTAGON] > 0.5, norm[DIGONS] < 0.5])
        return own & (self.found.gradient < 1e-8) & (self.found.curvature > 0)


def _densities(baseline: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """(step, 5): feature 0 at relative times the baseline."""
    p = np.repeat((baseline * np.ones_like(relative))[:, None], 5, 1)
    p[:, 0] *= relative
    return p


def _follow(starts: ToyParams, baseline: float | np.ndarray, relative: np.ndarray) -> _Path:
    p = _densities(np.asarray(baseline), relative)
    return _Path(relative, theory.follow("relu", np.ones(5), p, starts, law=INDEPENDENT))


def _starts() -> ToyParams:
    """A pentagon, and two digons with feature 0 at zero."""
    angle = 2 * np.pi * np.arange(5) / 5
    digons = np.array([[0.0, 1, -1, 0, 0], [0, 0, 0, 1, -1]])
    b = np.array([[-0.25] * 5, [0.02, 0.001, 0.001, 0.001, 0.001]])
    return params(np.stack([1.15 * np.stack([np.cos(angle), np.sin(angle)]), digons]), b)


def _at(path: _Path, step: int) -> ToyParams:
    return params(path.found.W[:, step], path.found.b[:, step])


def _crossing(x: np.ndarray, loss: np.ndarray) -> float:
    """Where the two branches' losses (2, x) are equal, on a logarithmic axis; NaN if they are not."""
    gap = loss[PENTAGON] - loss[DIGONS]
    if not gap[0] * gap[-1] < 0:
        return float("nan")
    return float(np.exp(brentq(CubicSpline(np.log(x), gap), np.log(x[0]), np.log(x[-1]))))


def run(config: Config) -> Result:
    """Follow both branches up and down from the uniform case, find where they cross and end, and refit."""
    up = _follow(_starts(), config.baseline, np.geomspace(1, config.highest, config.points))
    down = _follow(_at(up, 0), config.baseline, np.geomspace(1, config.lowest, config.points + 1)[1:])
    whole = down.reversed().then(up)
    exists = whole.exists()
    both = np.flatnonzero(exists.all(0))
    gap = (whole.found.loss[PENTAGON] - whole.found.loss[DIGONS])[both]
    left = both[np.flatnonzero(gap > 0)[-1]] if (gap > 0).any() else both[0]
    fine = _follow(
        _at(whole, left),
        config.baseline,
        np.geomspace(whole.relative[left], whole.relative[left + 1], config.points),
    )
    crossing = _crossing(fine.relative, fine.found.loss)
    if np.isnan(crossing):  # known only once the branches have been followed; nothing is trained yet
        raise ConfigError(
            f"the branches do not cross where both were followed, in {config.points} steps down to lowest = "
            f"{config.lowest:g} at baseline = {config.baseline:g}; give more points, a baseline nearer 0.05 or a lowest "
            "nearer 0.1"
        )
    first = int(np.flatnonzero(exists[PENTAGON])[0])
    ending = _follow(
        _at(whole, first),
        config.baseline,
        np.geomspace(whole.relative[first], whole.relative[max(first - 1, 0)] * 0.99, config.points),
    )
    end = float(ending.relative[np.logical_and.accumulate(ending.exists()[PENTAGON])].min())
    # The baseline at which the paper's ratio would be right, and the limit of great sparsity at ratio 1.
    middle = int(np.argmin(np.abs(whole.relative - PAPER)))
    other = np.geomspace(config.baseline, 2.5 * config.baseline, config.points)
    ratio = _follow(_at(whole, middle), other, np.full(config.points, PAPER))
    tiny = np.geomspace(config.baseline, 1e-5, config.points)
    limit = _follow(_at(up, 0), tiny, np.ones(config.points))
    refits = _refit(config)
    at = np.array([0.1, 0.2, crossing, crossing, 0.5, 1.0, 2.0, 3.0])
    best = np.where(
        (whole.found.loss[PENTAGON] <= whole.found.loss[DIGONS]) & exists[PENTAGON], PENTAGON, DIGONS
    )
    nearest = np.abs(np.log(whole.relative[:, None] / at)).argmin(0)
    planes = np.stack([whole.found.W[best[k], k] for k in nearest])
    for k, branch in ((2, DIGONS), (3, PENTAGON)):
        planes[k] = fine.found.W[branch, np.abs(fine.relative - crossing).argmin()]
    baseline_at = _crossing(other, ratio.found.loss)
    return Result(
        config,
        [
            _where(crossing, baseline_at),
            _crosses(crossing, whole),
            _first_order(crossing, fine),
            _minima(crossing, whole, exists, end),
            _shapes(planes),
            _room(whole),
            *_norms(limit),
            _refits(refits, whole, exists),
        ],
        arrays={
            "relative": whole.relative,
            "loss": np.where(exists, whole.found.loss, np.nan),
            "curvature": np.where(exists, whole.found.curvature, np.nan),
            "refit_relative": refits["relative"],
            "refit_loss": refits["loss"],
            "planes": planes,
            "at": at,
        },
        numbers={"crossing": crossing, "pentagon_ends": end, "baseline_of_paper_ratio": baseline_at},
    )


def _refit(config: Config) -> dict[str, np.ndarray]:
    """Models trained on samples from random starts, and their exact losses."""
    relative = np.geomspace(config.lowest, config.highest, config.refit_densities)
    recipe = ToyRun(
        ReLUOutput(5, 2),
        SparseUniform(density=1.0),
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    densities = _densities(np.array(config.baseline), relative)
    data = sweep(recipe, {"density": densities.tolist(), "seed": range(config.seeds)})
    return {"relative": relative, "loss": data["loss"].values}


def _where(crossing: float, baseline: float) -> Claim:
    return Claim(
        "F10",
        "below about 1/2.5 of the others' density (+- 15 %) two digons beat the pentagon",
        "1/2.5 = 0.4",
        f"the exact branches cross at {crossing:.4f} = 1/{1 / crossing:.2f}; at a baseline density of "
        f"{baseline:.4f} in place of 0.05 they would cross at 1/2.5",
        bool(abs(crossing / PAPER - 1) < 0.15),
        expected=False,
    )


def _crosses(crossing: float, path: _Path) -> Claim:
    gap = np.log(path.found.loss[PENTAGON] / path.found.loss[DIGONS])
    at = [int(np.abs(np.log(path.relative / r)).argmin()) for r in (crossing / 1.5, crossing * 1.5)]
    return Claim(
        "F10",
        "made sparse enough, one feature turns the best solution from the pentagon into two digons",
        "pentagon above, digons below the crossing",
        f"pentagon over digons {100 * np.expm1(gap[at[0]]):+.1f} % at {path.relative[at[0]]:.2f}, "
        f"{100 * np.expm1(gap[at[1]]):+.1f} % at {path.relative[at[1]]:.2f} of the others' density",
        bool(gap[at[0]] > 0 > gap[at[1]]),
    )


def _first_order(crossing: float, fine: _Path) -> Claim:
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
        bool(slopes[1] / slopes[0] > 1.5),
    )


def _minima(crossing: float, path: _Path, exists: np.ndarray, end: float) -> Claim:
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
    )


def _shapes(planes: np.ndarray) -> Claim:
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
        bool(
            (geometry.norms(above) > 0.5).all() and gaps.max() < 100 and len(pairs) == 2 and norms[0] < 0.05
        ),
    )


def _room(path: _Path) -> Claim:
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
    )


def _norms(limit: _Path) -> list[Claim]:
    norm = float(geometry.norms(limit.found.W[PENTAGON, -1]).mean())
    bias = float(-limit.found.b[PENTAGON, -1].mean())
    said = 1 / (1 - bias)
    return [
        Claim(
            "F10",
            "the pentagon's norms are ||W_i|| = 1 / (1 - |b_i|) in the limit of great sparsity (within 3 %)",
            "1 / (1 - b)",
            f"norm {norm:.4f}, bias -{bias:.4f}, formula {said:.4f}: {100 * abs(said / norm - 1):.1f} % off",
            bool(abs(said / norm - 1) < 0.03),
            expected=False,
        ),
        Claim(
            "F10",
            "it is the square that the formula describes, ||W_i||^2 = 1 / (1 - |b_i|) (within 3 %)",
            "(not in the paper)",
            f"square of the norm {norm**2:.4f}, formula {said:.4f}: {100 * abs(said / norm**2 - 1):.1f} % off",
            bool(abs(said / norm**2 - 1) < 0.03),
        ),
    ]


def _refits(refits: dict[str, np.ndarray], path: _Path, exists: np.ndarray) -> Claim:
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
        bool((excess.min(1) < 0.01).mean() >= 0.9 and excess.min() > -0.01),
    )


def draw(result: Result) -> Figure:
    """Both branches, refits behind them, and the best solution along the axis."""
    arrays = result.arrays
    names = ("pentagon (exact)", "two digons, the varied feature at 0 (exact)")
    return branches(
        arrays["relative"],
        [Branch(name, loss) for name, loss in zip(names, arrays["loss"], strict=True)],
        (arrays["refit_relative"], arrays["refit_loss"]),
        arrays["planes"],
        arrays["at"],
        crossing=result.numbers["crossing"],
        label=f"density of one feature, relative to the others' ({result.config.baseline:g})",
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    crossing, end = result.numbers["crossing"], result.numbers["pentagon_ends"]
    return (
        "Expected loss against the relative density of one of five features, two lines: the pentagon and two digons. "
        f"They cross at {crossing:.3f}, the digons lower to the left; the pentagon's line ends at {end:.3f}. "
        "Above, the best solutions: two digons on the left, pentagons on the right."
    )


if __name__ == "__main__":
    main(__name__)
