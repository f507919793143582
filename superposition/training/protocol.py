"""What a training run must offer to the loop, to a grid and to a store: toy models, SAEs and language models do.

A `Run` is a recipe, and knows its axes; `grid.parse` is typed by it. A `Program` is what one compiled loop trains;
`loop.train` is typed by it. A `Grid` is a run at every combination of its axes, cut into blocks of one program each, which
`blockwise.train_grid` trains and keeps; its layout says what the results are: name, dimensions and dtype of every array.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from jax import Array

from superposition.storage.provenance import Environment

if TYPE_CHECKING:
    from superposition.training.store.layout import Layout


class Run(Protocol):
    """The recipe of a training run, which says what axes a grid of it may have."""

    @property
    def steps(self) -> int:
        """The length of the training."""

    def carried_axes(self) -> tuple[str, ...]:
        """The axes that one program can carry as arrays, `seed` among them: one compilation, however many values."""

    def static_axes(self) -> tuple[str, ...]:
        """The axes of which every value takes a program of its own."""

    def check_axes(self, axes: Mapping[str, tuple[Any, ...]], models: int) -> None:
        """Raise ConfigError for axes that do not go together, or make more models than there may be."""

    def at(self, settings: Mapping[str, Any]) -> Self:
        """The run at one grid point, or with some of its settings; a seed has no place in it. Raises ConfigError."""


OneRun = TypeVar("OneRun", bound=Run)
Inputs = TypeVar("Inputs", contravariant=True)
State = TypeVar("State")


class Program(Protocol[Inputs, State]):
    """A hashable description of a step; programs that are equal share one compilation.

    inputs: all arrays that stay as they are, a pytree: what distinguishes the models that train side by side, data, and
    numbers that depend on the length of the run. state: all that changes, a pytree of arrays, which is what checkpoints
    hold. A step must be a pure function of its arguments: neither chunks nor stopping and resuming then change a bit.
    """

    def step(self, inputs: Inputs, state: State, i: Array) -> State:
        """The state after step number i, counted from 0."""


Region: TypeAlias = tuple[slice, ...]  # of the axes, the extent of one chunk


class Block(Protocol):
    """A part of a grid that one program trains, and that is written at once."""

    @property
    def name(self) -> str:
        """block-G-R, by which its record and its checkpoints are known."""

    @property
    def regions(self) -> Sequence[Region]:
        """The extents of its chunks, in the order of its models."""

    @property
    def steps(self) -> int:
        """The length of its training."""


OneBlock = TypeVar("OneBlock", bound=Block)
In = TypeVar("In")
Out = TypeVar("Out")


class Grid(Protocol[OneBlock, In, Out]):
    """A run at every combination of its axes: what `blockwise.train_grid` needs to train it and to keep it in a store."""

    def layout(self, attributes: Mapping[str, Any] | None = None) -> "Layout":
        """The results by name, dimensions and dtype; `status` among them. attributes: those of a store that is there."""

    def config(self) -> dict[str, Any]:
        """What decides the results, as JSON: the run, the axes, and the data."""

    def adopt(self, attributes: Mapping[str, Any]) -> None:
        """Take over the blocks of a store by its attributes. Raises KeyError, TypeError and ValueError for others."""

    def blocks(self) -> list[OneBlock]:
        """All of the grid, in the order in which it is trained."""

    def workers(self) -> int:
        """How many blocks to train at once."""

    def environment(self) -> Environment:
        """What decides, beside `config`, the bits of the results here."""

    def init(self, block: OneBlock) -> tuple[Program[In, Out], In, Out]:
        """The program of a block, its inputs, and the state before the first step."""

    def alive(self, state: Out) -> Array:
        """Which models of a block still train (models,): where none does, the rest of the steps is left out."""

    def results(self, block: OneBlock, inputs: In, state: Out) -> dict[str, np.ndarray]:
        """The variables of the layout by name, each (models of the block, ...)."""
