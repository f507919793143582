"""The claims of `nonlinear_compression`, each held against what was measured."""

from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from experiments.lab.claim import Claim, Source, between, less_than, more_than
from experiments.toy_models.nonlinear_compression.config import Config
from superposition.theory import compression as code
from superposition.theory.no_bias import no_bias_minimum

SOURCE = "Elhage 2022, appendix"


def total_error(levels: int, width: float, constant: float | None) -> float:
    """Error of x and y together; NaN where the segments would overlap."""
    if width * levels > 1:
        return float("nan")
    return code.compression_error(levels, width, constant=constant).total


def paper_claims(arrays: dict[str, np.ndarray]) -> list[Claim]:
    """The paper's statements about the nonlinear code and the two linear ones."""
    linear = float(code.linear_error())
    floor, best = (total_error(3, 0.1, c) for c in (0.0, None))
    still = [total_error(3, 0.0, c) for c in (0.0, None)]
    worst = brentq(lambda w: total_error(3, w, 0.0) - linear, 0, 1 / 3)
    widest = total_error(3, 1 / 3, None)
    return [
        Claim(
            SOURCE,
            "with segments as wide as 0.1 and Z as small as 3 the nonlinear code beats linear ones (dense inputs)",
            "outperforms picking one of the dimensions or using the average",
            f"error {floor:.4f} (with the best constant {best:.4f}) against {linear:.4f}; without segments "
            f"{still[0]:.4f} ({still[1]:.4f})",
            less_than(floor, linear),
            source=Source.PAPER,
        ),
        Claim(
            SOURCE,
            "picking one of the dimensions and using the average are equally good linear codes",
            "one reference line for both",
            f"best readout of either: {linear:.6f} = 1/12; measured by integration: picking one "
            f"{_affine(1.0):.6f}, average {_affine(0.5):.6f}",
            (less_than(abs(_affine(1.0) - linear), 1e-12), less_than(abs(_affine(0.5) - linear), 1e-12)),
            source=Source.IDENTITY,
        ),
        Claim(
            "this lab",
            "at Z = 3 wider segments end the advantage of the floor code, not of the code with a constant",
            "not asked",
            f"floor code: lost at epsilon = {worst:.4f}; with the best constant {widest:.4f} even where segments meet "
            f"(epsilon = 1/3)",
            (*between(worst, 0.1, 1 / 3), less_than(widest, linear)),
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


def neurons_claim() -> Claim:
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
        source=Source.PAPER,
    )


def levels_against_width_claim(config: Config) -> Claim:
    """The best number of levels falls as segments widen."""
    widths = (0.005, 0.02, 0.05, 0.1)
    best = []
    for width in widths:
        totals = [
            total_error(z, width, None) for z in range(1, min(config.most_levels, int(1 / width + 1e-9)) + 1)
        ]
        best.append((int(np.argmin(totals)) + 1, min(totals)))
    return Claim(
        "this lab",
        "more levels pay only where segments are narrow: the best Z falls as epsilon grows",
        "not asked",
        "; ".join(f"epsilon {w:g}: Z = {z}, error {e:.4f}" for w, (z, e) in zip(widths, best, strict=True)),
        (all(a[0] >= b[0] for a, b in pairwise(best)), more_than(best[0][0], best[-1][0])),
    )


def noise_claims(config: Config) -> list[Claim]:
    """Noise in t makes the nonlinear code lose, and lowers the best number of levels."""

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
            (less_than(gap(3, 0.01), 0), more_than(gap(3, 0.1), 0)),
        ),
        Claim(
            "this lab",
            "the best Z falls as noise grows, to 1: one feature sent, the other not",
            "not asked",
            "; ".join(f"noise {s:g}: Z = {z}" for s, z in zip(amounts, best, strict=True)),
            all(a >= b for a, b in pairwise(best)) and best[-1] == 1,
        ),
    ]


def sparse_claim() -> Claim:
    """Superposition is the better code where features are sparse."""

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
        (less_than(gap(0.01), 0), more_than(gap(0.3), 0)),
        source=Source.PAPER,
    )


def checked_claim(config: Config) -> Claim:
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
        less_than(worst, 4),
        source=Source.IDENTITY,
    )
