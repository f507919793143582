"""Are the same features found again: by other seeds, widths, architectures, models?

In one space decoder rows are compared; across spaces, activations on the same examples. Every such number needs
its value by chance beside it: `against_chance` with `rotated` (decoders) or `shuffled` (activations).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Num

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics import _arrays
from superposition.metrics.moments import Comoments, add, correlation, cross_moments
from superposition.metrics.recovery import cosines, mmcs
from superposition.typing import PRNGKey


class Shared(NamedTuple):
    """MMCS both ways, and the fraction of latents with a partner above each threshold, both ways.

    >>> from superposition import metrics
    >>> common = metrics.shared([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]])
    >>> common.a_in_b.tolist(), common.b_in_a.tolist()
    ([0.5, 0.5], [1.0, 1.0])
    """

    mmcs_ab: float  # mean over b of the best in a
    mmcs_ba: float
    thresholds: np.ndarray
    a_in_b: np.ndarray  # (n_thresholds,) fraction of the latents of a that b has too
    b_in_a: np.ndarray


class Partners(NamedTuple):
    """For each latent of a, the latent of b that correlates most with it, -1 and 0 where nothing varies.

    >>> from superposition import metrics
    >>> of_a, of_b = metrics.partners(metrics.correlation_sums([[0.0], [1.0]], [[5.0, 0.0], [5.0, 2.0]]))
    >>> of_a.partner.tolist(), of_b.partner.tolist()
    ([1], [-1, 0])
    """

    correlation: np.ndarray  # (d_a,)
    partner: np.ndarray  # (d_a,)


class Consensus(NamedTuple):
    """Which latents of each SAE every other one has, and what fraction of its latents they are.

    >>> from superposition import metrics
    >>> metrics.consensus([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]]]).fractions.tolist()
    [0.5, 1.0]
    """

    everywhere: tuple[np.ndarray, ...]  # per SAE (d_sae,) boolean
    fractions: np.ndarray  # (n_saes,)


class Chance(NamedTuple):
    """A measured value, and mean and standard deviation of the same measure on scrambled data.

    >>> import jax
    >>> import numpy as np
    >>> from superposition import metrics
    >>> result = metrics.against_chance(jax.random.key(0), lambda W: metrics.mmcs(W, np.eye(8)), np.eye(8))
    >>> result.observed, result.mean < 0.8
    (1.0, True)
    """

    observed: float
    mean: float
    std: float


def shared(W_a: Any, W_b: Any, thresholds: Sequence[float] = (0.9, 0.95)) -> Shared:
    """How much of two dictionaries over one space is common: decoders (d_a, d_in), (d_b, d_in).

    `mmcs(W_a, W_b)`, `mmcs(W_b, W_a)`, and the fractions with a cosine >= each threshold. ConfigError as `cosines`.

    >>> from superposition import metrics
    >>> metrics.shared([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]]).mmcs_ab
    1.0
    """
    validate.in_range("thresholds", thresholds, -1.0, 1.0, many=True)
    c, levels = cosines(*_arrays.on_host(W_a, W_b)), np.asarray(thresholds, np.float64)
    of_a, of_b = ((c.max(axis)[:, None] >= levels).mean(0) for axis in (1, 0))
    return Shared(float(mmcs(W_a, W_b)), float(mmcs(W_b, W_a)), levels, of_a, of_b)


def correlation_sums(latents_a: Any, latents_b: Any) -> Comoments:
    """Sums of one batch for `correlations`: (batch, d_a), (batch, d_b); join with `add`. Can be jitted.

    >>> from superposition import metrics
    >>> metrics.correlations(metrics.correlation_sums([[0.0], [1.0]], [[5.0, 0.0], [5.0, 2.0]])).round(6).tolist()
    [[0.0, 1.0]]
    """
    xp = _arrays.namespace(latents_a, latents_b)
    a = _arrays.matrix(xp, "latents_a", latents_a, "(batch, d_a)")
    b = _arrays.matrix(xp, "latents_b", latents_b, "(batch, d_b)")
    _arrays.same_length("batch", 0, latents_a=a, latents_b=b)
    return cross_moments(a, b)


def correlations(sums: Comoments) -> Float[np.ndarray, "d_a d_b"]:
    """Pearson correlation of every latent of a with every one of b, (d_a, d_b); 0 where one never varies.

    >>> from superposition import metrics
    >>> metrics.correlations(metrics.correlation_sums([[0.0], [1.0]], [[3.0], [1.0]])).round(6).tolist()
    [[-1.0]]
    """
    return correlation(sums)


def partners(sums: Comoments) -> tuple[Partners, Partners]:
    """The most correlated latent of b for each of a, and of a for each of b, from the sums of `correlation_sums`.

    >>> from superposition import metrics
    >>> of_a, of_b = metrics.partners(metrics.correlation_sums([[0.0], [1.0]], [[5.0, 0.0], [5.0, 2.0]]))
    >>> of_a.partner.tolist(), of_b.partner.tolist()  # the first latent of b never varies
    ([1], [-1, 0])
    """
    c = correlations(sums)
    return _partners(c), _partners(c.T)


def _partners(c: np.ndarray) -> Partners:
    best = c.max(1)  # 0 where nothing varies
    return Partners(best, np.where(best != 0, c.argmax(1), -1))


def best_partners(batches: Iterable[tuple[Any, Any]], *, block: int = 2048) -> Partners:
    """The most correlated latent of b for each of a, without the whole (d_a, d_b) matrix (Bricken et al. 2023).

    Args:
        batches: Pairs (batch, d_a), (batch, d_b) of activations on the same examples, `[(a, b)]` for one. Read
            once per block of a, so a generator serves only if d_a <= block.
        block: Latents of a at a time; memory is block times d_b.

    Raises:
        ConfigError: No batches, a generator that would have to be read twice, shapes that disagree.

    Example:
        >>> import numpy as np
        >>> from superposition import metrics
        >>> a, b = np.array([[0.0], [1.0]]), np.array([[5.0, 0.0], [5.0, 2.0]])
        >>> metrics.best_partners([(a, b)]).partner.tolist()
        [1]
    """
    validate.integer("block", block, 1)
    found: list[Partners] = []
    start, d_a = 0, 1
    while start < d_a:
        total: Comoments | None = None
        for a, b in batches:
            if np.ndim(a) != 2:
                raise ConfigError(f"batches must hold pairs of matrices (batch, d_sae); got {np.shape(a)}")
            d_a = np.shape(a)[1]
            if d_a > block and iter(batches) is batches:
                raise ConfigError(
                    f"batches must be readable once per block of {block} of {d_a} latents; got a generator: give a "
                    "list, or a block that holds all latents"
                )
            sums = correlation_sums(a[:, start : start + block], b)
            total = sums if total is None else add(total, sums)
        if total is None:
            raise ConfigError("batches must hold at least one pair of activations; got none")
        found.append(_partners(correlations(total)))
        start += block
    return Partners(*(np.concatenate(part) for part in zip(*found, strict=True)))


def consensus(decoders: Sequence[Any], threshold: float = 0.9) -> Consensus:
    """Latents that every other SAE has too, by cosine >= threshold; decoders (d_sae_i, d_in), two or more.

    >>> from superposition import metrics
    >>> a, b = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]]
    >>> [mask.tolist() for mask in metrics.consensus([a, b]).everywhere]
    [[True, False], [True]]
    """
    validate.in_range("threshold", threshold, -1.0, 1.0)
    n = _several("decoders", decoders)
    return _agree(n, lambda i, j: cosines(*_arrays.on_host(decoders[i], decoders[j])).max(1) >= threshold)


def consensus_by_activation(
    batches: Sequence[Sequence[Any]], threshold: float = 0.9, *, block: int = 2048
) -> Consensus:
    """Latents that every other SAE has too, by correlation >= threshold; spaces and models may differ.

    Args:
        batches: Each holds the activations (batch, d_sae_i) of all SAEs on the same examples; `[all]` for one.
        threshold: Least Pearson correlation.
        block: As for `best_partners`.

    Raises:
        ConfigError: Fewer than two SAEs, or as for `best_partners`.

    Example:
        >>> import numpy as np
        >>> from superposition import metrics
        >>> a, b = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.0], [3.0]])
        >>> [mask.tolist() for mask in metrics.consensus_by_activation([[a, b]]).everywhere]
        [[True, False], [True]]
    """
    validate.in_range("threshold", threshold, -1.0, 1.0)
    n = _several("each batch", batches[0] if len(batches) else ())
    return _agree(
        n,
        lambda i, j: best_partners([(b[i], b[j]) for b in batches], block=block).correlation >= threshold,
    )


def _several(name: str, saes: Sequence[Any]) -> int:
    validate.instance(name, saes, (Sequence, np.ndarray))
    if len(saes) < 2:
        raise ConfigError(f"{name} must hold two SAEs or more; got {len(saes)}")
    return len(saes)


def _agree(n: int, has: Callable[[int, int], np.ndarray]) -> Consensus:
    everywhere = tuple(np.logical_and.reduce([has(i, j) for j in range(n) if j != i]) for i in range(n))
    return Consensus(everywhere, np.array([mask.mean() for mask in everywhere]))


def rotated(key: PRNGKey, W_dec: Any) -> Float[np.ndarray, "d_sae d_in"]:
    """W_dec (d_sae, d_in) turned by one uniformly random rotation or reflection: same geometry, no meaning.

    >>> import jax
    >>> import numpy as np
    >>> from superposition import metrics
    >>> turned = metrics.rotated(jax.random.key(0), np.eye(3))
    >>> np.allclose(turned @ turned.T, np.eye(3))
    True
    """
    rows = _arrays.matrix(np, "W_dec", W_dec, "(d_sae, d_in)")
    validate.key("key", key)
    gaussian = np.asarray(jax.random.normal(key, (rows.shape[1],) * 2), np.float64)
    q, r = np.linalg.qr(gaussian)
    signs = np.where(np.diagonal(r) < 0, -1.0, 1.0)  # without them the distribution is not uniform
    return rows @ (q * signs)


def shuffled(key: PRNGKey, latents: Any) -> Num[np.ndarray, "batch d_sae"]:
    """Latents (batch, d_sae) with the examples in random order: same statistics, other occasions.

    >>> import jax
    >>> import numpy as np
    >>> from superposition import metrics
    >>> sorted(metrics.shuffled(jax.random.key(0), np.arange(6.0)[:, None]).ravel().tolist())
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    a = _arrays.matrix(np, "latents", latents, "(batch, d_sae)")
    validate.key("key", key)
    return a[np.asarray(jax.random.permutation(key, len(a)))]


def against_chance(
    key: Any,
    measure: Callable[[Any], Any],
    data: Any,
    scramble: Callable[[Any, Any], Any] = rotated,
    *,
    n_draws: int = 10,
) -> Chance:
    """measure(data) beside the same measure of scrambled data.

    Args:
        key: Source of the scrambles, one fold per draw.
        measure: A number from data, e.g. `lambda W: mmcs(W, W_b)`.
        data: What is measured and scrambled.
        scramble: `rotated`, `shuffled`, or any function of a key and the data.
        n_draws: How many scrambles, at least 2.

    Raises:
        ConfigError: Too few draws, or as the measure does.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from superposition import metrics
        >>> result = metrics.against_chance(jax.random.key(0), lambda W: metrics.mmcs(W, np.eye(8)), np.eye(8))
        >>> result.observed, result.mean < 0.8
        (1.0, True)
    """
    validate.integer("n_draws", n_draws, 2)
    observed = float(measure(data))
    draws = [float(measure(scramble(jax.random.fold_in(key, i), data))) for i in range(n_draws)]
    return Chance(observed, float(np.mean(draws)), float(np.std(draws, ddof=1)))
