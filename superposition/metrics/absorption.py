"""Absorption and hedging where the true features are known.

Absorption (Chanin et al. 2024): a parent's latent falls silent where a child is active, because the child's latent
has taken the parent's direction in. Hedging (Chanin et al., arXiv 2505.11756): a latent of an SAE that is too
narrow mixes in features that are correlated with its own.
"""

from typing import Any, NamedTuple

import numpy as np

from superposition.errors import ConfigError
from superposition.metrics import _arrays
from superposition.metrics.recovery import match

# A decoder row against this many groups of uncorrelated features is average enough.
_GROUPS = 16


class AbsorptionCounts(NamedTuple):
    """Additive counts per parent-child pair, (n_pairs,).

    >>> from superposition import metrics
    >>> latents, coefficients = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]
    >>> counts = metrics.absorption_counts(latents, coefficients, pairs=[(0, 1)], latent_of_feature=[0, 1])
    >>> int(counts.with_child[0]), int(counts.silent_with_child[0])
    (1, 1)
    """

    with_child: Any  # examples with parent and child active
    silent_with_child: Any  # of those, the parent's latent silent
    alone: Any  # examples with the parent active and the child not
    silent_alone: Any


class Absorption(NamedTuple):
    """Rate per pair, NaN where one of its conditions never held, and the mean over the others.

    >>> from superposition import metrics
    >>> latents, coefficients = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]
    >>> metrics.absorption_rate(latents, coefficients, [[1, 0], [0, 1]], [[1, 0], [0, 1]], [(0, 1)]).mean
    1.0
    """

    rate: np.ndarray
    mean: float


class Hedging(NamedTuple):
    """Per latent, (d_sae,), NaN where undefined; the means are over the rest.

    >>> import numpy as np
    >>> from superposition import metrics
    >>> related = np.array([[False, True, False], [True, False, False], [False, False, False]])
    >>> metrics.hedging([[0.8, 0.6, 0.0]], np.eye(3), related).hedging.round(2).tolist()
    [0.6]
    """

    hedging: np.ndarray
    correlated: np.ndarray
    uncorrelated: np.ndarray
    mean: float


class HedgingDegree(NamedTuple):
    """Mean projection of the change of old decoder rows on the new ones, by chance, and rescaled above chance.

    >>> from superposition import metrics
    >>> result = metrics.hedging_degree([[1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> result.projection, result.degree
    (0.0, 0.0)
    """

    projection: float
    chance: float
    degree: float


def absorption_counts(
    latents: Any, coefficients: Any, pairs: Any, latent_of_feature: Any
) -> AbsorptionCounts:
    """Counts of one batch for `absorption_from`; join batches with `add`. Can be jitted.

    Args:
        latents: (batch, d_sae).
        coefficients: (batch, n_features).
        pairs: (n_pairs, 2) integers: parent, child.
        latent_of_feature: (n_features,) integers, -1 for none: `match(W_dec, dictionary).latent_of_feature`. The
            latent of a feature that has none counts as silent throughout, which makes its rate 0: it was not
            absorbed, it was not found.

    Raises:
        ConfigError: Shapes disagree, a pair names no feature, an array is empty or not finite.

    Example:
        >>> from superposition import metrics
        >>> latents = [[1.0, 0.0], [0.0, 1.0]]  # the parent's latent does not fire where the child is active
        >>> coefficients = [[1.0, 0.0], [1.0, 1.0]]
        >>> counts = metrics.absorption_counts(latents, coefficients, pairs=[(0, 1)], latent_of_feature=[0, 1])
        >>> metrics.absorption_from(metrics.add(counts, counts)).mean
        1.0
    """
    xp = _arrays.namespace(latents, coefficients)
    a = _arrays.matrix(xp, "latents", latents, "(batch, d_sae)")
    c = _arrays.matrix(xp, "coefficients", coefficients, "(batch, n_features)")
    _arrays.same_length("batch", 0, latents=a, coefficients=c)
    of = _arrays.indices(xp, "latent_of_feature", latent_of_feature, c.shape[1], a.shape[1])
    family = np.asarray(pairs)
    whole = family.ndim == 2 and family.shape[1] == 2 and np.issubdtype(family.dtype, np.integer)
    if not whole or family.min(initial=0) < 0 or family.max(initial=0) >= c.shape[1]:
        raise ConfigError(f"pairs must be rows (parent, child) of features below {c.shape[1]}; got {pairs!r}")
    parent, child = c[:, family[:, 0]] != 0, c[:, family[:, 1]] != 0
    its_latent = of[family[:, 0]]
    silent = (a[:, xp.maximum(its_latent, 0)] == 0) | (its_latent < 0)[None]
    both, alone = parent & child, parent & ~child
    return AbsorptionCounts(both.sum(0), (both & silent).sum(0), alone.sum(0), (alone & silent).sum(0))


