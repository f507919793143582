"""Uniform numbers as a function of (key words, step, position): nothing to carry, nothing to replay.

threefry is several times slower than the training step it would feed on a CPU, so the hot path hashes
a counter instead. Each number passes two rounds of a 32-bit mixer with two independent key words, and a
third supplies the low bits that float32 keeps for small values. Tested for moments, uniformity and
independence across positions, steps and seeds in tests/test_features.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition.typing import PRNGKey, Step, Words

GOLDEN = np.uint32(0x9E3779B9)
BELOW_ONE = np.float32(1 - 2**-24)


def mix(h: Array) -> Array:
    """A bijection of uint32 with low bias (xor-shift-multiply; constants: C. Wellons, "lowbias32")."""
    h = (h ^ (h >> 16)) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * np.uint32(0x846CA68B)
    return h ^ (h >> 16)


def key_words(key: PRNGKey) -> Words:
    """The two 32-bit words of a typed key; ConfigError for what is no such key.

    >>> import jax
    >>> from superposition import features
    >>> features.key_words(jax.random.key(7)).tolist()
    [0, 7]
    """
    validate.key("key", key)
    return jax.random.key_data(key).reshape(-1)[-2:].astype(jnp.uint32)


def uniform(
    words: Words, step: Step, shape: tuple[int, ...], *, cells_last: bool = False
) -> Float[Array, "..."]:
    """U[0, 1) of `shape`, with words (2,) or, to draw for many cells at once, words (cell, 2).

    Result `shape`, (cell, *shape) or (*shape, cell). Values near 0 keep float32's full relative
    resolution (u < 1e-4 still takes more than 2^23 values), so u / p is uniform for any density p.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from superposition import features
    >>> words = features.key_words(jax.random.key(0))
    >>> u = features.uniform(words, jnp.uint32(5), (2, 3))  # batch number 5 of this key: the same at every call
    >>> u.shape, bool((u < 1).all())
    ((2, 3), True)
    """
    word0, word1 = _stream(words, step)
    counter = jax.lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape)
    if word0.ndim and cells_last:
        counter = counter[..., None]
        word0, word1 = (lead(w, counter) for w in (word0, word1))
    elif word0.ndim:
        counter = counter[None]
        word0, word1 = (w.reshape(-1, *(1 for _ in shape)) for w in (word0, word1))
    return _hash(counter, word0, word1)


def uniform_at(words: Words, step: Array, position: Array) -> Array:
    """The numbers `uniform(words, step, shape)` holds at the given flat positions, without drawing the rest."""
    return _hash(position.astype(jnp.uint32), *_stream(words, step))


def substream(words: Words, number: int) -> Words:
    """The words of another stream of the same key, for another consumer within one step."""
    return mix(words + np.uint32(number * int(GOLDEN) % 2**32))


def _stream(words: Words, step: Array) -> tuple[Array, Array]:
    word0 = mix(mix(step.astype(jnp.uint32) + words[..., 0]) ^ words[..., 1])
    return word0, mix(word0 + GOLDEN) ^ words[..., 0]


def _hash(counter: Array, word0: Array, word1: Array) -> Array:
    bits = mix(mix(counter + word0) ^ word1)
    low = (mix(bits ^ GOLDEN) >> 8).astype(jnp.float32) * np.float32(2**-24)
    return jnp.minimum(((bits >> 8).astype(jnp.float32) + low) * np.float32(2**-24), BELOW_ONE)
