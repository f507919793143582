"""What a training run must offer to the one loop: toy models, SAEs and language models do."""

from typing import Protocol, TypeVar

from jax import Array

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
