"""How well and how sparsely an SAE reconstructs its input: one definition for toys and language models."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics.streaming import Sums, accumulate, require

DENSE = 0.1  # a latent that fires on more than this fraction of examples is dense


class Reconstruction(NamedTuple):
    """Reconstruction and sparsity of one stream; see the functions of the same names.

    >>> from superposition import metrics
    >>> sums = metrics.accumulate([[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 0.5]], latents=[[1.0, 0.0], [0.0, 1.0]])
    >>> result = metrics.reconstruction_from(sums)
    >>> result.l0, result.fvu, result.relative_norm
    (1.0, 0.5, 0.5)
    """

    l0: float
    fvu: float
    explained_variance: float
    cosine: float
    relative_norm: float
    dead_fraction: float
    dense_fraction: float
    densities: np.ndarray


class DensityHistogram(NamedTuple):
    """Latents per bin of log10 density, the bin edges, and how many latents never fired.

    >>> from superposition import metrics
    >>> metrics.density_histogram([0.0, 0.001, 0.5], bins=2, low=-4.0)
    DensityHistogram(counts=array([1, 1]), edges=array([-4., -2.,  0.]), dead=1)
    """

    counts: np.ndarray
    edges: np.ndarray
    dead: int


def reconstruction_from(sums: Sums, *, dense: float = DENSE) -> Reconstruction:
    """Every reconstruction metric of a stream; raises ConfigError unless x, x_hat and latents were summed.

    >>> from superposition import metrics
    >>> x = [[1.0, 0.0], [0.0, 1.0]]
    >>> metrics.reconstruction_from(metrics.accumulate(x, x, latents=[[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])).dead_fraction
    0.3333333333333333
    """
    unexplained, rates = _fvu(sums), _densities(sums)
    return Reconstruction(
        l0=float(rates.sum()),
        fvu=unexplained,
        explained_variance=1.0 - unexplained,
        cosine=_over_nonzero(sums, "cosine"),
        relative_norm=_over_nonzero(sums, "norm_ratio"),
        dead_fraction=float((rates == 0).mean()),
        dense_fraction=float((rates > dense).mean()),
        densities=rates,
    )


def _fvu(sums: Sums) -> float:
    require(sums, "x", from_="x and x_hat")
    error, total = float(sums.squared_error), float(np.asarray(sums.x.m2, np.float64).sum())  # type: ignore[union-attr]
    if total > 0:
        return error / total
    return 0.0 if error == 0 else float("inf")  # constant input has no variance to explain


def _over_nonzero(sums: Sums, part: str) -> float:
    require(sums, part, from_="x and x_hat")
    return float(getattr(sums, part)) / max(float(sums.nonzero), 1.0)


def _densities(sums: Sums) -> np.ndarray:
    require(sums, "fired", from_="latents")
    return np.asarray(sums.fired, np.float64) / float(sums.examples)


def l0(latents: Any) -> float:
    """Mean number of latents that fire on an example: the sum of `densities`. latents (batch, d_sae).

    >>> from superposition import metrics
    >>> metrics.l0([[1.0, 0.0, 0.0], [2.0, 0.0, 0.5]])
    1.5
    """
    return float(densities(latents).sum())


def fvu(x: Any, x_hat: Any) -> float:
    r"""Fraction of variance unexplained.

    $$\mathrm{FVU} = \frac{\sum_b \|x_b - \hat x_b\|^2}{\sum_b \|x_b - \bar x\|^2}$$

    1 for predicting the mean of the batch, and more for doing worse. x and x_hat (batch, d_in). If x never varies:
    0 for an exact reconstruction, else infinity. ConfigError as for `accumulate`.

    >>> from superposition import metrics
    >>> x = [[1.0, 0.0], [0.0, 1.0]]
    >>> metrics.fvu(x, x), metrics.fvu(x, [[0.5, 0.5], [0.5, 0.5]])  # exact, and the mean of the batch
    (0.0, 1.0)
    """
    return _fvu(accumulate(x, x_hat, None))


def explained_variance(x: Any, x_hat: Any) -> float:
    """1 - `fvu`(x, x_hat): the R^2 over all dimensions together, as in SAELens's synthetic evaluation.

    >>> from superposition import metrics
    >>> metrics.explained_variance([[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]])
    0.0
    """
    return 1.0 - fvu(x, x_hat)


def cosine(x: Any, x_hat: Any) -> float:
    """Mean cos(x, x_hat) over the examples with x != 0; an x_hat of 0 counts as 0. Both (batch, d_in).

    >>> from superposition import metrics
    >>> metrics.cosine([[1.0, 0.0], [0.0, 2.0]], [[0.1, 0.0], [0.0, 0.0]])
    0.5
    """
    return _over_nonzero(accumulate(x, x_hat, None), "cosine")


def relative_norm(x: Any, x_hat: Any) -> float:
    """Mean ||x_hat|| / ||x|| over the examples with x != 0: below 1 is shrinkage. Both (batch, d_in).

    >>> from superposition import metrics
    >>> metrics.relative_norm([[1.0, 0.0], [0.0, 2.0]], [[0.5, 0.0], [0.0, 1.0]])
    0.5
    """
    return _over_nonzero(accumulate(x, x_hat, None), "norm_ratio")


def densities(latents: Any) -> Float[np.ndarray, "d_sae"]:
    """Fraction of examples on which each latent fires (is not 0), (d_sae,). latents (batch, d_sae).

    >>> from superposition import metrics
    >>> metrics.densities([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0], [1.0, 3.0]]).tolist()
    [0.75, 0.25]
    """
    return _densities(accumulate(None, None, latents))


def dead_fraction(latents: Any) -> float:
    """Fraction of latents that fire on no example. latents (batch, d_sae).

    >>> from superposition import metrics
    >>> metrics.dead_fraction([[1.0, 0.0], [2.0, 0.0]])
    0.5
    """
    return float((densities(latents) == 0).mean())


def dense_fraction(latents: Any, threshold: float = DENSE) -> float:
    """Fraction of latents that fire on more than `threshold` of the examples. latents (batch, d_sae).

    >>> from superposition import metrics
    >>> metrics.dense_fraction([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]], threshold=0.5)
    0.5
    """
    return float((densities(latents) > validate.number("threshold", threshold)).mean())


def density_histogram(densities: Any, *, bins: int = 28, low: float = -7.0) -> DensityHistogram:
    """Latents per bin of log10 density from `low` to 0, in `bins` equal bins (Bricken et al. 2023).

    Args:
        densities: Firing rates in [0, 1], (d_sae,); from `densities` or `Reconstruction.densities`.
        bins: Number of bins, at least 1.
        low: log10 of the lowest edge, below 0; rarer latents fall in the first bin. The dead have no logarithm and
            are counted apart, so that counts and dead together are d_sae.

    Raises:
        ConfigError: A density outside [0, 1], or no bin.

    Example:
        >>> from superposition import metrics
        >>> histogram = metrics.density_histogram([0.0, 0.001, 0.5], bins=2, low=-4.0)
        >>> histogram.counts.tolist(), histogram.dead
        ([1, 1], 1)
    """
    validate.between("densities", densities, np.inf, -np.inf)
    bins, low = validate.integer("bins", bins, 1, 2**24), validate.number("low", low)
    rates = np.asarray(densities, np.float64)
    if rates.ndim != 1 or not ((rates >= 0) & (rates <= 1)).all():
        raise ConfigError(f"densities must be a list of rates in [0, 1]; got shape {rates.shape}, {rates!r}")
    if not low < 0:
        raise ConfigError(f"low must be < 0; got {low}")
    edges = np.linspace(low, 0.0, bins + 1)
    alive = rates[rates > 0]
    counts, _ = np.histogram(np.clip(np.log10(alive), low, 0.0), edges)
    return DensityHistogram(counts, edges, int(rates.size - alive.size))
