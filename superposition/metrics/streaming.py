"""One pass over the examples: sums from which every metric that averages over examples is finished.

`accumulate` sees one batch and returns `Sums`; `add` joins two; `reconstruction_from`, `classify_from` and
the like finish them. The functions that take whole arrays go through the same code, so there is one definition.
"""

from typing import Any, NamedTuple

from superposition.errors import ConfigError
from superposition.metrics import _arrays
from superposition.metrics.moments import Comoments, Moments, comoments, moments


class Sums(NamedTuple):
    """Sums over examples; a part whose arguments were not given is None.

    A latent or feature fires on an example when it is not 0. Per-latent parts have shape (d_sae,).

    >>> from superposition import metrics
    >>> sums = metrics.accumulate(None, None, latents=[[1.0, 0.0], [2.0, 0.0]])
    >>> sums.fired.tolist(), sums.x is None
    ([2, 0], True)
    """

    examples: Any
    x: Moments | None  # per dimension of x, (d_in,)
    squared_error: Any  # sum of ||x - x_hat||^2
    nonzero: Any  # examples with x != 0: only those have a direction and a norm to recover
    cosine: Any  # sum over them of cos(x, x_hat), 0 where x_hat = 0
    norm_ratio: Any  # sum over them of ||x_hat|| / ||x||
    fired: Any  # examples on which each latent fires
    true_fired: Any  # examples on which each true feature fires, (n_features,)
    matched: Any  # examples on which a latent has a matched feature: all, or none
    matched_fired: Any  # examples on which each latent's matched feature fires
    hits: Any  # examples on which both fire
    pairs: Comoments | None  # each latent with its matched coefficient
    firing: Comoments | None  # the same, over the examples on which both fire


def accumulate(x: Any, x_hat: Any, latents: Any, coefficients: Any = None, match: Any = None) -> Sums:
    """Sums of one batch; can be jitted.

    Args:
        x: Inputs (batch, d_in), or None together with x_hat.
        x_hat: Reconstructions (batch, d_in).
        latents: Activations (batch, d_sae), or None.
        coefficients: True features (batch, n_features).
        match: True feature of each latent, (d_sae,) integers, -1 for none: `nearest(W_dec, dictionary)`, or
            `match(W_dec, dictionary).feature_of_latent`.

    Returns:
        Sums of the kind of the input: NumPy in float64, JAX in its own precision, each batch centred on its own
        mean (see `moments`), so that a large mean costs no digits.

    Raises:
        ConfigError: Shapes disagree, an array is empty, or (outside jit) holds NaN or infinity.

    Example:
        >>> from superposition import metrics
        >>> batches = ([[1.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]])
        >>> one, other = (metrics.accumulate(x, x, latents=x) for x in batches)
        >>> metrics.reconstruction_from(metrics.add(one, other)).l0
        1.0
    """
    xp = _arrays.namespace(x, x_hat, latents, coefficients)
    if (x is None) != (x_hat is None):
        raise ConfigError(
            "x and x_hat are compared with each other; got only one of them: give both or neither"
        )
    if match is not None and (coefficients is None or latents is None):
        raise ConfigError(
            "match pairs latents with coefficients; got it without both: give both or leave it out"
        )
    given: dict[str, Any] = {}
    if x is not None:
        given["x"] = _arrays.matrix(xp, "x", x, "(batch, d_in)")
        given["x_hat"] = _arrays.matrix(xp, "x_hat", x_hat, "(batch, d_in)")
        _arrays.same_shape("x", given["x"], "x_hat", given["x_hat"])
    if latents is not None:
        given["latents"] = _arrays.matrix(xp, "latents", latents, "(batch, d_sae)")
    if coefficients is not None:
        given["coefficients"] = _arrays.matrix(xp, "coefficients", coefficients, "(batch, n_features)")
    if not given:
        raise ConfigError(
            "nothing to sum; got None for x, x_hat, latents and coefficients: give some of them"
        )
    _arrays.same_length("batch", 0, **given)
    examples = xp.asarray(next(iter(given.values())).shape[0])
    empty = Sums(examples, *[None] * (len(Sums._fields) - 1))
    return empty._replace(**_reconstruction(xp, **given), **_matched(xp, examples, match, **given))


def _reconstruction(
    xp: Any, x: Any = None, x_hat: Any = None, latents: Any = None, **_: Any
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if latents is not None:
        parts["fired"] = (latents != 0).sum(0)
    if x is not None:
        norm, norm_hat = (xp.sqrt((v * v).sum(-1)) for v in (x, x_hat))
        parts |= {
            "x": moments(x),
            "squared_error": ((x - x_hat) ** 2).sum(),
            "nonzero": (norm > 0).sum(),
            "cosine": _arrays.ratio(xp, (x * x_hat).sum(-1), norm * norm_hat).sum(),
            "norm_ratio": _arrays.ratio(xp, norm_hat, norm).sum(),
        }
    return parts


def _matched(
    xp: Any, examples: Any, match: Any, latents: Any = None, coefficients: Any = None, **_: Any
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if coefficients is not None:
        parts["true_fired"] = (coefficients != 0).sum(0)
    if match is None:
        return parts
    match = _arrays.indices(xp, "match", match, latents.shape[1], coefficients.shape[1])
    paired = match >= 0
    truth = xp.where(paired, coefficients[:, xp.maximum(match, 0)], 0.0)
    hits = (latents != 0) & (truth != 0)
    return parts | {
        "matched": xp.where(paired, examples, 0),
        "matched_fired": (truth != 0).sum(0),
        "hits": hits.sum(0),
        "pairs": comoments(latents, truth),
        "firing": comoments(latents, truth, hits),
    }


def require(sums: Sums, *parts: str, from_: str) -> None:
    """The named parts are there, or ConfigError naming the arguments of `accumulate` that bring them."""
    missing = [part for part in parts if getattr(sums, part) is None]
    if missing:
        raise ConfigError(
            f"these sums hold no {', '.join(missing)}: accumulate them with {from_}, which was not given"
        )
