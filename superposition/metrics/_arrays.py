"""Arrays at the border of the metrics: kind, shape and finiteness, checked once.

NumPy input is computed in float64 on the host; JAX input stays in JAX, at float32 or wider. Traced arrays have
their shapes checked, but not their values: a program that is being traced has none.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import dtypes

from superposition.errors import ConfigError


def namespace(*values: Any) -> Any:
    """`jax.numpy` if any value is a JAX array, else `numpy`."""
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


def traced(*values: Any) -> bool:
    """Whether any value is a tracer, which has a shape but nothing to look at."""
    return any(isinstance(value, jax.core.Tracer) for value in values)


def on_host(*values: Any) -> tuple[Any, ...]:
    """The values with JAX arrays as NumPy's, unless one of them is traced."""
    if traced(*values):
        return values
    return tuple(np.asarray(value) if isinstance(value, jax.Array) else value for value in values)


def matrix(xp: Any, name: str, value: Any, axes: str) -> Any:
    """A real, finite, non-empty two-dimensional array as floats of namespace xp, or ConfigError."""
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a matrix {axes}; got rows of unequal length") from error
    except MemoryError as error:
        raise ConfigError(f"{name} must be a matrix {axes}; got {value!r:.80}, too large to hold") from error
    real = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
    if not (real or array.dtype == bool):
        raise ConfigError(f"{name} must hold real numbers; got dtype {array.dtype}")
    if array.ndim != 2:
        raise ConfigError(
            f"{name} must be a matrix {axes}; got shape {array.shape}: reshape leading axes into one"
        )
    if 0 in array.shape:
        raise ConfigError(f"{name} must be a matrix {axes} with at least one entry; got shape {array.shape}")
    # Half precision cannot carry a sum over a batch.
    dtype = np.float64 if xp is np else dtypes.canonicalize_dtype(jnp.promote_types(array.dtype, jnp.float32))
    if traced(array):
        return xp.asarray(array, dtype)
    with jax.ensure_compile_time_eval():  # a constant of a program being traced can be looked at too
        floats = xp.asarray(array, dtype)
        bad = int((~xp.isfinite(floats)).sum())
    if bad:
        raise ConfigError(f"{name} must be finite; got {bad} NaN or infinite of {floats.size} entries")
    return floats


def same_shape(name: str, array: Any, other_name: str, other: Any) -> None:
    """Two arrays of one shape, or ConfigError."""
    if array.shape != other.shape:
        raise ConfigError(f"{name} and {other_name} must have one shape; got {array.shape} and {other.shape}")


def same_length(axis: str, dimension: int, **arrays: Any) -> None:
    """Arrays that agree along one axis, or ConfigError."""
    lengths = {name: array.shape[dimension] for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{n} in {name}" for name, n in lengths.items())
        raise ConfigError(f"{axis} must be the same in {' and '.join(lengths)}; got {got}")


def indices(xp: Any, name: str, value: Any, length: int, high: int) -> Any:
    """`length` integers in [-1, high), -1 for none, or ConfigError."""
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    accepted = f"{length} integers in [-1, {high}), -1 for no match"
    if array.shape != (length,) or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ConfigError(f"{name} must be {accepted}; got {array.dtype} of shape {array.shape}")
    if not traced(array) and ((np.asarray(array) < -1) | (np.asarray(array) >= high)).any():
        raise ConfigError(f"{name} must be {accepted}; got values from {array.min()} to {array.max()}")
    return xp.asarray(array)


def ratio(xp: Any, numerator: Any, denominator: Any) -> Any:
    """Numerator / denominator, 0 where the denominator is not positive."""
    defined = denominator > 0
    return xp.where(defined, numerator / xp.where(defined, denominator, 1), 0.0)
