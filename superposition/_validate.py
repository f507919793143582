"""Checks of settings at the border. Traced values pass: a sweep validates its axes before tracing."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from superposition.errors import ConfigError

MAX_SEED = 2**32


def is_concrete(value: Any) -> bool:
    """Whether a value can be looked at now (a number or a host array, not a JAX array or tracer)."""
    return not hasattr(value, "aval")


def number(name: str, value: Any) -> float:
    """A finite real number, or ConfigError."""
    try:
        if isinstance(value, bool | np.bool | str | bytes) or np.ndim(value) != 0 or np.iscomplexobj(value):
            raise TypeError("not one real number")
        result = float(value)
    except OverflowError as error:
        raise ConfigError(f"{name} must be a number below 1.8e308; got a larger integer") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a number; got {value!r}") from error
    if not math.isfinite(result):
        raise ConfigError(f"{name} must be finite; got {value!r}")
    return result


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An integer in [low, high), or ConfigError."""
    accepted = f"an integer >= {low}" if high is None else f"an integer in [{low}, {high})"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} must be {accepted}; got {value!r}")
    if value < low or (high is not None and value >= high):
        raise ConfigError(f"{name} must be {accepted}; got {value}")
    return int(value)


def positive(name: str, value: Any) -> float:
    """A number > 0, or ConfigError."""
    return one_in_range(name, value, 0.0, math.inf, open_low=True)


def in_range(
    name: str, value: Any, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Every entry of a setting, a number or a list, in [low, high] (or open at an end), or ConfigError.

    JAX arrays pass: a setting that is one has been batched or traced, and was looked at before.
    """
    if not is_concrete(value):
        return
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    entries = value if listed or (isinstance(value, np.ndarray) and value.ndim > 0) else [value]
    if len(entries) == 0 or (isinstance(value, np.ndarray) and value.ndim > 1):
        raise ConfigError(f"{name} must be a number or a non-empty list of numbers; got {value!r}")
    for entry in entries:
        x = number(name, entry)
        if not (low < x if open_low else low <= x) or not (x < high if open_high else x <= high):
            raise _outside(name, x, low, high, open_low, open_high)


def one_in_range(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> float:
    """A single number in [low, high] (or (low, high]), a JAX one too, or ConfigError."""
    result = number(name, value)
    in_range(name, result, low, high, open_low=open_low)
    return result


def between(name: str, value: Any, high: float = np.inf, low: float = 0.0, *, open_low: bool = False) -> None:
    """Every number finite and in [low, high] (or (low, high]), or ConfigError; any shape; traced values pass."""
    from jax.core import Tracer  # here, for `--help` does not wait for JAX

    if isinstance(value, Tracer):
        return
    try:
        x = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be numbers; got {value!r}") from error
    wrong = x[~(np.isfinite(x) & ((low < x) if open_low else (low <= x)) & (x <= high))]
    if wrong.size:
        raise _outside(name, wrong[0], low, high, open_low)


def _outside(
    name: str, x: float, low: float, high: float, open_low: bool, open_high: bool = False
) -> ConfigError:
    left = "(" if open_low else "["
    right = ")" if open_high or not math.isfinite(high) else "]"
    mend = ""
    if name.rpartition(".")[2] in ("density", "sparsity") and 1.01 < x <= 100:
        mend = f"; a share, not per cent: {x / 100:g}? (density = 1 - sparsity)"
    elif name.rpartition(".")[2] == "sparsity" and x == 1:
        mend = "; at 1 no feature is ever there (density = 1 - sparsity)"
    return ConfigError(f"{name} must lie in {left}{exact(low)}, {exact(high)}{right}; got {exact(x)}{mend}")


def exact(x: float) -> str:
    """A number in six digits where these are all of it, else in full: no two numbers look alike."""
    return f"{x:g}" if float(f"{x:g}") == x else repr(float(x))


def array(name: str, value: Any) -> Any:
    """A JAX array of real numbers, or ConfigError; traced values pass."""
    import jax.numpy as jnp

    try:
        result = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{name} must be an array of numbers; got {type(value).__name__}") from error
    if not jnp.issubdtype(result.dtype, jnp.number) or jnp.issubdtype(result.dtype, jnp.complexfloating):
        raise ConfigError(f"{name} must be an array of real numbers; got dtype {result.dtype}")
    return result


def length(name: str, value: Any, n: int) -> None:
    """A number, or a sequence of exactly n numbers, or ConfigError."""
    if np.ndim(value) == 1 and len(value) != n:
        raise ConfigError(f"{name} must be one number or {n} of them, one per feature; got {len(value)}")


def choice(name: str, value: Any, accepted: Sequence[str]) -> None:
    """One of the accepted names, or ConfigError."""
    if not isinstance(value, str) or value not in accepted:
        raise ConfigError(f"{name} must be one of {', '.join(accepted)}; got {value!r}")


def sizes(model: Any) -> None:
    """n_features and n_hidden of a toy model are integers >= 1."""
    integer("n_features", model.n_features, 1)
    integer("n_hidden", model.n_hidden, 1)
