"""The arrays of a block of toy models that train side by side."""

from typing import NamedTuple

from jax import Array

from superposition.typing import PyTree


class Cells(NamedTuple):
    """What differs between the models of one program, one row a model."""

    seed: Array  # (cell,) uint32
    density: Array  # (cell, n_units)
    importance: Array  # (cell, n_features)
    optimizer: dict[str, Array]  # swept optimizer fields, (cell,) each


class State(NamedTuple):
    """What the next step needs. A cell whose update is not finite is frozen at its last good step."""

    params: PyTree  # of `model.init_params`, a row a cell
    opt_state: PyTree
    alive: Array  # (cell,) bool
    steps: Array  # (cell,) int32, steps applied


class Inputs(NamedTuple):
    """Constants of a block: its cells and the words of its random stream, (2,) if all share one seed."""

    cells: Cells
    words: Array
    at: PyTree  # the law's constants, a row a cell; narrow: thresholds (unit, 1, cell)
    steps: Array  # of the whole run, for schedules