def absorption_from(counts: AbsorptionCounts) -> Absorption:
    """`absorption_rate` of a stream.

    >>> from superposition import metrics
    >>> latents, coefficients = [[1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]
    >>> counts = metrics.absorption_counts(latents, coefficients, pairs=[(0, 1)], latent_of_feature=[0, 1])
    >>> metrics.absorption_from(counts).mean
    0.0
    """
    both, silent_both, alone, silent_alone = (np.asarray(v, np.float64) for v in counts)
    defined = (both > 0) & (alone > 0)
    # Undefined is NaN here, not 0: no absorption is the best score, and a missing one must not pass for it.
    rate = np.where(
        defined, _arrays.ratio(np, silent_both, both) - _arrays.ratio(np, silent_alone, alone), np.nan
    )
    return Absorption(rate, float(rate[defined].mean()) if defined.any() else float("nan"))


def absorption_rate(latents: Any, coefficients: Any, W_dec: Any, dictionary: Any, pairs: Any) -> Absorption:
    r"""How much more often a parent's latent is silent when the child is active.

    $$P(a_{j(p)} = 0 \mid p, c) - P(a_{j(p)} = 0 \mid p, \neg c)$$

    with j(p) the one-to-one partner of the parent. The toy form of absorption for known features; SAEBench's uses
    probes. Arguments as for `absorption_counts` and `match`.

    >>> import numpy as np
    >>> from superposition import metrics
    >>> latents = np.array([[1.0, 0.0], [0.0, 1.0]])  # the parent's latent does not fire where the child is active
    >>> coefficients = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> metrics.absorption_rate(latents, coefficients, np.eye(2), np.eye(2), [(0, 1)]).mean
    1.0
    """
    return absorption_from(
        absorption_counts(latents, coefficients, pairs, match(W_dec, dictionary).latent_of_feature)
    )


