"""Nonlinear compression: two features in one number, by quantising one and writing the other in between.

Elhage et al. 2022, appendix "Nonlinear Compression": t = (floor(Z x) + y) / Z, with every jump of the encoder
and of the decoder replaced by a straight segment epsilon wide, against a linear code. The paper does not say
where its segments lie; ours are centred on the jumps. x is read back as floor(Z t) / Z and, better, with the
best constant added. Errors are exact integrals, nothing is trained. Beyond the paper: noise in t, sparse inputs.

Command:  python -m experiments.nonlinear_compression
Time:     ten seconds on one core
Expect:   beats linear at Z = 3 and epsilon = 0.1, 0.076 (with a constant 0.048) against 1/12 = 0.083
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq

from experiments._base import Claim, Result, main
from superposition._internal import validate
from superposition.plot.compression import Curves, compression
from superposition.theory import compression as code
from superposition.theory.no_bias import no_bias_minimum

SOURCE = "Elhage 2022, appendix"
LEVELS = (2, 3, 4, 6, 10)


@dataclass(frozen=True)
class Config:
    """Points of the curves, the greatest Z searched, and samples that check the integrals."""

    points: int = 81
    most_levels: int = 40
    samples: int = 1_000_000

    def __post_init__(self) -> None:
        validate.integer("points", self.points, 2)
        validate.integer("samples", self.samples, 100)  # their spread is the standard error

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(points=9, most_levels=8, samples=10_000)


def run(config: Config) -> Result:
    """Errors against epsilon, against noise, and against density."""
    width = np.linspace(0, 0.2, config.points)
    noise = np.geomspace(1e-3, 0.3, config.points)
    density = np.geomspace(1, 0.01, config.points)
    arrays = {
        "width": width,
        "noise": noise,
        "density": density,
        "floor": np.array([[_total(z, w, 0.0) for w in width] for z in LEVELS]),
        "best_constant": np.array([[_total(z, w, None) for w in width] for z in LEVELS]),
        "noisy": np.array([[code.noisy_error(z, s).total for s in noise] for z in LEVELS]),
        "noisy_linear": code.linear_error(1.0, noise),
        "sparse": np.array([[code.compression_error(z, density=p).total for p in density] for z in LEVELS]),
        "sparse_linear": code.linear_error(density),
        "superposition": no_bias_minimum(1.0, density).loss,
    }
    claims = [
        *_paper(arrays),
        _neurons(),
        _levels_against_width(config),
        *_noise(config),
        _sparse(),
        _checked(config),
    ]
    return Result(config, claims, arrays)


def _total(levels: int, width: float, constant: float | None) -> float:
    """Error of x and y together; NaN where the segments would overlap."""
    if width * levels > 1:
        return float("nan")
    return code.compression_error(levels, width, constant=constant).total


def _paper(arrays: dict[str, np.ndarray]) -> list[Claim]:
    linear = float(code.linear_error())
    floor, best = (_total(3, 0.1, c) for c in (0.0, None))
    still = [_total(3, 0.0, c) for c in (0.0, None)]
    worst = brentq(lambda w: _total(3, w, 0.0) - linear, 0, 1 / 3)
    widest = _total(3, 1 / 3, None)
    return [
        Claim(
            SOURCE,
            "with segments as wide as 0.1 and Z as small as 3 the nonlinear code beats linear ones (dense inputs)",
            "outperforms picking one of the dimensions or using the average",
            f"error {floor:.4f} (with the best constant {best:.4f}) against {linear:.4f}; without segments "
            f"{still[0]:.4f} ({still[1]:.4f})",
            floor < linear,
        ),
        Claim(
            SOURCE,
            "picking one of the dimensions and using the average are equally good linear codes",
            "one reference line for both",
            f"best readout of either: {linear:.6f} = 1/12; measured by integration: picking one "
            f"{_affine(1.0):.6f}, average {_affine(0.5):.6f}",
            abs(_affine(1.0) - linear) < 1e-12 and abs(_affine(0.5) - linear) < 1e-12,
        ),
        Claim(
            "this lab",
            "at Z = 3 wider segments end the advantage of the floor code, not of the code with a constant",
            "not asked",
            f"floor code: lost at epsilon = {worst:.4f}; with the best constant {widest:.4f} even where segments meet "
            f"(epsilon = 1/3)",
            0.1 < worst < 1 / 3 and widest < linear,
        ),
    ]


def _affine(share: float) -> float:
    """Least squares of x and y on t = share x + (1 - share) y, dense, from exact second moments."""
    at, weight = np.polynomial.legendre.leggauss(3)
    at, weight = (at + 1) / 2, weight / 2
    x, y = (a.ravel() for a in np.meshgrid(at, at))
    w = np.sqrt(np.outer(weight, weight).ravel())[:, None]
    design = np.stack([share * x + (1 - share) * y, np.ones_like(x)], 1)
    target = np.stack([x, y], 1)
    fit = np.linalg.lstsq(w * design, w * target, rcond=None)[0]
    return float((w**2 * (target - design @ fit) ** 2).sum())


def _neurons() -> Claim:
    """Corners of the three piecewise linear functions, counted; the paper takes two neurons for every segment."""
    counts = []
    z_values = np.array([3, 4, 6])
    for z in z_values:
        t = np.linspace(0, 1, 20 * z * 12 + 1)
        step = code.staircase(z * t, z, 0.05 / z * 4)
        functions = (step, step / z, z * t - step)
        counts.append(sum(1 + int((np.abs(np.diff(f, 2)) > 1e-9).sum()) for f in functions))
    neurons = 2 * np.array(counts)
    return Claim(
        SOURCE,
        "two neurons for every straight segment make 12 neurons for every level, 36 at Z = 3",
        "12 neurons per Z segment, 36 in all",
        f"encoder, x' and y' together: {', '.join(map(str, neurons))} neurons at Z = 3, 4, 6, which is 12 Z - 6: the last "
        "level has no jump after it",
        bool((neurons == 12 * z_values).all()),
        expected=False,
    )


def _levels_against_width(config: Config) -> Claim:
    widths = (0.005, 0.02, 0.05, 0.1)
    best = []
    for width in widths:
        totals = [
            _total(z, width, None) for z in range(1, min(config.most_levels, int(1 / width + 1e-9)) + 1)
        ]
        best.append((int(np.argmin(totals)) + 1, min(totals)))
    return Claim(
        "this lab",
        "more levels pay only where segments are narrow: the best Z falls as epsilon grows",
        "not asked",
        "; ".join(f"epsilon {w:g}: Z = {z}, error {e:.4f}" for w, (z, e) in zip(widths, best, strict=True)),
        all(a[0] >= b[0] for a, b in pairwise(best)) and best[0][0] > best[-1][0],
    )


def _noise(config: Config) -> list[Claim]:
    def gap(levels: int, noise: float) -> float:
        return code.noisy_error(levels, noise).total - float(code.linear_error(1.0, noise))

    crossing = brentq(lambda s: gap(3, s), 1e-3, 1.0)
    levels = range(1, config.most_levels + 1)
    amounts = (0.003, 0.01, 0.03, 0.1)
    best = [int(np.argmin([code.noisy_error(z, s).total for z in levels])) + 1 for s in amounts]
    return [
        Claim(
            "this lab",
            "without segments but with noise in t, the nonlinear code (Z = 3) loses to a linear one beyond some noise",
            "not asked",
            f"they cross at a standard deviation of {crossing:.4f}; at 0.01 {code.noisy_error(3, 0.01).total:.4f} against "
            f"{float(code.linear_error(1.0, 0.01)):.4f}, at 0.1 {code.noisy_error(3, 0.1).total:.4f} against "
            f"{float(code.linear_error(1.0, 0.1)):.4f}",
            gap(3, 0.01) < 0 < gap(3, 0.1),
        ),
        Claim(
            "this lab",
            "the best Z falls as noise grows, to 1: one feature sent, the other not",
            "not asked",
            "; ".join(f"noise {s:g}: Z = {z}" for s, z in zip(amounts, best, strict=True)),
            all(a >= b for a, b in pairwise(best)) and best[-1] == 1,
        ),
    ]


def _sparse() -> Claim:
    def gap(p: float) -> float:
        return float(no_bias_minimum(1.0, p).loss) - code.compression_error(3, density=p).total

    crossing = brentq(gap, 0.01, 0.9)
    ratios = [
        float(no_bias_minimum(1.0, p).loss) / code.compression_error(3, density=p).total for p in (0.01, 0.3)
    ]
    return Claim(
        SOURCE,
        "superposition is the better code for sparse features (against the code with true jumps, Z = 3)",
        "much more powerful for compression of sparse features",
        f"relu(W^T W x) without bias, one dimension: better below density {crossing:.3f}; at 0.01 its loss is "
        f"{ratios[0]:.2f} times the nonlinear code's, at 0.3 {ratios[1]:.1f} times",
        gap(0.01) < 0 < gap(0.3),
    )


def _checked(config: Config) -> Claim:
    """Integrals against sampling of the code itself."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for levels, width, density in ((3, 0.1, 1.0), (3, 0.1, 0.4), (5, 0.02, 1.0), (4, 0.0, 0.2)):
        x, y = (rng.random(config.samples) * (rng.random(config.samples) < density) for _ in range(2))
        again = code.decode(code.encode(x, y, levels, width), levels, width)
        squares = (x - again[0]) ** 2 + (y - again[1]) ** 2
        exact = code.compression_error(levels, width, density=density, constant=0.0).total
        worst = max(worst, abs(squares.mean() - exact) / (squares.std() / config.samples**0.5))
    return Claim(
        "this lab",
        "the integrals are those of the code (4 settings sampled, within 4 standard errors)",
        "not asked",
        f"at most {worst:.1f} standard errors off, {config.samples} samples each",
        worst < 4,
    )


