"""How many dimensions a feature gets as sparsity grows: D* = m / ||W||_F^2, sticky at 1 and at 1/2.

Elhage et al. 2022, "The Geometry of Superposition": 400 equally important features in 30 dimensions; ||W||_F^2
counts the features a model learns, so D* is a dimension's share. The paper states neither densities nor training;
ours are those of `experiments/_uniform.py`: 30 densities from 1 to 0.01, five seeds each, longest where pairs
form. Compared with 30 dimensions filled with equal polytopes at their exact optimum (`experiments/_blocks.py`).

Command:  python -m experiments.dimensions_per_feature
Time:     three minutes on two cores, nearly all of it training
Expect:   plateaus at 1 (0.20 decades) and at 1/2 (0.22 decades; 0.32 at the best polytopes)
"""

from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._blocks import blocks, filling
from experiments._check import several
from experiments._uniform import UniformSweep, trained
from superposition.plot.dimensionality import Curve, dimensions_per_feature

SHARED = trained.__module__  # one training for three figures
NEAR, DECADES = 0.03, 0.3  # a plateau: |D* - value| < 0.03 over this many decades of 1 / (1 - S)


@dataclass(frozen=True)
class Config:
    """What is trained."""

    uniform: UniformSweep = field(default_factory=UniformSweep)

    def __post_init__(self) -> None:
        several("uniform.densities", self.uniform.densities)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(UniformSweep(40, 6, (1.0, 0.5, 0.2, 0.05), 2, 60, 32, slow_steps=60, slow_batch_size=32))


def run(config: Config) -> Result:
    """Train, measure D*, and hold it against the best filling with equal polytopes."""
    u = config.uniform
    models = trained(u)
    x = 1 / np.asarray(u.densities)
    dimensions = u.n_hidden / (models["W"].astype(float) ** 2).sum((-2, -1))
    shapes = blocks(1 / x)
    level, staircase = filling(shapes, 1 / x, u.n_features, u.n_hidden)
    spans = {value: plateau(x, dimensions.mean(1), value) for value in (1.0, 0.5)}
    return Result(
        config,
        [
            _sticky(spans[0.5], 0.5, DECADES, expected=False),
            _stickier(x, dimensions.mean(1), spans),
            _exact(plateau(x, staircase, 0.5)),
            _sticky(spans[1.0], 1.0, DECADES / 2),
            _seeds(x, dimensions),
            _end(x, dimensions.mean(1), staircase),
            _beginning(x, dimensions.mean(1), staircase),
            _gap(x, models["loss"], level, spans[0.5]),
        ],
        arrays={"inverse_density": x, "dimensions": dimensions, "block_dimensions": staircase,
                "block_loss": level, "loss": models["loss"]},
        numbers={"plateaus": {f"{v:g}": span for v, span in spans.items()}, "best_shape": shapes.best()},
    )  # fmt: skip


def plateau(x: np.ndarray, y: np.ndarray, value: float) -> tuple[float, float]:
    """Ends of the longest stretch of x on which |y - value| < NEAR, y linear in log x; (nan, nan) if none."""
    order = np.argsort(x)
    fine = np.linspace(np.log10(x.min()), np.log10(x.max()), 20_001)
    near = np.abs(np.interp(fine, np.log10(x[order]), y[order]) - value) < NEAR
    edges = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(int), [0]])))
    if not len(edges):
        return float("nan"), float("nan")
    starts, ends = edges[::2], edges[1::2] - 1
    longest = int((ends - starts).argmax())
    return float(10 ** fine[starts[longest]]), float(10 ** fine[ends[longest]])


def _decades(span: tuple[float, float]) -> float:
    return float(np.nan_to_num(np.log10(span[1] / span[0])))


def _sticky(span: tuple[float, float], value: float, needed: float, expected: bool = True) -> Claim:
    """At 1 half the width is asked for: the axis begins there, at the middle of the plateau."""
    return Claim(
        "F7",
        f"D* is sticky at {value:g}" + (" (antipodal pairs)" if value == 0.5 else " (dedicated dimensions)"),
        f"a plateau at {value:g}; no width stated",
        f"|D* - {value:g}| < {NEAR} from 1/(1-S) = {span[0]:.2f} to {span[1]:.2f}: {_decades(span):.2f} decades "
        f"(asked: {needed:g})",
        _decades(span) >= needed,
        expected,
    )


def _stickier(x: np.ndarray, mean: np.ndarray, spans: dict[float, tuple[float, float]]) -> Claim:
    between = {v: _decades(plateau(x, mean, v)) for v in np.arange(0.6, 0.91, 0.05)}
    widest = max(between, key=lambda v: between[v])
    return Claim(
        "F7",
        "D* stays near 1 and near 1/2 longer than near any value between (at least twice as long)",
        "sticky at 1 and 1/2",
        f"decades within {NEAR}: {_decades(spans[1.0]):.2f} of 1, {_decades(spans[0.5]):.2f} of 1/2, and at most "
        f"{between[widest]:.2f} of 0.6 to 0.9 (at {widest:.2f})",
        min(_decades(span) for span in spans.values()) >= 2 * between[widest],
    )


