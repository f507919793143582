"""How well single units, few units, and all units together tell one script's tokens, where the script is rare."""

from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, sparse

from superposition import metrics

KS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
NEGATIVES = 60_000  # that a regression is fitted to


class Tokens(NamedTuple):
    """Judged tokens of one half: activations x (n, units), whether they are of the script (n,), their documents (n,).

    The positives are all of the script's tokens that the half has; the negatives are those of text at the training text's
    frequencies. `share`: what the positives are weighed to be of all.
    """

    x: np.ndarray | sparse.csr_matrix
    y: np.ndarray
    document: np.ndarray
    share: float

    @property
    def weights(self) -> np.ndarray:
        """Weights (n,), which add up to 1."""
        y = self.y
        return np.where(y, self.share / y.sum(), (1 - self.share) / (~y).sum())


def precision_of_units(tokens: Tokens) -> np.ndarray:
    """Average precision of every unit (units,)."""
    columns = sparse.csc_matrix(tokens.x) if sparse.issparse(tokens.x) else tokens.x
    return np.concatenate([
        metrics.average_precision(_dense(columns[:, i : i + 64]), tokens.y, share=tokens.share)
        for i in range(0, columns.shape[1], 64)
    ])  # fmt: skip


def precision(score: np.ndarray, tokens: Tokens) -> float:
    """Average precision of one score (n,)."""
    return float(metrics.average_precision(score[:, None], tokens.y, share=tokens.share)[0])


def probe(choose: Tokens, judge: Tokens, units: Any = slice(None), l2: float = 1e-4) -> np.ndarray:
    """The score (n,) on `judge` of a logistic regression on some units of `choose`, which are standardised.

    It is fitted to the script's tokens and at most NEGATIVES others, both kinds weighing the same.
    """
    random = np.random.default_rng(0)
    others = np.flatnonzero(~choose.y)
    rows = np.concatenate([np.flatnonzero(choose.y), random.permutation(others)[:NEGATIVES]])
    y = choose.y[rows]
    x, w = _dense(choose.x[rows][:, units]).astype(np.float64), np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())
    mean = w @ x
    scale = np.sqrt(w @ np.square(x - mean)) + 1e-6
    x = ((x - mean) / scale).astype(np.float32)
    sign = np.where(y, 1.0, -1.0)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ theta[:-1].astype(np.float32) + theta[-1])
        slope = -w * sign / (1 + np.exp(np.clip(margin, -50, 50)))
        value = w @ np.logaddexp(0, -margin) + l2 * theta[:-1] @ theta[:-1]
        return value, np.append(slope.astype(np.float32) @ x + 2 * l2 * theta[:-1], slope.sum())

    best = optimize.minimize(
        loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 100}
    )
    return np.asarray(judge.x[:, units] @ (best.x[:-1] / scale))


def sparse_probes(choose: Tokens, judge: Tokens, ks: tuple[int, ...] = KS) -> dict[int, float]:
    """AP on `judge` of a logistic regression on the k units that orthogonal matching pursuit takes from `choose`, by k."""
    w, y = choose.weights, choose.y.astype(np.float64)
    x = sparse.csr_matrix(choose.x) if sparse.issparse(choose.x) else np.asarray(choose.x, np.float64)
    mean = np.asarray(x.T @ w).ravel()
    weighted = sparse.diags(w) @ x if sparse.issparse(x) else x * w[:, None]
    gram = x.T @ weighted
    gram = (gram.toarray() if sparse.issparse(gram) else gram) - np.outer(mean, mean)
    target = np.asarray(x.T @ (w * y)).ravel() - mean * (w @ y)
    scale = np.sqrt(np.maximum(np.diag(gram), 0))
    usable = scale > 1e-9
    scale = np.where(usable, scale, 1)
    gram, target = gram / np.outer(scale, scale), target / scale
    taken: list[int] = []
    result = {}
    for k in range(1, min(max(ks), int(usable.sum())) + 1):
        found = (
            np.zeros(0)
            if not taken
            else np.linalg.lstsq(gram[np.ix_(taken, taken)], target[taken], rcond=None)[0]
        )
        left = np.abs(target - gram[:, taken] @ found)
        left[taken] = -1
        left[~usable] = -1
        taken.append(int(left.argmax()))
        if k in ks:
            result[k] = precision(probe(choose, judge, np.array(taken)), judge)
    return result


def enough(curve: dict[int, float], bar: float) -> int | None:
    """The least k at which the curve reaches the bar; None where it does not."""
    return next((k for k, ap in sorted(curve.items()) if ap >= bar), None)


def interval(score: np.ndarray, tokens: Tokens, draws: int = 100, seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of a score's AP when documents are drawn with replacement."""
    random, names = np.random.default_rng(seed), np.unique(tokens.document)
    where = {name: np.flatnonzero(tokens.document == name) for name in names}
    found = []
    for _ in range(draws):
        drawn = np.concatenate([where[name] for name in random.choice(names, len(names))])
        if 0 < tokens.y[drawn].sum() < len(drawn):
            found.append(precision(score[drawn], tokens._replace(y=tokens.y[drawn])))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def in_top(other: np.ndarray, script: np.ndarray, draws: list[np.ndarray], top: int) -> np.ndarray:
    """Number of the script's tokens among the `top` strongest of each unit (draws, units).

    other (n, units): tokens of other text at natural frequencies; script (m, units); draws: which of the script's tokens
    belong to a text of that size, several times. Only activations above 0 count.
    """
    columns = np.ascontiguousarray(other.T)
    kept = np.partition(columns, columns.shape[1] - top, 1)[
        :, -top:
    ].T  # of which some may give way to the script's
    counts = []
    for draw in draws:
        mine = script[draw]
        both = np.concatenate([kept, mine])
        edge = np.partition(both, len(both) - top, 0)[-top]
        counts.append(((mine >= edge) & (mine > 0)).sum(0))
    return np.array(counts)


def _dense(x: Any) -> np.ndarray:
    return x.toarray() if sparse.issparse(x) else np.asarray(x)
