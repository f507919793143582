"""Which polytopes the features of a model form: the interference graph, its components, and their names.

Elhage et al. 2022, "The Geometry of Superposition": join two features whose directions interfere; the
connected components are then the factors of a tegum product, mutually orthogonal, each a polytope by itself.
The paper recognises them by eye and by dimensionality; here each component's angles are compared with those of
the shapes of `superposition.geometry.shapes`.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.geometry import shapes
from superposition.geometry.matrix import DEAD, MODEL, finite, scale

TOLERANCE = 10.0
LARGEST = 64  # vectors in a component that is compared with shapes

_PLURAL = {"dedicated": "dedicated", "tetrahedron": "tetrahedra", "icosahedron": "icosahedra"}
_TEGUM = {
    ("digon", "digon"): "square",
    ("digon", "digon", "digon"): "octahedron",
    ("digon", "digon", "digon", "digon"): "16-cell",
    ("triangle", "digon"): "triangular bipyramid",
    ("pentagon", "digon"): "pentagonal bipyramid",
    ("hexagon", "digon"): "hexagonal bipyramid",
    ("tetrahedron", "digon"): "tetrahedral bipyramid",
}


class Component(NamedTuple):
    """Features that interfere with each other, and the shape they form.

    `rank` is the dimension of the named shape, or the numerical rank of an unnamed one. `dimensionality` is the
    mean D_i of its features in the whole W. `deviation`: how many degrees the angle that differs most lies
    from the shape's; inf if the component has no shape's name.

    >>> from superposition import geometry
    >>> component = geometry.recognise([[1.0, -1.0]]).components[0]
    >>> component.name, component.features, component.dimensionality
    ('digon', (0, 1), 0.5)
    """

    features: tuple[int, ...]
    rank: int
    name: str
    dimensionality: float
    deviation: float


class Arrangement(NamedTuple):
    """Components, largest first, and the features that are not represented.

    >>> from superposition import geometry
    >>> arrangement = geometry.recognise([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.1]])
    >>> arrangement.name, arrangement.dropped
    ('digon + dedicated', (3,))
    """

    components: tuple[Component, ...]
    dropped: tuple[int, ...]

    @property
    def name(self) -> str:
        """Its factors, such as "pentagon", "triangle + digon", "3 digons"; "nothing" if there are none."""
        counts = Counter(c.name for c in self.components)
        return " + ".join(n if k == 1 else _several(k, n) for n, k in counts.items()) or "nothing"

    @property
    def dimensions(self) -> int:
        """The sum of its components' ranks: above n_hidden, the factors cannot all be orthogonal."""
        return sum(c.rank for c in self.components)

    @property
    def tegum(self) -> str:
        """What the tegum product of the factors is called, such as "triangular bipyramid"; else `name`."""
        return _TEGUM.get(tuple(c.name for c in self.components), self.name)


def recognise(
    W: Any, *, edge: float = 0.1, represented: float = 0.5, tolerance: float = TOLERANCE
) -> Arrangement:
    """The polytopes of W (m, n): components of the graph |cos_ij| > edge over features with norm > represented.

    A component is named after the shape whose sorted angles differ from its own by at most `tolerance` degrees
    (or a quarter of the shape's smallest angle, if less: large polygons are crowded). Lengths do not matter,
    and turning every vector by less than half the tolerance changes no name, unless it opens or closes an edge.

    - "dedicated" (alone), "digon", "triangle", "tetrahedron", "4-simplex" ..., "pentagon", "hexagon" ...,
      "square antiprism", "cube", "icosahedron" ...;
    - "3 collapsed": vectors within the tolerance of one direction; "collapsed triangle": a shape, some of
      whose vertices are several such vectors;
    - "9 in 4": none of these, 9 vectors of rank 4.

    A component without a name that falls apart into named shapes once cosines within the tolerance of zero are
    taken for zero is given as those shapes. Simplices of more than 1 / edge dimensions have no edges left, and
    come out as dedicated features. Raises ConfigError unless W is a finite, real matrix.

    >>> import numpy as np
    >>> from superposition import geometry
    >>> angles = 2 * np.pi * np.arange(5) / 5
    >>> geometry.recognise([np.cos(angles), np.sin(angles)]).name
    'pentagon'
    """
    W = finite("W", W, MODEL, 2)
    edge = validate.one_in_range("edge", edge, 0.0, 1.0)
    represented = validate.one_in_range("represented", represented, 0.0, 1e30)
    tolerance = validate.one_in_range("tolerance", tolerance, 0.0, 45.0, open_low=True)
    top, length, unit = _polar(W)
    with np.errstate(over="ignore"):
        is_represented = top * length > max(represented, DEAD)
    alive = np.flatnonzero(is_represented)
    cosines = unit[:, alive].T @ unit[:, alive]
    D = _dimensionality(top, length, unit, alive)
    components = []
    for part in _parts(cosines, edge):
        for members, name, rank, off in _named(cosines, part, np.sin(np.radians(tolerance)), tolerance):
            features = tuple(int(i) for i in alive[members])
            components.append(Component(features, rank, name, float(D[members].mean()), off))
    components.sort(key=lambda c: (-len(c.features), c.name, c.features))
    return Arrangement(tuple(components), tuple(int(i) for i in np.flatnonzero(~is_represented)))