def hedging(W_dec: Any, dictionary: Any, related: Any) -> Hedging:
    r"""How much more of a decoder row lies along correlated features than along as many uncorrelated ones.

    $$h_j = \frac{\|P_{C} r_j\|}{\|d_j\|} - \operatorname{mean}_{U} \frac{\|P_{U} r_j\|}{\|d_j\|}, \qquad
    r_j = d_j - (d_j \cdot \hat g)\,\hat g$$

    g is the one-to-one partner of latent j, C the span of the features related to g, U the spans of groups of
    unrelated ones of the same size (a larger span catches more of anything, so sizes must agree; at most 16
    groups, in order, and one smaller group if there are too few). Takes the direction along g out first, because
    features in superposition overlap. Between -1 and 1; 0 for a clean latent.

    Args:
        W_dec: (d_sae, d_in).
        dictionary: (n_features, d_in).
        related: (n_features, n_features) boolean; e.g. `abs(correlations(...)) > 0.1`. The diagonal is ignored.

    Raises:
        ConfigError: Shapes disagree, an array is empty or not finite.

    Example:
        >>> import numpy as np
        >>> from superposition import metrics
        >>> related = np.array([[False, True, False], [True, False, False], [False, False, False]])
        >>> metrics.hedging([[0.8, 0.6, 0.0]], np.eye(3), related).hedging.round(2).tolist()
        [0.6]
        >>> metrics.hedging([[1.0, 0.0, 0.0]], np.eye(3), related).hedging.tolist()
        [0.0]
    """
    rows = _arrays.matrix(np, "W_dec", W_dec, "(d_sae, d_in)")
    true = _arrays.matrix(np, "dictionary", dictionary, "(n_features, d_in)")
    kin = np.asarray(related)
    if kin.shape != (len(true), len(true)) or kin.dtype != bool:
        raise ConfigError(
            f"related must be boolean of shape {(len(true), len(true))}; got {kin.dtype} of shape {kin.shape}"
        )
    partner = match(rows, true).feature_of_latent
    parts = np.full((2, len(rows)), np.nan)
    for j, g in enumerate(partner):
        size, others = np.linalg.norm(rows[j]), np.arange(len(true)) != g
        near, far = np.flatnonzero(kin[g] & others), np.flatnonzero(~kin[g] & others)
        if g < 0 or size == 0 or len(near) == 0:
            continue  # no feature, no direction, or nothing to hedge with
        unit = true[g] / (np.linalg.norm(true[g]) or 1.0)
        rest = (rows[j] - (rows[j] @ unit) * unit) / size
        n_groups = min(max(len(far) // len(near), 1), _GROUPS)
        groups = [far[i * len(near) : (i + 1) * len(near)] for i in range(n_groups)]
        parts[0, j] = _projection(rest[None], true[near])[0]
        parts[1, j] = np.mean([_projection(rest[None], true[group])[0] for group in groups])
    difference = parts[0] - parts[1]
    defined = ~np.isnan(difference)
    mean = float(difference[defined].mean()) if defined.any() else float("nan")
    return Hedging(difference, parts[0], parts[1], mean)


def _projection(vectors: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Norms of the projections of vectors (n, d) on the span of rows (k, d); 0 for an empty span."""
    if len(onto) == 0:
        return np.zeros(len(vectors))
    _, singular, basis = np.linalg.svd(onto, full_matrices=False)
    basis = basis[singular > 1e-10 * max(singular[0], np.finfo(float).tiny)]
    return np.linalg.norm(vectors @ basis.T, axis=1)


def hedging_degree(W_before: Any, W_after: Any) -> HedgingDegree:
    r"""How far old latents moved along new ones when an SAE was widened and trained on (arXiv 2505.11756).

    $$p = \frac{1}{n} \sum_{i \le n} \|P_N(\hat d'_i - \hat d_i)\|, \qquad h = \max\Big(0, \frac{p - p_0}{1 - p_0}\Big)$$

    with unit rows, N the span of the new rows, and p_0 the same for a random span of that many rows. This is the
    `hedging_rate` of the authors' released evaluation code, not checked against the paper's text; their p_0 is the
    mean of 50 random draws, here it is their expectation, in closed form. It grows with the number of new rows:
    compare only equal ones.

    Args:
        W_before: (n, d_in), decoder of the narrow SAE.
        W_after: (n + k, d_in), the same latents in the same order, then k >= 1 new ones.

    Raises:
        ConfigError: No new rows, another d_in, an empty array or one that is not finite.

    Example:
        >>> from superposition import metrics
        >>> before = [[1.0, 1.0, 0.0]]
        >>> metrics.hedging_degree(before, [*before, [0.0, 0.0, 1.0]]).projection  # the old latent stayed where it was
        0.0
        >>> metrics.hedging_degree(before, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).projection > 0.7  # it turned away
        True
    """
    before = _arrays.matrix(np, "W_before", W_before, "(d_sae, d_in)")
    after = _arrays.matrix(np, "W_after", W_after, "(d_sae + new, d_in)")
    _arrays.same_length("d_in", 1, W_before=before, W_after=after)
    n, (width, d_in) = len(before), after.shape
    if width <= n:
        raise ConfigError(
            f"W_after must add rows to the {n} of W_before; got {width}: train on with new latents"
        )
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (before, after)]
    before, after = (
        _arrays.ratio(np, rows, length) for rows, length in zip((before, after), lengths, strict=True)
    )
    change = after[:n] - before
    projection = float(_projection(change, after[n:]).mean())
    chance = float(np.linalg.norm(change, axis=1).mean()) * _random_share(width - n, d_in)
    degree = max(0.0, (projection - chance) / (1.0 - chance)) if chance < 1 else 0.0
    return HedgingDegree(projection, chance, degree)


def _random_share(k: int, d: int) -> float:
    """E ||P u|| for a unit u in d dimensions and a random k-dimensional span: ||P u||^2 is Beta(k/2, (d-k)/2)."""
    from scipy.special import gammaln

    if k >= d:
        return 1.0
    return float(np.exp(gammaln((k + 1) / 2) - gammaln(k / 2) + gammaln(d / 2) - gammaln((d + 1) / 2)))