def _exact(span: tuple[float, float]) -> Claim:
    return Claim(
        "this lab",
        "at the best known minimum, equal polytopes at their exact optimum, D* is sticky at 1/2",
        f"a plateau of {DECADES} decades or more",
        f"|D* - 0.5| < {NEAR} from 1/(1-S) = {span[0]:.2f} to {span[1]:.2f}: {_decades(span):.2f} decades; "
        "trained models stay with 1 for longer",
        _decades(span) >= DECADES,
    )


def _seeds(x: np.ndarray, dimensions: np.ndarray) -> Claim:
    spread = dimensions.max(1) - dimensions.min(1)
    worst = int(spread.argmax())
    return Claim(
        "this lab",
        "the curve is a property of sparsity, not of the seed (all seeds within 0.06)",
        "one model a point",
        f"{dimensions.shape[1]} seeds: largest spread {spread[worst]:.3f}, at 1/(1-S) = {x[worst]:.2f}; median "
        f"{np.median(spread):.4f}",
        bool(spread.max() < 0.06),
    )


def _crossing(x: np.ndarray, y: np.ndarray, value: float) -> float:
    """Where y first falls through `value`, linear in log x; nan if it never does."""
    order = np.argsort(x)
    x, y = np.log10(x[order]), y[order]
    below = np.flatnonzero(y < value)
    if not len(below) or below[0] == 0:
        return float("nan")
    i = int(below[0])
    return float(10 ** (x[i - 1] + (y[i - 1] - value) / (y[i - 1] - y[i]) * (x[i] - x[i - 1])))


def _end(x: np.ndarray, mean: np.ndarray, staircase: np.ndarray) -> Claim:
    """Half-way between 1/2 and 2/5."""
    measured, exact = (_crossing(x, y, 0.45) for y in (mean, staircase))
    return Claim(
        "this lab",
        "the plateau at 1/2 ends where pentagons' exact loss falls below pairs' (within 0.1 decades)",
        "not stated",
        f"D* falls through 0.45 at 1/(1-S) = {measured:.2f}, the best polytopes' at {exact:.2f}",
        bool(abs(np.log10(measured / exact)) < 0.1),
    )


def _beginning(x: np.ndarray, mean: np.ndarray, staircase: np.ndarray) -> Claim:
    """Half-way between 1 and 1/2."""
    measured, exact = (_crossing(x, y, 0.75) for y in (mean, staircase))
    return Claim(
        "this lab",
        "it begins where pairs' exact loss falls below that of dedicated dimensions (within 0.1 decades)",
        "not stated",
        f"D* falls through 0.75 at 1/(1-S) = {measured:.2f}, the best polytopes' at {exact:.2f}",
        bool(abs(np.log10(measured / exact)) < 0.1),
    )


def _gap(x: np.ndarray, loss: np.ndarray, level: np.ndarray, span: tuple[float, float]) -> Claim:
    excess = loss.min(1) / level - 1
    on = (x >= span[0]) & (x <= span[1])
    worst, sparse = int(excess.argmax()), int(excess.argmin())
    most = float(excess[on].max()) if on.any() else np.inf
    return Claim(
        "this lab",
        "on the plateau at 1/2 trained models are within 1 % of the best known minimum",
        "no training settings stated",
        f"best seed, exact loss against the best equal polytopes: {100 * most:+.2f} % at most there; largest "
        f"{100 * excess[worst]:+.1f} % at 1/(1-S) = {x[worst]:.2f}; from {x[excess < 0].min(initial=np.inf):.1f} on below "
        f"them, {100 * excess[sparse]:+.0f} % at {x[sparse]:.0f}",
        most < 0.01,
    )


def draw(result: Result) -> Figure:
    """D* against 1 / (1 - S), with the plateaus and the exact staircase of polytopes."""
    a, spans = result.arrays, result.numbers["plateaus"]
    words = {"1": "1: a dimension each", "0.5": "1/2: antipodal pairs"}
    return dimensions_per_feature(
        a["inverse_density"],
        a["dimensions"],
        [(float(v), *(spans[v] if np.isfinite(spans[v]).all() else (1.0, 1.0)), words[v]) for v in words],
        [Curve("best equal polytopes, exact", a["block_dimensions"], "#d55e00", "--")],
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    spans = result.numbers["plateaus"]
    parts = [f"within {NEAR} of {v} from {low:.2f} to {high:.2f}" for v, (low, high) in spans.items()]
    mean = result.arrays["dimensions"].mean(1)
    return (
        "Dimensions per feature against 1 / (1 - S), falling from "
        f"{mean[0]:.2f} to {mean[-1]:.2f}: " + "; ".join(parts) + "."
    )


if __name__ == "__main__":
    main(__name__)
