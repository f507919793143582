"""The claims of `loss_decomposition`, each held against what was measured."""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, less_than, more_than
from experiments.toy_models.loss_decomposition.config import SHOWN, TINY
from superposition.expected_loss import reference_loss
from superposition.theory import variance
from superposition.typing import ToyParams


def as_numpy(W: Any, b: Any) -> ToyParams:
    """Parameters as float64 NumPy arrays, which stay so outside JAX's double precision."""
    return ToyParams(as_float(W), as_float(b))  # type: ignore[arg-type]


def as_float(value: Any) -> np.ndarray:
    """Return values as a float64 NumPy array."""
    return np.asarray(value, np.float64)


def _quadrature(params: ToyParams, importance: np.ndarray) -> tuple[float, ToyParams]:
    """L_1 and its gradient by Gauss-Legendre on both sides of every bend: knows none of the closed forms."""
    A, b = params.W.T @ params.W, params.b[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.clip(np.nan_to_num(-b / A, nan=0.0, posinf=0.0, neginf=0.0), 0, 1)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    value, dA, db = 0.0, np.zeros_like(A), np.zeros(len(A))
    for left, right in ((0 * bend, bend), (bend, 0 * bend + 1)):
        for node, weight in zip(nodes, weights, strict=True):
            x = left + (right - left) * (node + 1) / 2
            size = (right - left) / 2 * weight * importance[:, None]
            z = A * x + b
            error = np.eye(len(A)) * x - np.maximum(z, 0)
            value += float((size * error**2).sum())
            slope = -2 * size * error * (z > 0)
            dA, db = dA + slope * x, db + slope.sum(1)
    return value, as_numpy(params.W @ (dA + dA.T), db)


def closed_forms_claim(models: list[ToyParams], importance: np.ndarray, terms: np.ndarray) -> Claim:
    """The closed form of L_0 and the integrals of L_1 are what no and one active feature cost."""
    zero = [float(importance @ np.maximum(p.b, 0) ** 2) for p in models]
    first = [_quadrature(p, importance)[0] for p in models]
    worst = max(_apart(terms[:, 0], np.array(zero)), _apart(terms[:, 1], np.array(first)))
    return Claim(
        "F4",
        "L_0 = sum I_i ReLU(b_i)^2 and the two integrals of L_1 are what no and one active feature cost",
        "equations (we ask 1e-10)",
        f"closed forms and quadrature differ by {worst:.1e} at most, over {len(models)} trained models",
        less_than(worst, 1e-10),
        source=Source.IDENTITY,
    )


def autodiff_claim(models: list[ToyParams], importance: np.ndarray, gradients: list[ToyParams]) -> Claim:
    """The closed form of L_1 has the gradient of its integrals."""
    worst = 0.0
    for p, found in zip(models, gradients, strict=True):
        wanted = _quadrature(p, importance)[1]
        scale = max(np.abs(wanted.W).max(), np.abs(wanted.b).max())
        gap = max(np.abs(found.W - wanted.W).max(), np.abs(found.b - wanted.b).max())
        worst = max(worst, float(gap / scale))
    return Claim(
        "F4",
        "the closed form of L_1 differentiates to the gradient of its integrals",
        "follows from the equations (we ask 1e-10)",
        f"autodiff and quadrature differ by {worst:.1e} of the largest slope",
        less_than(worst, 1e-10),
        source=Source.IDENTITY,
    )


def adds_up_claim(
    models: list[ToyParams], importance: np.ndarray, densities: tuple[float, ...], parts: np.ndarray
) -> Claim:
    """The terms, weighted by the chance of k active features, add up to the loss."""
    exact = np.array(
        [reference_loss(m, importance, p, activation="relu") for m, p in zip(models, densities, strict=True)]
    )
    worst = _apart(parts.sum(1), exact)
    return Claim(
        "F4",
        "L = sum_k p^k (1-p)^(n-k) L_k",
        "an identity (we ask 1e-10)",
        f"the sum over k and the exact expected loss differ by {worst:.1e} at most",
        less_than(worst, 1e-10),
        source=Source.IDENTITY,
    )


def order_claim(remainder: np.ndarray, second: float) -> Claim:
    """What L_0 and L_1 leave out is of second order in the density."""
    slope = float(np.polyfit(np.log(TINY), np.log(remainder), 1)[0])
    ratio = float(remainder[0] / TINY[0] ** 2 / second)
    return Claim(
        "F4",
        "as p goes to 0 only L_0 and L_1 matter: what they leave is O(p^2)",
        "p^2",
        f"p^{slope:.3f}; its factor is {ratio:.4f} L_2 at p = {TINY[0]:g}",
        (less_than(abs(slope - 2), 0.01), less_than(abs(ratio - 1), 0.01)),
        source=Source.IDENTITY,
    )


def linear_claim(
    models: list[ToyParams], importance: np.ndarray, terms: list[Any], densities: tuple[float, ...]
) -> Claim:
    """The linear loss has the paper's form, up to a factor."""
    worst = 0.0
    for model, both, p in zip(models, terms, densities, strict=True):
        best = (np.eye(5) - model.W.T @ model.W) @ np.full(5, p / 2)
        exact = reference_loss(as_numpy(model.W, best), importance, p, activation="linear")
        total = float(variance(p) * both)
        worst = max(worst, abs(total / exact - 1))
    return Claim(
        "F4",
        "the linear loss is sum I_i (1 - ||W_i||^2)^2 + sum I_j (W_j . W_i)^2, up to a factor",
        "~",
        f"exactly Var x_i = p/3 - p^2/4 times it, with the best bias: {worst:.1e} apart at most",
        less_than(worst, 1e-10),
        source=Source.IDENTITY,
    )


def free_claim(alone: np.ndarray, linear: np.ndarray, densities: tuple[float, ...]) -> Claim:
    """The ReLU makes negative interference nearly free while one feature is active."""
    at = densities.index(SHOWN[1])
    off = ~np.eye(5, dtype=bool)
    paid, due = alone[at][off].sum(), linear[at][off].sum()
    return Claim(
        "F4",
        "the ReLU makes negative interference free while one feature is active: at 80 % sparsity the antipodal "
        "pairs pay less than 5 % of what a linear model would",
        "free",
        f"{100 * paid / due:.2f} % of the linear interference",
        less_than(paid, 0.05 * due),
        source=Source.READING,
    )


def dominates_claim(shares: np.ndarray, densities: tuple[float, ...]) -> Claim:
    """At high sparsity most of the loss comes from at most one active feature."""
    first = shares[:, :2].sum(1)
    return Claim(
        "F4",
        "at high sparsity the terms of at most one active feature dominate: more than half of the loss at the "
        "trained optimum of the sparsest model",
        "dominate as S goes to 1",
        ", ".join(f"{100 * s:.0f} % at 1-S = {p:g}" for s, p in zip(first, densities, strict=True)),
        more_than(first[-1], 0.5),
        source=Source.READING,
    )


def decides_claim(balance: np.ndarray, densities: tuple[float, ...]) -> Claim:
    """A feature is kept exactly where its benefit exceeds the interference it brings."""
    gain, cost, norm = balance.T
    kept = norm > 0.5
    border = [f"{p:g} ({'kept' if k else 'dropped'}: gains {g:.2g}, costs {c:.2g})"
              for p, k, g, c in zip(densities, kept, gain, cost, strict=True)]  # fmt: skip
    return Claim(
        "this lab",
        "the least important of five features is kept exactly where its benefit exceeds the interference it brings "
        "to the others, and both happen",
        "not in the paper",
        "1-S = " + ", ".join(border),
        bool(((gain > cost) == kept).all() and kept.any() and not kept.all()),
    )


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, relative where a value is above 1e-6, else absolute."""
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-6)))
