"""A buffer that mixes a source whose batches are correlated, as tokens of one text are."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.activations._base import Batch, Source, Stream
from superposition.activations.array import permuted
from superposition.errors import ConfigError
from superposition.features import key_words
from superposition.features._draw import substream
from superposition.typing import PRNGKey, PyTree

MIXING = 8  # the substream of the key that chooses slots
BEFORE = 2**32 - 1  # the step before step 0


class Buffer(NamedTuple):
    """The examples that wait, and the state of the source they came from."""

    x: Array  # (batches * batch, d_in)
    y: Array | None  # (batches * batch, d_out), None where y is x
    source: PyTree


@dataclass(frozen=True)
class Mixing(Source):
    """Batches of random examples out of a buffer of `batches` batches of `source`; each is given out once.

    Step i puts batch number i + batches - 1 into the slots that step i - 1 emptied, then empties a batch of
    slots at random. An example waits `batches` steps on average, so that one batch of the source is spread
    over several times as many. Filling comes before emptying, and so needs no copy of the buffer. The order is
    a function of the key alone. `batch` is that of the source, unmixed; true features are not kept.

    >>> import numpy as np
    >>> from superposition.activations import as_stream
    >>> Mixing(as_stream(np.eye(4)).source, batches=2).d_in
    4
    """

    source: Source
    batches: int = 16

    def __post_init__(self) -> None:
        validate.integer("batches", self.batches, 1, 2**20)

    @property
    def d_in(self) -> int:
        """The source's."""
        return self.source.d_in

    @property
    def d_out(self) -> int | None:
        """The source's."""
        return self.source.d_out

    def check(self, size: int) -> None:
        """The source's, and the slots must have numbers."""
        self.source.check(size)
        if self.batches * size >= 2**31:
            raise ConfigError(
                f"a buffer holds fewer than 2^31 examples; got {self.batches} batches of {size}"
            )

    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """The source's batch."""
        return self.source.batch(inputs["source"], step, size)

    def start(self, inputs: PyTree, size: int) -> Buffer:
        """The buffer full but for one batch, which step 0 puts in."""
        like = jax.eval_shape(lambda: self.source.batch(inputs["source"], jnp.uint32(0), size))
        x, y = (jnp.zeros((self.batches * size, *a.shape[1:]), a.dtype) for a in like[:2])
        empty = Buffer(x, None if self.d_out is None else y, self.source.start(inputs["source"], size))

        def put(i: Array, buffer: Buffer) -> Buffer:
            slots = self._slots(inputs, jnp.uint32(BEFORE), ((i + 1) * size).astype(jnp.uint32), size)
            return self._put(inputs, buffer, i, size, slots)

        return jax.lax.fori_loop(0, self.batches - 1, put, empty)

    def next(self, inputs: PyTree, state: PyTree, step: Array, size: int) -> tuple[Batch, PyTree]:
        """A batch out of the buffer."""
        step = step.astype(jnp.uint32)
        emptied, wanted = (self._slots(inputs, at, jnp.uint32(0), size) for at in (step - np.uint32(1), step))
        buffer = self._put(inputs, state, step + np.uint32(self.batches - 1), size, emptied)
        x = buffer.x.at[wanted].get(mode="promise_in_bounds")
        y = x if buffer.y is None else buffer.y.at[wanted].get(mode="promise_in_bounds")
        return Batch(x, y), buffer

    def _slots(self, inputs: PyTree, step: Array, first: Array, size: int) -> Array:
        """`size` distinct slots: numbers `first` and on of a permutation a step."""
        position = first + jax.lax.iota(jnp.uint32, size)
        return permuted(inputs["words"], step, position, self.batches * size)

    def _put(self, inputs: PyTree, buffer: Buffer, step: Array, size: int, slots: Array) -> Buffer:
        new, source = self.source.next(inputs["source"], buffer.source, step, size)

        def fill(held: Array, rows: Array) -> Array:
            return held.at[slots].set(rows, unique_indices=True, mode="promise_in_bounds")

        return Buffer(fill(buffer.x, new.x), None if buffer.y is None else fill(buffer.y, new.y), source)


def mixed_stream(key: PRNGKey, stream: Stream, batches: int = 16) -> Stream:
    """`stream` with its examples mixed over `batches` batches.

    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations import as_stream, mixed_stream
    >>> stream = mixed_stream(jax.random.key(0), as_stream(np.eye(8)), batches=2)
    >>> stream.source.batches
    2
    """
    validate.instance("stream", stream, Stream)
    words = substream(key_words(key), MIXING)
    source = Mixing(stream.source, batches)
    return Stream(source, {"source": stream.inputs, "words": words}, stream.dictionary, stream.kept)
