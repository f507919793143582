"""The loss by how many features are active: feature benefit, interference, and which decides what is kept.

Elhage et al. 2022, "Mathematical Understanding", which has equations and no measurements: the linear loss as
feature benefit plus interference, and the ReLU loss as a sum over k active features with L_1 written out. Here
the equations are held against quadrature and the exact expected loss, and read on trained models: the
introduction's (n=5, m=2, I = 0.9^i) and the paper's second figure's (n=20, m=5, I = 0.7^i). AdamW without
decay, 1,500 steps of 128 examples, learning rate 1e-2 falling to 0 as a cosine, the best of 4 seeds by exact loss.

Command:  python -m experiments.loss_decomposition
Time:     twenty seconds on two cores
Expect:   closed forms to 1e-10; what L_0 and L_1 leave falls as p^2.00
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._check import includes
from superposition import AdamW, ReLUOutput, ToyRun, geometry
from superposition._internal import validate
from superposition.expected_loss import expected_losses, reference_loss
from superposition.expected_loss.by_count import count_weights, linear_terms, losses_by_count, one_active
from superposition.plot.loss_terms import Balance, Shares, loss_terms
from superposition.theory import variance
from superposition.training import sweep
from superposition.typing import ToyParams

SHOWN = (1.0, 0.2, 0.1)  # densities of the introduction's three panels
TINY = np.geomspace(1e-4, 1e-3, 5)


@dataclass(frozen=True)
class Config:
    """The two models and their training."""

    densities: tuple[float, ...] = (1.0, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01)
    larger_densities: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    larger: tuple[int, int] = (20, 5)  # n and m
    seeds: int = 4
    steps: int = 1_500
    batch_size: int = 128
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        includes("densities", self.densities, *SHOWN)
        validate.integer("the first of larger, n,", self.larger[0], 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(densities=SHOWN, larger_densities=SHOWN, larger=(5, 2), seeds=1, steps=10, batch_size=16)


def run(config: Config) -> Result:
    """Train both models, take their losses apart, and hold the equations against numbers."""
    n, m = config.larger
    small, small_loss = _train(config, 5, 2, 0.9, config.densities)
    large, large_loss = _train(config, n, m, 0.7, config.larger_densities)
    importance, larger_importance = 0.9 ** np.arange(5), 0.7 ** np.arange(n)
    with jax.enable_x64(True):
        terms = np.array([_float(losses_by_count(p, importance, activation="relu", most=5)) for p in small])
        more = np.array([_float(losses_by_count(p, larger_importance, activation="relu")) for p in large])
        alone = np.array([_float(one_active(p, importance, activation="relu")) for p in small])
        linear = np.array([_float(one_active(_unbiased(p), importance, activation="linear")) for p in small])
        gradients = [_first_gradient(p, importance) for p in small]
        balance = _balance(small, importance, config.densities)
        saxe = [sum(_float(term).sum() for term in linear_terms(p.W, importance)) for p in small]
    parts = terms * [count_weights(p, 5, 5) for p in config.densities]
    shares = parts / parts.sum(1, keepdims=True)
    larger = more * [count_weights(p, n, 2) for p in config.larger_densities]
    larger_shares = np.c_[larger, large_loss - larger.sum(1)] / large_loss[:, None]
    remainder = _remainder(small[-1], importance, terms[-1])
    claims = [
        _closed_forms(small, importance, terms),
        _autodiff(small, importance, gradients),
        _adds_up(small, importance, config.densities, parts),
        _order(remainder, terms[-1, 2]),
        _linear(small, importance, saxe, config.densities),
        _free(alone, linear, config.densities),
        _dominates(shares, config.densities),
        _decides(balance, config.densities),
    ]
    arrays = {
        "norms": np.array([geometry.norms(p.W) for p in small]),
        "terms": terms,
        "shares": shares,
        "larger_shares": larger_shares,
        "alone": alone / importance[:, None] * 3,
        "balance": balance,
        "remainder": remainder,
        "loss": small_loss,
        "larger_loss": large_loss,
    }
    return Result(config, claims, arrays)


def _train(
    config: Config, n: int, m: int, base: float, densities: tuple[float, ...]
) -> tuple[list[ToyParams], np.ndarray]:
    """The best seed's parameters at every density, float64, and their exact losses."""
    recipe = ToyRun(
        ReLUOutput(n, m),
        importance_base=base,
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    data = sweep(recipe, {"density": densities, "seed": range(config.seeds)})
    best = (np.arange(len(densities)), data["loss"].values.argmin(1))
    W, b = (data[name].values[best].astype(np.float64) for name in ("W", "b"))
    params = [_numpy(*p) for p in zip(W, b, strict=True)]
    return params, data["loss"].values[best]


def _numpy(W: Any, b: Any) -> ToyParams:
    """Parameters as float64 NumPy arrays, which stay so outside JAX's double precision."""
    return ToyParams(_float(W), _float(b))  # type: ignore[arg-type]


def _float(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


def _unbiased(params: ToyParams) -> ToyParams:
    return ToyParams(params.W, 0 * params.b)


def _first_gradient(params: ToyParams, importance: np.ndarray) -> ToyParams:
    """Autodiff of the closed form of L_1."""

    def first(p: ToyParams) -> Any:
        return losses_by_count(p, importance, activation="relu", most=1)[1]

    found = jax.grad(first)(ToyParams(jnp.asarray(params.W), jnp.asarray(params.b)))
    return _numpy(found.W, found.b)


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
    return value, _numpy(params.W @ (dA + dA.T), db)


def _remainder(params: ToyParams, importance: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """L(p) - (1-p)^n L_0 - p (1-p)^(n-1) L_1 of one fixed model at small p."""
    return np.array(
        [
            reference_loss(params, importance, p, activation="relu") - count_weights(p, 5, 1) @ terms[:2]
            for p in TINY
        ]
    )


def _balance(models: list[ToyParams], importance: np.ndarray, densities: tuple[float, ...]) -> np.ndarray:
    """Per density: what keeping the least important feature gains it, what that costs the others, its norm.

    Where it is kept, against dropping it; where it is not, against the best of 96 ways to add it.
    """
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ways = np.concatenate([r * np.stack([np.cos(angles), np.sin(angles)], 1) for r in (0.7, 1.0)])

    @jax.jit
    def losses(W: Any, b: Any, p: Any) -> Any:
        one = partial(expected_losses, importance=None, activation="relu", method="enumeration")
        return jax.lax.map(lambda q: one(q, density=p), ToyParams(W, b))

    rows = []
    for model, p in zip(models, densities, strict=True):
        kept = float(np.linalg.norm(model.W[:, -1])) > 0.5
        columns = np.concatenate([np.zeros((1, 2)), model.W[:, -1][None], ways])
        W = np.repeat(model.W[None], len(columns), 0)
        W[:, :, -1] = columns
        b = np.repeat(model.b[None], len(columns), 0)
        b[0, -1] = p / 2  # dropped, it is best replaced by its mean
        b[2:, -1] = 0
        found = importance * _float(losses(jnp.asarray(W), jnp.asarray(b), p))
        base = found[0] if kept else found[1]
        change = found - base
        at = 1 if kept else 2 + int(change[2:].sum(1).argmin())
        rows.append([-change[at, -1], change[at, :-1].sum(), np.linalg.norm(model.W[:, -1])])
    return np.array(rows)


def _closed_forms(models: list[ToyParams], importance: np.ndarray, terms: np.ndarray) -> Claim:
    zero = [float(importance @ np.maximum(p.b, 0) ** 2) for p in models]
    first = [_quadrature(p, importance)[0] for p in models]
    worst = max(_apart(terms[:, 0], np.array(zero)), _apart(terms[:, 1], np.array(first)))
    return Claim(
        "F4",
        "L_0 = sum I_i ReLU(b_i)^2 and the two integrals of L_1 are what no and one active feature cost",
        "equations (we ask 1e-10)",
        f"closed forms and quadrature differ by {worst:.1e} at most, over {len(models)} trained models",
        bool(worst < 1e-10),
    )


def _autodiff(models: list[ToyParams], importance: np.ndarray, gradients: list[ToyParams]) -> Claim:
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
        bool(worst < 1e-10),
    )


def _adds_up(
    models: list[ToyParams], importance: np.ndarray, densities: tuple[float, ...], parts: np.ndarray
) -> Claim:
    exact = np.array(
        [reference_loss(m, importance, p, activation="relu") for m, p in zip(models, densities, strict=True)]
    )
    worst = _apart(parts.sum(1), exact)
    return Claim(
        "F4",
        "L = sum_k p^k (1-p)^(n-k) L_k",
        "an identity (we ask 1e-10)",
        f"the sum over k and the exact expected loss differ by {worst:.1e} at most",
        bool(worst < 1e-10),
    )


def _order(remainder: np.ndarray, second: float) -> Claim:
    slope = float(np.polyfit(np.log(TINY), np.log(remainder), 1)[0])
    ratio = float(remainder[0] / TINY[0] ** 2 / second)
    return Claim(
        "F4",
        "as p goes to 0 only L_0 and L_1 matter: what they leave is O(p^2)",
        "p^2",
        f"p^{slope:.3f}; its factor is {ratio:.4f} L_2 at p = {TINY[0]:g}",
        bool(abs(slope - 2) < 0.01 and abs(ratio - 1) < 0.01),
    )


def _linear(
    models: list[ToyParams], importance: np.ndarray, terms: list[Any], densities: tuple[float, ...]
) -> Claim:
    worst = 0.0
    for model, both, p in zip(models, terms, densities, strict=True):
        best = (np.eye(5) - model.W.T @ model.W) @ np.full(5, p / 2)
        exact = reference_loss(_numpy(model.W, best), importance, p, activation="linear")
        total = float(variance(p) * both)
        worst = max(worst, abs(total / exact - 1))
    return Claim(
        "F4",
        "the linear loss is sum I_i (1 - ||W_i||^2)^2 + sum I_j (W_j . W_i)^2, up to a factor",
        "~",
        f"exactly Var x_i = p/3 - p^2/4 times it, with the best bias: {worst:.1e} apart at most",
        bool(worst < 1e-10),
    )


def _free(alone: np.ndarray, linear: np.ndarray, densities: tuple[float, ...]) -> Claim:
    at = densities.index(SHOWN[1])
    off = ~np.eye(5, dtype=bool)
    paid, due = alone[at][off].sum(), linear[at][off].sum()
    return Claim(
        "F4",
        "the ReLU makes negative interference free while one feature is active: at 80 % sparsity the antipodal "
        "pairs pay less than 5 % of what a linear model would",
        "free",
        f"{100 * paid / due:.2f} % of the linear interference",
        bool(paid < 0.05 * due),
    )


def _dominates(shares: np.ndarray, densities: tuple[float, ...]) -> Claim:
    first = shares[:, :2].sum(1)
    return Claim(
        "F4",
        "at high sparsity the terms of at most one active feature dominate: more than half of the loss at the "
        "trained optimum of the sparsest model",
        "dominate as S goes to 1",
        ", ".join(f"{100 * s:.0f} % at 1-S = {p:g}" for s, p in zip(first, densities, strict=True)),
        bool(first[-1] > 0.5),
    )


def _decides(balance: np.ndarray, densities: tuple[float, ...]) -> Claim:
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


def draw(result: Result) -> Figure:
    """Who pays when one feature is active; shares by count; gain against cost; the remainder."""
    a, densities = result.arrays, np.array(result.config.densities)
    at = [result.config.densities.index(p) for p in SHOWN]
    titles = [f"{100 * (1 - p):.0f} % sparsity" for p in SHOWN]
    shares = [
        Shares("n = 5, m = 2", densities, a["shares"], ("0", "1", "2", "3", "4", "5")),
        Shares(
            "n = {}, m = {}".format(*result.config.larger),
            np.array(result.config.larger_densities),
            a["larger_shares"],
            ("0", "1", "2", "3 or more"),
        ),
    ]
    gain, cost, norm = a["balance"].T
    balance = Balance(densities, gain, cost, norm > 0.5)
    return loss_terms(
        a["alone"][at], titles, shares, balance, (TINY, a["remainder"], float(a["terms"][-1, 2]))
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    shares = result.arrays["shares"]
    one = 100 * shares[:, :2].sum(1)
    kept = int((result.arrays["balance"][:, 2] > 0.5).sum())
    return (
        "Squared error of every output when one feature is active, as three grids; shares of the loss by number of "
        f"active features, of which none or one make {one[0]:.0f} % when dense and {one[-1]:.0f} % when sparsest; the "
        f"gain and cost of keeping the least important feature, which is kept at {kept} of {len(shares)} densities; "
        "and what the first two terms leave out, falling as the square of the density."
    )


if __name__ == "__main__":
    main(__name__)
