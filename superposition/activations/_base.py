"""Where an SAE's activations come from: batches that are a function of (inputs, step) alone."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.errors import ConfigError
from superposition.typing import PyTree

HELD_OUT_STEP = 2**28  # steps from here on are for estimates and never trained on in the same order
LARGE, SMALL = 1e15, 1e-16  # largest numbers between which sums of squares are right in float32


class Batch(NamedTuple):
    """Examples x (batch, d_in), targets y (batch, d_out), and the true features where they are known.

    >>> import numpy as np
    >>> x = np.ones((4, 2), np.float32)
    >>> Batch(x, x).features is None
    True
    """

    x: Array
    y: Array
    features: Array | None = None  # (batch, n_features)


@dataclass(frozen=True)
class Source(ABC):
    """The static, hashable half of a stream; its arrays are given to `batch`, never baked into a program.

    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations import array_stream
    >>> source = array_stream(jax.random.key(0), np.eye(4)).source
    >>> isinstance(source, Source), source.d_in, source.d_out
    (True, 4, None)
    """

    @property
    @abstractmethod
    def d_in(self) -> int:
        """Width of x."""

    @property
    def d_out(self) -> int | None:
        """Width of y, or None where y is x."""
        return None

    @abstractmethod
    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """Batch number `step` of `size` examples; pure."""

    def start(self, inputs: PyTree, size: int) -> PyTree:
        """What training carries from step to step for batches of `size`, beside the step number."""
        del inputs, size

    def next(self, inputs: PyTree, state: PyTree, step: Array, size: int) -> tuple[Batch, PyTree]:
        """What to train on at `step`, the steps coming in order from 0, and the state after it; pure."""
        return self.batch(inputs, step, size), state

    def check(self, size: int) -> None:
        """Raise ConfigError where batches of `size` cannot be made."""
        del size


class Stream(NamedTuple):
    """A source, its arrays, and the truth where it is known: feature directions (n_features, d_in).

    kept: which of the source's features the rows of the dictionary are, None for all. A batch has those features, so
    that its columns are the dictionary's rows.

    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations import array_stream
    >>> stream = array_stream(jax.random.key(0), np.eye(4))
    >>> sorted(stream.batch(step=0, size=4).x.argmax(1).tolist())  # an epoch has every row once
    [0, 1, 2, 3]
    """

    source: Source
    inputs: PyTree
    dictionary: np.ndarray | None = None
    kept: np.ndarray | None = None

    def batch(self, step: int, size: int) -> Batch:
        """Batch number `step`, compiled."""
        return self._of_kept(_batch(self.source, self.inputs, np.uint32(step), size))

    def start(self, size: int) -> PyTree:
        """The state before step 0, compiled."""
        return _start(self.source, self.inputs, size)

    def next(self, state: PyTree, step: int, size: int) -> tuple[Batch, PyTree]:
        """What training sees at `step`, and the state after it, compiled."""
        batch, state = _next(self.source, self.inputs, state, np.uint32(step), size)
        return self._of_kept(batch), state

    def _of_kept(self, batch: Batch) -> Batch:
        if self.kept is None or batch.features is None:
            return batch
        return batch._replace(features=batch.features[:, self.kept])

    def sample(self, examples: int, *, batch: int = 4096) -> Batch:
        """At least `examples` examples apart from those trained on, in one Batch."""
        size = min(batch, examples)
        self.source.check(size)
        parts = [self.batch(HELD_OUT_STEP + i, size) for i in range(-(-examples // size))]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:examples], *parts)

    def scales(self, batch_size: int, batches: int = 32) -> tuple[float, float]:
        """Factors that give x and y a mean norm of sqrt(width) (SAELens "expected_average_only_in").

        Raises ConfigError for activations that are not finite, or all zero.
        """
        norms = np.array(_norms(self.source, self.inputs, batch_size, batches), np.float64)
        if not ((norms > SMALL) & (norms < LARGE)).all():
            self._odd(batch_size, batches)
        width = self.source.d_in, self.source.d_out or self.source.d_in
        return float(np.sqrt(width[0]) / norms[0]), float(np.sqrt(width[1]) / norms[1])

    def _odd(self, size: int, batches: int) -> None:
        """Raise ConfigError where the numbers themselves, and not only their norms, are out of range."""
        peaks = np.zeros(2)
        for i in range(batches):
            batch = self.batch(HELD_OUT_STEP + i, size)
            peaks = np.maximum(peaks, [float(jnp.abs(one).max()) for one in (batch.x, batch.y)])
        for name, peak in zip(("activations x", "activations y"), peaks, strict=True):
            if not np.isfinite(peak) or peak == 0:
                what = "all zero" if peak == 0 else "not finite"
                raise ConfigError(f"{name} are {what} in the first {batches} batches; look at the data")
            if peak > LARGE:
                raise too_large(name, peak)
            if peak < SMALL:
                raise too_small(name, peak)


def too_large(name: str, peak: float) -> ConfigError:
    """What to say of numbers whose squares overflow, though they themselves need not."""
    return ConfigError(
        f"{name} go up to {peak:.3g}: sums of their squares overflow float32 from {LARGE:g} on; divide them by {peak:.0e}"
    )


def too_small(name: str, peak: float) -> ConfigError:
    """What to say of numbers whose squares underflow, though they themselves need not."""
    return ConfigError(
        f"{name} are {peak:.3g} at most: their squares underflow float32 below {SMALL:g}; divide them by {peak:.0e}"
    )


@jax.jit
def _mean_norm(batch: Batch) -> tuple[Array, Array]:
    return jnp.linalg.norm(batch.x, axis=-1).mean(), jnp.linalg.norm(batch.y, axis=-1).mean()


def _norms(source: Source, inputs: PyTree, size: int, batches: int) -> np.ndarray:
    rows = [_mean_norm(_batch(source, inputs, np.uint32(HELD_OUT_STEP + i), size)) for i in range(batches)]
    return np.mean(np.array(rows, np.float64), 0)


def _batch_impl(source: Source, inputs: PyTree, step: Array, size: int) -> Batch:
    return source.batch(inputs, step, size)


def _start_impl(source: Source, inputs: PyTree, size: int) -> PyTree:
    return source.start(inputs, size)


def _next_impl(source: Source, inputs: PyTree, state: PyTree, step: Array, size: int) -> tuple[Batch, PyTree]:
    return source.next(inputs, state, step, size)


_batch = jax.jit(_batch_impl, static_argnums=(0, 3))
_start = jax.jit(_start_impl, static_argnums=(0, 2))
_next = jax.jit(_next_impl, static_argnums=(0, 4))
