"""Which neurons stand for which features: codes, monosemantic and polysemantic neurons, and the groups they form.

For models whose hidden layer has a privileged basis (a ReLU). Elhage et al. 2022, "Superposition in a privileged
basis", names the codes by eye; here they are read off W (n_hidden, n_features) by two thresholds.
"""

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.geometry.matrix import MODEL, finite, floats, norms, scale

SIGNS = ("positive", "absolute")


class Group(NamedTuple):
    """Features and neurons joined by codes, a connected component of the graph of codes.

    codes: the neurons of each feature, in the order of `features`. flag: the neuron that tells a flagged group's
    two kinds of features apart (see `Neurons`), or None.
    """

    features: tuple[int, ...]
    neurons: tuple[int, ...]
    codes: tuple[tuple[int, ...], ...]
    name: str
    flag: int | None = None


class Neurons(NamedTuple):
    """How the features of a model are spread over its neurons.

    codes (n_hidden, n_features): whether a neuron belongs to a feature's code. groups: largest first. dropped: the
    features that are not represented; silent: the neurons in no code. A group of one neuron and one feature is
    "monosemantic"; three features in two neurons, with codes 10, 01 and 11, are a "binary code"; a group whose
    codes are distinct pairs of at least three neurons is "k pairs of m". "k in m, flagged" has one neuron, the flag,
    with every other neuron a feature that has just the two, and for every other neuron a feature that has neither it
    nor the flag but all the rest; one more feature may have the flag alone. Any other group is "k in m".

    >>> from superposition import geometry
    >>> found = geometry.neurons([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> found.name, found.polysemantic
    ('binary code', (0, 1))
    """

    codes: np.ndarray
    groups: tuple[Group, ...]
    dropped: tuple[int, ...]
    silent: tuple[int, ...]

    @property
    def monosemantic(self) -> tuple[int, ...]:
        """Neurons in the code of exactly one feature."""
        return tuple(int(k) for k in np.flatnonzero(self.codes.sum(1) == 1))

    @property
    def polysemantic(self) -> tuple[int, ...]:
        """Neurons in the codes of two features or more."""
        return tuple(int(k) for k in np.flatnonzero(self.codes.sum(1) > 1))

    @property
    def name(self) -> str:
        """Such as "5 monosemantic" or "3 monosemantic + binary code"; "nothing" if no feature is represented."""
        alone = sum(group.name == "monosemantic" for group in self.groups)
        others = [group.name for group in reversed(self.groups) if group.name != "monosemantic"]
        return " + ".join([f"{alone} monosemantic"] * (alone > 0) + others) or "nothing"


def feature_codes(
    W: Any, *, threshold: float = 0.5, represented: float = 0.5, sign: str = "positive"
) -> Bool[np.ndarray, "n_hidden n_features"]:
    """The binary code of every feature over the neurons, bool (n_hidden, n_features), from W (the same shape).

    Neuron k is in the code of feature i if W_ki > `threshold` max_k W_ki and the feature is represented: the norm
    of its positive part (the hidden layer, when it alone is 1) exceeds `represented`. A neuron with a negative
    weight is silenced by the feature, not turned on; with sign="absolute", for features that take both signs, |W|
    stands in for W. Raises ConfigError for W that is not a finite matrix, and thresholds outside (0, 1) and >= 0.

    >>> from superposition import geometry
    >>> geometry.feature_codes([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).astype(int).tolist()  # codes 10, 01 and 11
    [[1, 0, 1], [0, 1, 1]]
    """
    matrix = finite("W", W, MODEL, 2)
    if matrix.size == 0:
        raise ConfigError(f"W must be a finite array {MODEL}, not empty; got shape {matrix.shape}")
    if not 0 < (threshold := validate.number("threshold", threshold)) < 1:
        raise ConfigError(
            f"threshold must lie in (0, 1), a fraction of the largest weight; got {threshold:g}"
        )
    represented = validate.one_in_range("represented", represented, 0.0, np.inf)
    validate.choice("sign", sign, SIGNS)
    weight = np.abs(matrix) if sign == "absolute" else np.maximum(matrix, 0)
    is_represented = norms(weight) > represented
    return (weight > threshold * weight.max(0)) & is_represented


