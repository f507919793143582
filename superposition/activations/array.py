"""Activations in an array, in an order that is a function of the key alone."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition._internal.arrays import native, no_numbers
from superposition.activations._base import LARGE, SMALL, Batch, Source, Stream, too_large, too_small
from superposition.errors import ConfigError
from superposition.features import key_words
from superposition.features._draw import mix
from superposition.typing import PRNGKey, PyTree, Words


@dataclass(frozen=True)
class ArrayActivations(Source):
    """Rows of an array (n_examples, width), each once an epoch, in a new random order every epoch.

    The few rows that do not fill a batch are left out, others each epoch.

    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations import array_stream
    >>> array_stream(jax.random.key(0), np.eye(4)).source
    ArrayActivations(n_examples=4, width=4, target_width=None)
    """

    n_examples: int
    width: int
    target_width: int | None = None

    def __post_init__(self) -> None:
        validate.integer("n_examples", self.n_examples, 1, 2**31)

    @property
    def d_in(self) -> int:
        """Columns of the array."""
        return self.width

    @property
    def d_out(self) -> int | None:
        """Columns of the target array."""
        return self.target_width

    def check(self, size: int) -> None:
        """A batch has to fit into an epoch."""
        if size > self.n_examples:
            raise ConfigError(
                f"batch_size must be at most the {self.n_examples} examples there are; got {size}"
            )

    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """Rows number step * size ... of the shuffled epochs."""
        per_epoch = np.uint32(self.n_examples // size)
        step = step.astype(jnp.uint32)
        position = (step % per_epoch) * np.uint32(size) + jax.lax.iota(jnp.uint32, size)
        rows = permuted(inputs["words"], step // per_epoch, position, self.n_examples)
        x = inputs["x"][rows].astype(jnp.float32)
        return Batch(x, x if self.target_width is None else inputs["y"][rows].astype(jnp.float32))


def permuted(words: Words, epoch: Array, position: Array, n: int) -> Array:
    """Where a random permutation of 0..n-1 sends `position` (uint32); one permutation per (words, epoch).

    Eight Feistel rounds (four show in arrays of a dozen rows) on the least even number of bits that holds n,
    walked until the value is below n (Black and Rogaway 2002, "cycle walking"): nothing to store, and resuming
    needs only the step.
    """
    half = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    low = np.uint32((1 << half) - 1)
    keys = [mix(mix(epoch + words[0]) ^ words[1] ^ np.uint32(0x9E3779B9 * (r + 1) % 2**32)) for r in range(8)]

    def rounds(value: Array) -> Array:
        left, right = value >> half, value & low
        for word in keys:
            left, right = right, left ^ (mix(right ^ word) & low)
        return (left << half) | right

    def walk(value: Array) -> Array:
        return jnp.where(value < n, value, rounds(value))

    return jax.lax.while_loop(lambda v: (v >= n).any(), walk, rounds(position))


def array_stream(
    key: PRNGKey, x: Float[np.ndarray, "examples d_in"], y: Float[np.ndarray, "examples d_out"] | None = None
) -> Stream:
    """The stream over rows of x (n_examples, d_in), with targets y (n_examples, d_out) for a transcoder.

    Raises ConfigError for arrays that are not 2-D numbers, empty, not finite, constant, too large or small for
    float32, or of unequal length.

    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations import array_stream
    >>> stream = array_stream(jax.random.key(0), np.arange(12.0).reshape(6, 2))
    >>> stream.batch(step=0, size=3).x.shape
    (3, 2)
    """
    checked = {"x": activations("activations", x)}
    if y is not None:
        checked["y"] = activations("targets", y)
        if len(y) != len(x):
            raise ConfigError(f"targets must be one row per example: {len(x)}; got {len(y)}")
    source = ArrayActivations(len(x), x.shape[1], None if y is None else y.shape[1])
    return Stream(
        source, {"words": key_words(key), **{k: jnp.asarray(native(v)) for k, v in checked.items()}}
    )


def activations(name: str, array: np.ndarray) -> np.ndarray:
    """The array as it is, in either byte order, or ConfigError naming the first fault."""
    validate.instance(name, array, (np.ndarray, np.generic, jax.Array))
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] == 0:
        raise ConfigError(f"{name} must be (examples, width), both at least 1; got shape {array.shape}")
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise ConfigError(f"{name} {no_numbers(array.dtype)}")
    low, high = np.inf, -np.inf
    for start in range(0, len(array), rows := max(1, 2**22 // array.shape[1])):
        stored = array[start : start + rows]
        with np.errstate(over="ignore"):  # said below, as what it is
            block = np.asarray(stored, np.float32)
        finite = np.isfinite(block)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value = stored[row, column]
            if np.isfinite(value):
                raise too_large(name, abs(float(value)))
            raise ConfigError(f"{name} must be finite; row {start + row}, column {column} is {value}")
        low, high = min(low, block.min()), max(high, block.max())
    if low == high:
        raise _constant(name, array, low)
    if (peak := max(-low, high)) > LARGE:
        raise too_large(name, peak)
    if peak < SMALL:
        raise too_small(name, peak)
    return array


def _constant(name: str, array: np.ndarray, value: float) -> ConfigError:
    """Why there is nothing to learn from an array that is one number in float32."""
    low, high = float(array.min()), float(array.max())
    if low == high:
        return ConfigError(f"{name} are constant (all {low:g}): there is nothing to learn from them")
    if max(-low, high) < SMALL:
        return too_small(name, max(-low, high))
    return ConfigError(
        f"{name} lie between {low!r} and {high!r}, which are one number in float32; subtract their mean"
    )
