"""The kinds of component that features are counted and coloured by."""

import numpy as np

from superposition.geometry import Arrangement, Component

# Okabe and Ito's colours, and hatches of lightness for what has no name.
COLOURS = {
    "dedicated": "#222222", "digon": "#0072b2", "triangle": "#d55e00", "tetrahedron": "#009e73",
    "pentagon": "#cc79a7", "square antiprism": "#e69f00", "another shape": "#56b4e9",
    "unnamed, up to 12": "#9c9c9c", "unnamed, more than 12": "#dcdcdc",
}  # fmt: skip
KINDS = tuple(COLOURS)
SMALL = 12  # vectors in a component that is drawn as small


def kind_of(component: Component) -> int:
    """Return the index in `KINDS` of a component's polytope."""
    if component.name in KINDS:
        return KINDS.index(component.name)
    if np.isfinite(component.deviation):
        return KINDS.index("another shape")
    return len(KINDS) - (2 if len(component.features) <= SMALL else 1)


def shares_of(row: list[Arrangement]) -> np.ndarray:
    """Of the represented features of all seeds, the part in each kind of component."""
    count = np.zeros(len(KINDS))
    for arrangement in row:
        for component in arrangement.components:
            count[kind_of(component)] += len(component.features)
    return count / count.sum() if count.sum() else np.full(len(KINDS), np.nan)


def kinds_of(arrangement: Arrangement, n: int) -> np.ndarray:
    """Return the kind of every feature of a model, (n,): an index in `KINDS`."""
    kinds = np.full(n, -1)
    for component in arrangement.components:
        kinds[list(component.features)] = kind_of(component)
    return kinds