def neurons(W: Any, *, threshold: float = 0.5, represented: float = 0.5, sign: str = "positive") -> Neurons:
    """Codes, groups and what is left out, of W (n_hidden, n_features); arguments and errors as `feature_codes`.

    >>> from superposition import geometry
    >>> geometry.neurons([[1.0, 0.0], [0.0, 0.9]]).name
    '2 monosemantic'
    """
    codes = feature_codes(W, threshold=threshold, represented=represented, sign=sign)
    left = [int(i) for i in np.flatnonzero(codes.any(0))]
    groups = []
    while left:
        inside = np.arange(codes.shape[1]) == left[0]
        for _ in range(codes.shape[0] + 1):  # a path through the graph passes a neuron at most once
            inside = codes[codes[:, inside].any(1)].any(0)
        groups.append(_group(codes, np.flatnonzero(inside)))
        left = [i for i in left if not inside[i]]
    groups.sort(key=lambda group: (-len(group.features), group.features))
    return Neurons(
        codes,
        tuple(groups),
        tuple(int(i) for i in np.flatnonzero(~codes.any(0))),
        tuple(int(k) for k in np.flatnonzero(~codes.any(1))),
    )


def concentration(W: Any) -> Float[np.ndarray, "*cell n_hidden"]:
    """max_i W_ki^2 / sum_i W_ki^2 of every neuron, (..., n_hidden) from W (..., n_hidden, n_features).

    1 for a neuron that one feature has for itself, 1 / n for one shared by n alike; 0 for a neuron without weights,
    NaN for one with a weight that is not finite. Raises ConfigError for other W, and for one without features.

    >>> from superposition import geometry
    >>> geometry.concentration([[1.0, 0.0], [1.0, 1.0]]).tolist()
    [1.0, 0.5]
    """
    W = floats(W)
    if W.shape[-1] == 0:
        raise ConfigError(f"W must be (..., n_hidden, n_features), n_features >= 1; got shape {W.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        W = np.asarray(W, np.float64)
        squares = (W / scale(W, -1)) ** 2
        total = squares.sum(-1)
        return np.where(np.isfinite(total), squares.max(-1) / np.where(total > 0, total, 1.0), np.nan)


def _group(codes: np.ndarray, features: np.ndarray) -> Group:
    words = [frozenset(np.flatnonzero(codes[:, i]).tolist()) for i in features]
    members = sorted(frozenset().union(*words))
    flag = _flag(words, members)
    name = _name(words, members)
    if name is None:
        name = f"{len(words)} in {len(members)}" + (", flagged" if flag is not None else "")
    else:
        flag = None
    listed = tuple(tuple(sorted(word)) for word in words)
    return Group(tuple(int(i) for i in features), tuple(members), listed, name, flag)


def _name(words: list[frozenset[int]], members: list[int]) -> str | None:
    k, m = len(words), len(members)
    if (k, m) == (1, 1):
        return "monosemantic"
    if set(words) == {frozenset(c) for r in (1, 2) for c in combinations(members, r)} and (k, m) == (3, 2):
        return "binary code"
    if m > 2 and all(len(word) == 2 for word in words) and len(set(words)) == k:
        return f"{k} pairs of {m}"
    return None


def _flag(words: list[frozenset[int]], members: list[int]) -> int | None:
    """The neuron that splits the words into {it, one other} and {all others but one}, each once, and perhaps {it}."""
    for flag in members:
        rest = [k for k in members if k != flag]
        wanted = {frozenset((flag, k)) for k in rest} | {frozenset(rest) - {k} for k in rest}
        given = set(words)
        if len(rest) > 2 and len(words) == len(given) and given - {frozenset((flag,))} == wanted:
            return flag
    return None
