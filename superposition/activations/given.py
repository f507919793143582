"""What a user gives as data: a stream, or arrays that become one."""

from typing import Any

import jax
import numpy as np

from superposition.activations._base import Stream
from superposition.activations.array import array_stream
from superposition.errors import ConfigError


def as_stream(data: Any) -> Stream:
    """The stream itself, or one over an array (examples, d_in), or over two of them, (x, y).

    >>> import numpy as np
    >>> from superposition.activations import as_stream
    >>> as_stream((np.eye(4), np.ones((4, 2)) * np.arange(4.0)[:, None])).source
    ArrayActivations(n_examples=4, width=4, target_width=2)
    """
    if isinstance(data, Stream):
        return data
    key = jax.random.key(0)
    if isinstance(data, tuple | list) and len(data) == 2 and all(np.ndim(part) == 2 for part in data):
        return array_stream(key, *data)
    if not hasattr(data, "shape"):
        raise ConfigError(
            "data must be a stream of activations (toy.activations(), array_stream, planted_stream, lm_stream ...) or an"
            f" array (examples, d_in); got {type(data).__name__}"
        )
    return array_stream(key, data)
