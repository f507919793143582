"""Feature splitting: which latents of a wide SAE descend from which of a narrow one (Bricken et al. 2023).

The tree is read from both ends: a dictionary that grows splits its latents (`split_features`), one that shrinks
lets several coalesce into one (`coalescing`); `lineage` follows it over more than two widths.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.metrics import _arrays
from superposition.metrics.recovery import cosines


class CoFiring(NamedTuple):
    """Additive counts of two SAEs on the same examples.

    >>> from superposition import metrics
    >>> counts = metrics.cofiring([[1.0], [1.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> counts.narrow.tolist(), counts.both.tolist()
    ([2], [[1.0, 1.0]])
    """

    examples: Any
    narrow: Any  # (d_narrow,) examples on which each latent fires
    wide: Any  # (d_wide,)
    both: Any  # (d_narrow, d_wide)


class Splitting(NamedTuple):
    """The family tree of a wide SAE over a narrow one.

    >>> from superposition import metrics
    >>> counts = metrics.cofiring([[1.0], [1.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> tree = metrics.split_features([[1.0, 0.0]], [[1.0, 0.5], [1.0, -0.5]], counts)
    >>> tree.parent.tolist(), tree.children.tolist(), tree.split_fraction
    ([0, 0], [2], 1.0)
    """

    parent: np.ndarray  # (d_wide,) narrow latent it descends from, -1 for none
    children: np.ndarray  # (d_narrow,) how many descend from each
    wide_alive: np.ndarray  # (d_wide,) boolean
    narrow_alive: np.ndarray  # (d_narrow,) boolean
    split_fraction: float  # of the narrow latents that fire, those with two children or more
    novel_fraction: float  # of the wide latents that fire, those without a parent


class Coverage(NamedTuple):
    """Additive counts of narrow latents and their children on the same examples.

    >>> from superposition import metrics
    >>> counts = metrics.coverage([[1.0], [1.0]], [[1.0, 0.0], [0.0, 0.0]], parent=[0, 0])
    >>> counts.narrow.tolist(), counts.covered.tolist()
    ([2], [1])
    """

    narrow: Any  # (d_narrow,) examples on which each narrow latent fires
    covered: Any  # (d_narrow,) those on which one of its children or more fires too


class Coalescing(NamedTuple):
    """What becomes of a wide SAE's latents in a narrow one.

    >>> from superposition import metrics
    >>> narrow, wide = [[1.0], [1.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> tree = metrics.split_features([[1.0, 0.0]], [[1.0, 0.5], [1.0, -0.5]], metrics.cofiring(narrow, wide))
    >>> merged = metrics.coalescing(tree, metrics.coverage(narrow, wide, tree.parent))
    >>> merged.merged.tolist(), merged.covered.tolist(), merged.lost_fraction
    ([2], [1.0], 0.0)
    """

    merged: np.ndarray  # (d_narrow,) wide latents that each narrow one stands for
    covered: np.ndarray  # (d_narrow,) share of its occasions on which one of those fires; 0 for a silent one
    merged_fraction: float  # of the narrow latents that fire, those that stand for two or more
    whole_fraction: float  # of those, the ones with covered >= level: no more than the sum of their parts
    lost_fraction: float  # of the wide latents that fire, those that no narrow one stands for


def cofiring(latents_narrow: Any, latents_wide: Any) -> CoFiring:
    """Counts of one batch, (batch, d_narrow) and (batch, d_wide); join batches with `add`. Can be jitted.

    >>> from superposition import metrics
    >>> metrics.cofiring([[1.0], [1.0]], [[1.0, 0.0], [0.0, 0.0]]).both.tolist()
    [[1.0, 0.0]]
    """
    xp = _arrays.namespace(latents_narrow, latents_wide)
    narrow = _arrays.matrix(xp, "latents_narrow", latents_narrow, "(batch, d_narrow)") != 0
    wide = _arrays.matrix(xp, "latents_wide", latents_wide, "(batch, d_wide)") != 0
    _arrays.same_length("batch", 0, latents_narrow=narrow, latents_wide=wide)
    # Counts in float32 are exact up to 2^24 examples in one batch; integer products are slow everywhere.
    both = narrow.T.astype(xp.float32) @ wide.astype(xp.float32)
    return CoFiring(xp.asarray(len(narrow)), narrow.sum(0), wide.sum(0), both)


def split_features(
    W_narrow: Any, W_wide: Any, counts: CoFiring, *, implication: float = 0.8, cosine: float = 0.5
) -> Splitting:
    r"""The parent of each wide latent j: among narrow i that j implies and resembles, the one it resembles most.

    $$P(i \mid j) = \frac{\#(i \wedge j)}{\#j} \ge \mathrm{implication}, \qquad \cos(d_i, d_j) \ge \mathrm{cosine}$$

    Implication alone would make a latent that fires everywhere the parent of all; resemblance alone would call two
    latents of one direction but separate occasions relatives. A child that keeps its parent's direction and adds
    an equal one of its own has cosine 0.71. A dead latent neither descends nor splits, and is in no fraction.

    Args:
        W_narrow: Decoder (d_narrow, d_in).
        W_wide: Decoder (d_wide, d_in).
        counts: `cofiring` of the two on the same examples.
        implication: Least P(i | j), in (0, 1].
        cosine: Least cosine, in [-1, 1].

    Raises:
        ConfigError: Shapes disagree, an array is empty or not finite, a threshold lies outside its range.

    Example:
        >>> from superposition import metrics
        >>> counts = metrics.cofiring([[1.0], [1.0]], [[1.0, 0.0], [0.0, 1.0]])  # two share the narrow one's examples
        >>> metrics.split_features([[1.0, 0.0]], [[1.0, 0.5], [1.0, -0.5]], counts).parent.tolist()
        [0, 0]
    """
    validate.in_range("implication", implication, 0.0, 1.0, open_low=True)
    validate.in_range("cosine", cosine, -1.0, 1.0)
    alike = cosines(*_arrays.on_host(W_narrow, W_wide))
    both = np.asarray(counts.both, np.float64)
    if both.shape != alike.shape:
        raise ConfigError(f"counts must be of {alike.shape} latents, narrow by wide; got {both.shape}")
    wide_alive, narrow_alive = np.asarray(counts.wide) > 0, np.asarray(counts.narrow) > 0
    implied = _arrays.ratio(np, both, np.broadcast_to(np.asarray(counts.wide, np.float64), both.shape))
    eligible = (implied >= implication) & (alike >= cosine)
    best = np.where(eligible, alike, -np.inf).argmax(0)
    parent = np.where(eligible.any(0), best, -1)
    children = np.bincount(parent[parent >= 0], minlength=len(alike))
    return Splitting(
        parent,
        children,
        wide_alive,
        narrow_alive,
        split_fraction=float((children[narrow_alive] >= 2).mean()) if narrow_alive.any() else 0.0,
        novel_fraction=float((parent[wide_alive] < 0).mean()) if wide_alive.any() else 0.0,
    )


def coverage(latents_narrow: Any, latents_wide: Any, parent: Any) -> Coverage:
    """Counts of one batch, (batch, d_narrow) and (batch, d_wide), with `Splitting.parent`; join batches with `add`.

    >>> from superposition import metrics
    >>> metrics.coverage([[1.0], [1.0]], [[1.0, 0.0], [0.0, 0.0]], parent=[0, 0]).covered.tolist()
    [1]
    """
    xp = _arrays.namespace(latents_narrow, latents_wide)
    narrow = _arrays.matrix(xp, "latents_narrow", latents_narrow, "(batch, d_narrow)") != 0
    wide = _arrays.matrix(xp, "latents_wide", latents_wide, "(batch, d_wide)") != 0
    _arrays.same_length("batch", 0, latents_narrow=narrow, latents_wide=wide)
    parent = _arrays.indices(xp, "parent", parent, wide.shape[1], narrow.shape[1])
    child_of = (parent[:, None] == xp.arange(narrow.shape[1])[None]).astype(xp.float32)
    fires = wide.astype(xp.float32) @ child_of > 0
    return Coverage(narrow.sum(0), (narrow & fires).sum(0))


def coalescing(splitting: Splitting, counts: Coverage, *, level: float = 0.8) -> Coalescing:
    """The same tree as the dictionary shrinks, with `coverage` of the two on the same examples.

    Children imply their parent; a parent that fires on other occasions as well (covered < level) is not the sum of
    its parts. Raises ConfigError for counts of another width, or a level outside (0, 1].

    >>> from superposition import metrics
    >>> narrow, wide = [[1.0], [1.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> tree = metrics.split_features([[1.0, 0.0]], [[1.0, 0.5], [1.0, -0.5]], metrics.cofiring(narrow, wide))
    >>> metrics.coalescing(tree, metrics.coverage(narrow, wide, tree.parent)).whole_fraction
    1.0
    """
    validate.in_range("level", level, 0.0, 1.0, open_low=True)
    fired, both = (np.asarray(c, np.float64) for c in counts)
    _arrays.same_shape("counts", fired, "children", splitting.children)
    covered = _arrays.ratio(np, both, fired)
    several = splitting.narrow_alive & (splitting.children >= 2)
    alive = max(int(splitting.narrow_alive.sum()), 1)
    return Coalescing(
        splitting.children,
        covered,
        merged_fraction=float(several.sum() / alive),
        whole_fraction=float((covered[several] >= level).mean()) if several.any() else 0.0,
        lost_fraction=splitting.novel_fraction,
    )


def lineage(parents: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """For every width after the first, the latent of the first that each descends from, -1 where a link is missing.

    parents: `Splitting.parent` from each width to the one before. `np.bincount` of the result counts descendants.
    Raises ConfigError for no link, or one that points outside the width before.

    >>> from superposition import metrics
    >>> [line.tolist() for line in metrics.lineage([[0, 0, 1], [2, 0, -1]])]
    [[0, 0, 1], [1, 0, -1]]
    """
    validate.instance("parents", parents, Sequence)
    if not parents:
        raise ConfigError("parents must hold at least one link between two widths; got none")
    lines: list[np.ndarray] = []
    for number, link in enumerate(parents):
        if not isinstance(link, Sequence | np.ndarray | jax.Array) or not getattr(link, "ndim", 1):
            raise ConfigError(f"parents[{number}] must be a list of latents; got {validate.shown(link)}")
        width = len(lines[-1]) if lines else np.iinfo(np.int64).max
        own = np.asarray(_arrays.indices(np, f"parents[{number}]", link, len(link), width))
        lines.append(np.where(own >= 0, lines[-1][own], -1) if lines else own)
    return tuple(lines)