def census(arrangements: Iterable[Arrangement]) -> dict[str, int]:
    """How many features are in components of each name, most first; "not represented" for the dropped.

    >>> from superposition import geometry
    >>> models = [[[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    >>> geometry.census(geometry.recognise(W) for W in models)
    {'dedicated': 3, 'digon': 2, 'not represented': 1}
    """
    counts: Counter[str] = Counter()
    try:
        every = list(arrangements)
    except TypeError as error:
        raise ConfigError(
            f"arrangements must be a list of them; got {validate.shown(arrangements)}"
        ) from error
    for arrangement in every:
        validate.instance("each arrangement", arrangement, Arrangement)
        for component in arrangement.components:
            counts[component.name] += len(component.features)
        if arrangement.dropped:
            counts["not represented"] += len(arrangement.dropped)
    return dict(counts.most_common())


def _polar(W: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths (n,) as two factors, whose product may overflow, and directions (m, n), of length zero zero."""
    top = scale(W, 0)
    scaled = W / top
    length = np.sqrt((scaled**2).sum(0))
    return top[0], length, scaled / np.where(length > 0, length, 1)


def _dimensionality(top: np.ndarray, length: np.ndarray, unit: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """D_i = 1 / sum_j (cos_ij ||W_j|| / ||W_i||)^2 of the features `alive`, j over all; ||W|| = top length."""
    cosines = unit[:, alive].T @ unit
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        ratio = top / top[alive][:, None] * (length / length[alive][:, None])
        return 1 / np.where(cosines == 0, 0.0, (cosines * ratio) ** 2).sum(1)


def _parts(cosines: np.ndarray, edge: float) -> list[np.ndarray]:
    """Connected components of |cos| > edge, as arrays of indices."""
    k = len(cosines)
    joined = (np.abs(cosines) > edge) | np.eye(k, dtype=bool)
    label, lower = np.full(k, -1), np.arange(k)
    while (
        lower != label
    ).any():  # a label is the index of some member; it falls to the lowest that it can reach
        label = lower
        lower = np.where(joined, label, k).min(1)
        lower = lower[lower]
    return [np.flatnonzero(label == first) for first in np.unique(label)]


_Found = tuple[np.ndarray, str, int, float]


def _named(cosines: np.ndarray, part: np.ndarray, edge: float, tolerance: float) -> list[_Found]:
    """A component's shape, or, if only its factors have one, theirs: (members, name, rank, deviation)."""
    C = cosines[np.ix_(part, part)]
    shape = _shape(C, tolerance)
    if shape is not None:
        return [(part, *shape)]
    factors = _parts(C, edge)
    named = [_shape(C[np.ix_(f, f)], tolerance) for f in factors] if len(factors) > 1 else [None]
    if all(named):
        return [(part[f], *shape) for f, shape in zip(factors, named, strict=True) if shape]
    # Singular values of the unit vectors, squared. Two vectors have rank 1 within the tolerance of 180 degrees.
    spectrum = np.linalg.eigvalsh(C)
    rank = int((spectrum > np.tan(np.radians(tolerance / 2)) ** 2 * spectrum[-1]).sum())
    return [(part, f"{len(part)} in {rank}", rank, np.inf)]


def _shape(C: np.ndarray, tolerance: float) -> tuple[str, int, float] | None:
    """Name, dimension and deviation in degrees of the nearest shape, if near enough; C (k, k) cosines."""
    k = len(C)
    if k == 1:
        return "dedicated", 1, 0.0
    mine = _angles(C)
    if mine[-1] <= tolerance:
        return f"{k} collapsed", 1, float(mine[-1])
    best = None
    for name, dimension, angles in _references(k):
        off = float(np.abs(mine - angles).max())
        if off <= min(tolerance, angles[0] / 4) and (best is None or off < best[2]):
            best = name, dimension, off
    if best is None and mine[0] <= tolerance:
        return _collapsed(C, tolerance)
    return best


def _collapsed(C: np.ndarray, tolerance: float) -> tuple[str, int, float] | None:
    """The shape of a component in which vectors within the tolerance of each other count once."""
    near = float(np.cos(np.radians(tolerance)))
    groups = _parts(C.clip(0), near)
    if any(C[np.ix_(group, group)].min() < near for group in groups):
        return None  # a chain, each near the next but not all near each other, is no vertex
    merged = np.array([[C[np.ix_(a, b)].mean() for b in groups] for a in groups])
    scale = np.sqrt(np.diag(merged))  # the mean of several unit vectors is shorter than one
    shape = _shape(merged / np.outer(scale, scale), tolerance) if len(groups) > 1 else None
    return shape and (f"collapsed {shape[0]}", shape[1], shape[2])


@cache
def _references(k: int) -> tuple[tuple[str, int, np.ndarray], ...]:
    if k > LARGEST:
        return ()
    return tuple((name, len(W), _angles(W.T @ W)) for name, W in shapes.of_size(k))


def _angles(C: np.ndarray) -> np.ndarray:
    """Angles between the vectors in degrees, sorted, (k (k - 1) / 2,)."""
    return np.sort(np.degrees(np.arccos(np.clip(C[np.triu_indices(len(C), 1)], -1, 1))))


def _several(count: int, name: str) -> str:
    if " in " in name or name.endswith("collapsed"):
        return f"{count} x ({name})"
    if name.endswith("simplex"):
        return f"{count} {name.removesuffix('ex')}ices"
    return f"{count} {_PLURAL.get(name, name + 's')}"