def draw(result: Result) -> Figure:
    """The code, its loss against segments, against noise, and against sparsity."""
    a: Any = result.arrays
    t = np.linspace(0, 1, 601)
    step, sharp = (code.staircase(3 * t, 3, w) for w in (0.1, 0.0))
    linear = np.full_like(a["width"], float(code.linear_error()))
    return compression(
        [
            Curves(
                "The code: Z = 3, epsilon = 0.1",
                "t",
                "read back",
                t,
                {"x' = s(Zt)/Z": step / 3, "y' = Zt − s(Zt)": 3 * t - step},
                {"with jumps": sharp / 3, "": 3 * t - sharp},
                note="t = (s(Zx) + y)/Z, s the floor function with sloped jumps",
            ),
            Curves(
                "Loss against width of the segments",
                "epsilon",
                "E (x−x')² + E (y−y')²",
                a["width"],
                {f"Z = {z}": a["best_constant"][k] for k, z in enumerate(LEVELS)},
                {"linear, 1/12": linear, "Z = 3, no constant": a["floor"][LEVELS.index(3)]},
                note="dense inputs; a line ends where segments meet",
            ),
            Curves(
                "Loss against noise in t (with jumps)",
                "standard deviation of the noise",
                "loss",
                a["noise"],
                {f"Z = {z}": a["noisy"][k] for k, z in enumerate(LEVELS)},
                {"linear": a["noisy_linear"]},
                log_x=True,
                note="dense inputs",
            ),
            Curves(
                "Loss against density (with jumps, no noise)",
                "feature density (1−S)",
                "loss",
                a["density"],
                {
                    "Z = 3": a["sparse"][LEVELS.index(3)],
                    "Z = 10": a["sparse"][LEVELS.index(10)],
                    "superposition": a["superposition"],
                },
                {"linear": a["sparse_linear"]},
                log_x=True,
                log_y=True,
                note="superposition: x' = relu(WᵀWx), one dimension, best W",
            ),
        ]
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    claims = result.claims
    return (
        "Four panels. The code's two readouts over t, a staircase and a sawtooth with sloped jumps. Its loss against the "
        f"width of the slopes, rising but below the linear reference line: {claims[0].measured}. Loss against noise, where "
        f"curves of several Z cross the linear one: {claims[5].measured}. Loss against density: {claims[7].measured}."
    )


if __name__ == "__main__":
    main(__name__)
