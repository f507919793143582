"""Did the SAE find the true features? Decoder rows against the dictionary of true directions.

All take W_dec (d_sae, d_in) and dictionary (n_features, d_in). A row of norm 0 has cosine 0 with everything.
Rows need not be unit. MMCS and `found` keep the sign of the cosine: a decoder row that points the other way adds
the opposite of the feature. MCC and the matchings take |cos|, as their authors do. Scores are computed in float64 on
the host, so that an SAE has the same ones as JAX arrays, as NumPy arrays and from disk (in JAX under a trace).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from superposition._internal import validate
from superposition.metrics import _arrays

FOUND = 0.95


class Match(NamedTuple):
    """A one-to-one matching of min(d_sae, n_features) latents and features; -1 where there is no partner.

    >>> from superposition import metrics
    >>> pairs = metrics.match([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> pairs.feature_of_latent.tolist(), pairs.latent_of_feature.tolist()
    ([1, 0, -1], [1, 0])
    """

    feature_of_latent: np.ndarray  # (d_sae,)
    latent_of_feature: np.ndarray  # (n_features,)
    cosines: np.ndarray  # (d_sae,), signed; 0 for a latent without a partner


def cosines(W_dec: Any, dictionary: Any) -> Any:
    """Cosine of every decoder row with every true direction, (d_sae, n_features), of the kind it was given.

    Raises:
        ConfigError: Not two matrices over one d_in, an empty one, or (outside jit) NaN or infinity.

    Example:
        >>> from superposition import metrics
        >>> metrics.cosines([[0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).tolist()
        [[0.0, 1.0, -1.0]]
    """
    xp = _arrays.namespace(W_dec, dictionary)
    a = _arrays.matrix(xp, "W_dec", W_dec, "(d_sae, d_in)")
    b = _arrays.matrix(xp, "dictionary", dictionary, "(n_features, d_in)")
    _arrays.same_length("d_in", 1, W_dec=a, dictionary=b)
    a, b = (_unit(xp, rows) for rows in (a, b))
    # Accelerators multiply in reduced precision unless told otherwise.
    product = a @ b.T if xp is np else jnp.matmul(a, b.T, precision="highest")
    return xp.clip(product, -1.0, 1.0)


def _unit(xp: Any, rows: Any) -> Any:
    """Rows divided by their norms, after their largest entry so that squares neither overflow nor vanish."""
    largest = xp.abs(rows).max(-1, keepdims=True)
    rows = _arrays.ratio(xp, rows, largest)
    return _arrays.ratio(xp, rows, xp.sqrt((rows * rows).sum(-1, keepdims=True)))


def mmcs(a: Any, b: Any) -> Any:
    r"""Mean over the rows of b of the largest cosine with a row of a (Sharkey et al. 2022).

    $$\mathrm{MMCS}(a, b) = \frac{1}{|b|} \sum_{g \in b} \max_{d \in a} \cos(g, d)$$

    `mmcs(W_dec, dictionary)` says how many features were found, `mmcs(dictionary, W_dec)` how many latents are
    features. One row may serve many, so a wider a never scores lower: report both directions.

    >>> from superposition import metrics
    >>> W_dec, dictionary = [[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> metrics.mmcs(W_dec, dictionary), metrics.mmcs(dictionary, W_dec)  # one of two features, and no false latent
    (0.5, 1.0)
    """
    return _scalar(_wide_cosines(a, b).max(0).mean())


def found(W_dec: Any, dictionary: Any, threshold: float = FOUND) -> Any:
    """Which true features have a decoder row of cosine >= threshold, (n_features,) boolean.

    >>> from superposition import metrics
    >>> metrics.found([[1.0, 0.1]], [[1.0, 0.0], [0.0, 1.0]]).tolist()
    [True, False]
    """
    validate.in_range("threshold", threshold, -1.0, 1.0)
    return _wide_cosines(W_dec, dictionary).max(0) >= threshold


def nearest(W_dec: Any, dictionary: Any) -> Any:
    """True feature of largest |cos| for each latent, (d_sae,): many latents may share one.

    A decoder row of norm 0 gets feature 0, the first of equals, as in SAELens.

    >>> from superposition import metrics
    >>> metrics.nearest([[0.1, 1.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]]).tolist()
    [1, 1]
    """
    return abs(_wide_cosines(W_dec, dictionary)).argmax(1)


def uniqueness(W_dec: Any, dictionary: Any) -> float:
    """Distinct features among `nearest`, over d_sae: 1 when no two latents track one feature (2602.14687).

    >>> from superposition import metrics
    >>> metrics.uniqueness([[0.1, 1.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]])
    0.5
    """
    best = np.asarray(nearest(W_dec, dictionary))
    return len(np.unique(best)) / len(best)


def match(W_dec: Any, dictionary: Any) -> Match:
    """The one-to-one matching that maximises the sum of |cos| (Hungarian algorithm), on the host.

    >>> from superposition import metrics
    >>> pairs = metrics.match([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> pairs.feature_of_latent.tolist(), pairs.cosines.tolist()
    ([1, 0, -1], [1.0, 1.0, 0.0])
    """
    from scipy.optimize import linear_sum_assignment  # a third of a second that training an SAE does not need

    c = np.asarray(_wide_cosines(W_dec, dictionary), np.float64)
    latents, features = linear_sum_assignment(1.0 - np.abs(c))
    feature_of_latent = np.full(c.shape[0], -1)
    latent_of_feature = np.full(c.shape[1], -1)
    matched = np.zeros(c.shape[0])
    feature_of_latent[latents], latent_of_feature[features] = features, latents
    matched[latents] = c[latents, features]
    return Match(feature_of_latent, latent_of_feature, matched)


def mcc(W_dec: Any, dictionary: Any) -> float:
    r"""Mean correlation coefficient: mean |cos| over the min(d_sae, n_features) pairs of `match`.

    $$\mathrm{MCC} = \frac{1}{\min(n, m)} \max_\pi \sum_i |\cos(d_i, g_{\pi(i)})|$$

    SAELens's `mean_correlation_coefficient` (O'Neill et al., arXiv 2505.20254; 2602.14687). |cos| hides a row that
    points the wrong way: see `mmcs`.

    >>> from superposition import metrics
    >>> metrics.mcc([[0.0, 1.0], [-1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])  # a row that points the other way counts
    1.0
    """
    pairs = match(W_dec, dictionary)
    return float(np.abs(pairs.cosines[pairs.feature_of_latent >= 0]).mean())


def recovery_scores(W_dec: Any, dictionary: Any) -> dict[str, float]:
    """Mmcs (features found), mmcs_of_latents (latents that are features), mcc, uniqueness, found (a fraction).

    >>> from superposition import metrics
    >>> scores = metrics.recovery_scores([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> scores["mmcs"], scores["mmcs_of_latents"], scores["found"]
    (0.5, 1.0, 0.5)
    """
    return {
        "mmcs": float(mmcs(W_dec, dictionary)),
        "mmcs_of_latents": float(mmcs(dictionary, W_dec)),
        "mcc": mcc(W_dec, dictionary),
        "uniqueness": uniqueness(W_dec, dictionary),
        "found": float(np.mean(found(W_dec, dictionary))),
    }


def _wide_cosines(a: Any, b: Any) -> Any:
    """Cosines in float64, where the matrices can be looked at."""
    return cosines(*_arrays.on_host(a, b))


def _scalar(value: Any) -> Any:
    return float(value) if isinstance(value, np.generic) else value
