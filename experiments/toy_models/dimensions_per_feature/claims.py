"""The claims of `dimensions_per_feature`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, at_least, at_most, less_than
from experiments.toy_models.dimensions_per_feature.config import DECADES, NEAR

SPARSE = 3.0  # 1 / (1 - S) from which features share dimensions


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


def sticky_claim(span: tuple[float, float], value: float) -> Claim:
    """D* of trained models has a plateau, of the same width at 1 and at 1/2."""
    return Claim(
        "F7",
        f"D* is sticky at {value:g}"
        + (" (antipodal pairs)" if value == 0.5 else " (as many features as dimensions)"),
        f"a plateau at {value:g}; no width stated",
        f"|D* - {value:g}| < {NEAR} from 1/(1-S) = {span[0]:.2f} to {span[1]:.2f}: {_decades(span):.2f} decades "
        f"(asked: {DECADES:g})",
        at_least(_decades(span), DECADES),
        source=Source.PAPER,
    )


def stickier_claim(x: np.ndarray, mean: np.ndarray, spans: dict[float, tuple[float, float]]) -> Claim:
    """D* stays near 1 and 1/2 longer than near any value between."""
    between = {v: _decades(plateau(x, mean, v)) for v in np.arange(0.6, 0.91, 0.05)}
    widest = max(between, key=lambda v: between[v])
    return Claim(
        "F7",
        "D* stays near 1 and near 1/2 longer than near any value between (at least twice as long)",
        "sticky at 1 and 1/2",
        f"decades within {NEAR}: {_decades(spans[1.0]):.2f} of 1, {_decades(spans[0.5]):.2f} of 1/2, and at most "
        f"{between[widest]:.2f} of 0.6 to 0.9 (at {widest:.2f})",
        at_least(min(_decades(span) for span in spans.values()), 2 * between[widest]),
        source=Source.RESTATED,
        restates="D* is sticky at 0.5",
    )


def exact_claim(span: tuple[float, float], value: float, trained: tuple[float, float]) -> Claim:
    """The best known minimum has a plateau at 1/2 too, and none at 1: there it is training that stays behind."""
    return Claim(
        "this lab",
        f"at the best known minimum, equal polytopes at their exact optimum, D* is sticky at {value:g}",
        f"a plateau of {DECADES} decades or more",
        f"|D* - {value:g}| < {NEAR} from 1/(1-S) = {span[0]:.2f} to {span[1]:.2f}: {_decades(span):.2f} decades (trained "
        f"models: {_decades(trained):.2f})",
        at_least(_decades(span), DECADES),
    )


def seeds_claim(x: np.ndarray, dimensions: np.ndarray) -> Claim:
    """All seeds give the same curve."""
    spread = dimensions.max(1) - dimensions.min(1)
    worst = int(spread.argmax())
    return Claim(
        "this lab",
        "the curve is a property of sparsity, not of the seed (all seeds within 0.06)",
        "one model a point",
        f"{dimensions.shape[1]} seeds: largest spread {spread[worst]:.3f}, at 1/(1-S) = {x[worst]:.2f}; median "
        f"{np.median(spread):.4f}",
        less_than(spread.max(), 0.06),
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


def end_claim(x: np.ndarray, mean: np.ndarray, staircase: np.ndarray) -> Claim:
    """Half-way between 1/2 and 2/5."""
    measured, exact = (_crossing(x, y, 0.45) for y in (mean, staircase))
    return Claim(
        "this lab",
        "the plateau at 1/2 ends where pentagons' exact loss falls below pairs' (within 0.1 decades)",
        "not stated",
        f"D* falls through 0.45 at 1/(1-S) = {measured:.2f}, the best polytopes' at {exact:.2f}",
        less_than(abs(np.log10(measured / exact)), 0.1),
    )


def beginning_claim(x: np.ndarray, mean: np.ndarray, staircase: np.ndarray) -> Claim:
    """Half-way between 1 and 1/2."""
    measured, exact = (_crossing(x, y, 0.75) for y in (mean, staircase))
    return Claim(
        "this lab",
        "it begins where pairs' exact loss falls below that of dedicated dimensions (within 0.1 decades)",
        "not stated",
        f"D* falls through 0.75 at 1/(1-S) = {measured:.2f}, the best polytopes' at {exact:.2f}",
        less_than(abs(np.log10(measured / exact)), 0.1),
    )


def bound_claim(x: np.ndarray, mean: np.ndarray) -> Claim:
    """By compressed sensing m = Omega(-n p log p) dimensions recover n sparse features; a constant is not given."""
    sparse = x >= SPARSE
    stored, ratio = 1 / mean[sparse], np.log(x[sparse]) / (x[sparse] * mean[sparse])
    return Claim(
        "Elhage 2022, compressed sensing",
        "features stored, n = ||W||_F^2, grow as the compressed-sensing bound on their number does: -n p log p / m, p = 1-S, "
        f"stays within a factor of two for 1/(1-S) >= {SPARSE:g}",
        "m = Omega(-n p log p); no constant given",
        f"-n p log p / m from {ratio.min():.2f} to {ratio.max():.2f}, while n / m goes from {stored.min():.1f} to "
        f"{stored.max():.1f}",
        at_most(ratio.max() / ratio.min(), 2),
        source=Source.READING,
    )


def gap_claim(x: np.ndarray, loss: np.ndarray, level: np.ndarray, span: tuple[float, float]) -> Claim:
    """On the plateau trained models are near the best known minimum."""
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
        less_than(most, 0.01),
    )
