"""What a phase diagram is made of: phases by the W that defines them, and panels of classes, norms and losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Phase(NamedTuple):
    """One candidate of the theory: its name, its colour, and the W and kernel that define it.

    >>> TRIANGLE.name, TWO_IN_ONE[2].W
    ('Triangle of all three', (1, -1))
    """

    name: str
    colour: str
    W: tuple[int, ...] = ()
    perp: tuple[int, ...] = ()


# The paper's candidates, in the order a class index refers to; the last of three features is the extra one.
TWO_IN_ONE = (
    Phase("Not represented\n(extra feature is 0)", "#dddddd", (1, 0), (0, 1)),
    Phase("Dedicated dimension\n(other not represented)", "#123399", (0, 1), (1, 0)),
    Phase("Superposition\n(antipodal pair)", "#dd4444", (1, -1), (1, 1)),
)
# The paper's candidates for three features in two dimensions, in the order of `theory.PHASES_3_2`.
THREE_IN_TWO = (
    Phase("Not represented", "#dddddd", perp=(0, 0, 1)),
    Phase("Dedicated, another ignored", "#123399", perp=(1, 0, 0)),
    Phase("Superposition, with one other", "#dd4444", perp=(0, 1, 1)),
    Phase("Dedicated, others superposed", "#7f9fe8", perp=(1, 1, 0)),
)
# The paper leaves this one out: all three features in one triangle.
TRIANGLE = Phase("Triangle of all three", "#f0b429", perp=(1, 1, 1))


@dataclass(frozen=True)
class Theory:
    """A panel of classes: `classes` (y, x) index `phases`; a negative index is unknown.

    >>> Theory("Which phase is least", classes=np.zeros((2, 3), int), phases=TWO_IN_ONE).phases[0].W
    (1, 0)
    """

    title: str
    classes: np.ndarray
    phases: Sequence[Phase]
    axes: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Measured:
    """A panel of the extra feature's norm and interference, each (y, x), with borders of classes (y, x) if given.

    >>> Measured("Trained", norm=np.ones((2, 3)), interference=np.zeros((2, 3))).title
    'Trained'
    """

    title: str
    norm: np.ndarray
    interference: np.ndarray
    borders: np.ndarray | None = None
    axes: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Shortfall:
    """A panel of the loss over the exact minimum, minus one, (y, x): how far training falls short.

    >>> Shortfall("Training against the minimum", excess=np.zeros((2, 3))).label
    'trained loss / exact minimum − 1'
    """

    title: str
    excess: np.ndarray
    label: str = "trained loss / exact minimum − 1"
    axes: tuple[np.ndarray, np.ndarray] | None = None


# One panel of a phase diagram: what theory says, what training gave, or how far apart the two are.
Panel = Theory | Measured | Shortfall
