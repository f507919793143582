"""Broadcasting that is meant says so: tests forbid arrays of unlike rank to be combined silently."""

from typing import Any

import jax.numpy as jnp
import numpy as np


def lead(v: Any, like: Any) -> Any:
    """V (..., d) with axes of length 1 in front, until it has as many as `like`; numbers are left as they are."""
    missing = np.ndim(like) - np.ndim(v)
    return v if np.ndim(v) == 0 or missing <= 0 else jnp.expand_dims(v, tuple(range(missing)))
