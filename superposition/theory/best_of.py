"""What training several models and keeping the best one buys: order statistics of the final losses."""

from typing import Any

import numpy as np
from scipy.special import gammaln
from scipy.stats import beta

from superposition._internal import validate
from superposition.errors import ConfigError


def expected_minimum(losses: Any, k: Any) -> np.ndarray:
    """Mean least loss of k different models out of those trained, losses (model,), for every k (...,).

    E = sum_i x_(i) C(s - i, k - 1) / C(s, k) over the s sorted losses, the unbiased estimate from them (the mean
    over all subsets of k). Raises ConfigError unless 1 <= k <= s.
    """
    validate.between("losses", losses, low=-np.inf)
    x = np.sort(np.asarray(losses, np.float64))
    shape, k = np.shape(k), np.ravel(k)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ConfigError(f"losses must be a non-empty list of finite numbers; got shape {x.shape}")
    if not np.issubdtype(k.dtype, np.integer) or k.size == 0 or k.min() < 1 or k.max() > len(x):
        raise ConfigError(f"k must be integers from 1 to the number of losses, {len(x)}; got {k.tolist()}")
    left = len(x) - 1 - np.arange(len(x))  # models worse than each
    with np.errstate(invalid="ignore"):
        log = _log_choose(left, k[:, None] - 1) - _log_choose(len(x), k[:, None])
    weights = np.where(left >= k[:, None] - 1, np.exp(log), 0.0)
    return np.asarray(weights @ x).reshape(shape)


def _log_choose(n: Any, k: Any) -> Any:
    return gammaln(np.maximum(n, 0) + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0) + 1.0)


def success(share: Any, k: Any) -> np.ndarray:
    """Chance that at least one of k models is good, each with chance `share`: 1 - (1 - share)^k. Raises ConfigError."""
    validate.between("share", share, 1.0)
    validate.between("k", k)
    return np.asarray(1 - (1 - np.asarray(share, np.float64)) ** np.asarray(k))


def models_needed(share: float, chance: float = 0.95) -> float:
    """Least k with `success(share, k)` >= chance; inf where no model is good. Raises ConfigError."""
    share = validate.number("share", share)
    validate.in_range("share", share, 0.0, 1.0)
    chance = _below_one("chance", chance)
    if share == 0:
        return float("inf")
    if share >= chance:
        return 1.0
    with np.errstate(over="ignore"):
        return float(np.ceil(np.log1p(-chance) / np.log1p(-share) - 1e-9))


def binomial_interval(hits: Any, trials: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Clopper and Pearson's exact interval of a share from `hits` of `trials`, low and high. Raises ConfigError."""
    validate.between("hits", hits)
    validate.between("trials", trials, low=1.0)
    try:
        hits, trials = np.broadcast_arrays(np.asarray(hits), np.asarray(trials))
    except ValueError as error:
        raise ConfigError(
            f"hits and trials must broadcast against each other; got shapes {np.shape(hits)} and {np.shape(trials)}"
        ) from error
    if (hits > trials).any() or (hits != np.round(hits)).any() or (trials != np.round(trials)).any():
        raise ConfigError("hits must lie between 0 and trials, and both be whole numbers")
    confidence = _below_one("confidence", confidence)
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.where(hits == 0, 0.0, beta.ppf(tail, hits, trials - hits + 1))
        high = np.where(hits == trials, 1.0, beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high


def _below_one(name: str, value: float) -> float:
    value = validate.number(name, value)
    if not 0 <= value < 1:
        raise ConfigError(f"{name} must lie in [0, 1); got {value:g}; nothing is certain, give less than 1")
    return value
