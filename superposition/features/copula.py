"""Features that fire together: a low-rank Gaussian copula with exact marginals.

z = F e1 + s e2 with e1 ~ N(0, I_rank), e2 ~ N(0, I_n) and s_i^2 = 1 - ||F_i||^2, so each z_i is N(0, 1) and
corr(z_i, z_j) = F_i . F_j. Feature i fires when z_i exceeds its quantile t_i. Given e1 the features are
independent and i fires with probability Phi((F_i . e1 - t_i) / s_i), so the n Gaussians e2 need never be drawn:
one uniform a feature decides.
"""

from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.typing import PRNGKey

LARGEST = 1e15  # of a scale: its squares stay within float32
NODES = 64  # of the quadrature of P(i and j fire)
MOST_SHARED = 0.99  # ||F_i||^2 at most: a feature keeps some noise of its own


class Copula(NamedTuple):
    """Factor F (n_features, rank), own noise s (n_features,) and quantile t (n_features,); rank 0 is independence."""

    factor: Array
    noise: Array
    quantile: Array


def copula(key: PRNGKey, probabilities: np.ndarray | Array, rank: int, scale: float) -> Copula:
    """A random copula: F_ij ~ N(0, scale^2), rows with ||F_i||^2 > 0.99 shortened to that.

    probabilities (n_features,) in (0, 1]; typical corr(z_i, z_j) is scale^2 sqrt(rank). Raises ConfigError.
    Source: SynthSAEBench (arXiv 2602.14687), "Correlation".
    """
    check(rank, scale)
    validate.in_range("probabilities", probabilities, 0.0, 1.0, open_low=True, many=True)
    with jax.ensure_compile_time_eval():  # the factor is a constant, also where the probabilities are traced
        factor = float(scale) * np.asarray(
            jax.random.normal(key, (len(probabilities), rank), jnp.float32), float
        )
    shared = np.sum(factor**2, 1, keepdims=True)
    factor *= np.sqrt(MOST_SHARED / np.maximum(shared, MOST_SHARED))
    noise = np.sqrt(1 - np.sum(factor**2, 1))
    return Copula(*(jnp.asarray(a, jnp.float32) for a in (factor, noise, quantiles(probabilities))))


def check(rank: int, scale: float) -> None:
    """Raise ConfigError for a rank or a scale that no copula has."""
    validate.integer("correlation_rank", rank, 0)
    validate.in_range("correlation_scale", scale, 0.0, LARGEST)


def quantiles(probabilities: np.ndarray | Array) -> np.ndarray | Array:
    """Thresholds t with P(N(0, 1) > t) = p, (n,), float64 but for traced probabilities; -inf for p = 1."""
    if validate.is_traced(probabilities):
        return -jax.scipy.special.ndtri(probabilities)
    inverse = NormalDist().inv_cdf
    return np.array([-inverse(p) if p < 1 else -np.inf for p in np.asarray(probabilities, float)])


def joint(law: Copula) -> np.ndarray:
    r"""P(i and j fire), float64 (n_features, n_features), with P(i fires) on the diagonal.

    $$\Phi_2(-t_i, -t_j; \rho) = p_i p_j + \int_0^\rho \phi_2(t_i, t_j; r) \, dr, \quad \rho = F_i \cdot F_j$$

    by Gauss-Legendre quadrature in the angle arcsin r, in which the integrand is smooth.
    """
    factor, t = np.asarray(law.factor, float), np.asarray(law.quantile, float)
    cdf = NormalDist().cdf
    p = np.array([cdf(-v) for v in t])
    angle = np.arcsin(np.clip(factor @ factor.T, -1.0, 1.0))
    result = np.outer(p, p)
    always = ~np.isfinite(t)  # a feature that always fires is independent of all others
    angle = np.where(always[:, None] | always[None], 0.0, angle)
    t = np.where(always, 0.0, t)
    square, product = t[:, None] ** 2 + t[None] ** 2, t[:, None] * t[None]
    for node, weight in zip(*np.polynomial.legendre.leggauss(NODES), strict=True):
        r = np.sin(angle * (0.5 + 0.5 * node))
        density = np.exp(-(square - 2 * r * product) / (2 * (1 - r**2))) / (2 * np.pi)
        result += 0.5 * weight * angle * density
    np.fill_diagonal(result, p)
    return result


def given_common(law: Copula, common: Array) -> Array:
    """P(i fires | e1) = Phi((F_i . e1 - t_i) / s_i), (n_features, batch) from e1 (rank, batch)."""
    inverse = 1 / law.noise[:, None]
    return jax.scipy.special.ndtr((law.factor * inverse) @ common - law.quantile[:, None] * inverse)
