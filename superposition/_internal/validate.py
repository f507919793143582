"""Checks of settings at the border. Traced values pass: a sweep validates its axes before tracing."""

import dataclasses
import math
import numbers
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from superposition.errors import ConfigError

MAX_SEED = 2**32
LONGEST = 2**24  # entries of a list that is a setting
DIGITS = 80  # characters of a wrong value that a message shows


def is_traced(value: Any) -> bool:
    """Whether a value has a shape but nothing to look at: JAX is compiling."""
    jax = sys.modules.get("jax")  # without JAX there is nothing traced, and `--help` does not wait for it
    return jax is not None and isinstance(value, jax.core.Tracer)


def is_concrete(value: Any) -> bool:
    """Whether a value can be looked at now."""
    return not is_traced(value)


def settle(recipe: Any) -> None:
    """Give a frozen recipe Python's own numbers, so that it hashes, serialises and compares; or ConfigError.

    NumPy's and JAX's scalars and arrays without axes become numbers, lists and arrays of one axis tuples. Truth values
    must be True or False. A field that is no part of what is compared (`compare=False`) is left as it is.
    """
    for field in dataclasses.fields(recipe):
        if not field.compare:
            continue
        value = getattr(recipe, field.name)
        if is_traced(value):
            continue
        value = plain(value)
        if field.type is bool and not isinstance(value, bool):
            raise ConfigError(f"{field.name} must be True or False; got {shown(value)}")
        if field.type is float and type(value) is int:
            value = number(field.name, value)
        try:
            hash(None if any(map(is_traced, value if isinstance(value, tuple) else (value,))) else value)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{field.name} cannot be {shown(value)}; give one value, or a plain list"
            ) from error
        object.__setattr__(recipe, field.name, value)


def plain(value: Any) -> Any:
    """Python's number, or tuple of numbers, of an array or a list of them; anything else as it is."""
    if is_traced(value):
        return value
    if isinstance(value, np.generic | np.ndarray) or hasattr(value, "aval"):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):  # a JAX key
            return value
        if array.ndim > 1 or array.size > LONGEST or array.dtype.kind in "OSUVMm":
            return str(value) if isinstance(value, np.str_) else value
        return plain(array.astype(float) if array.dtype == np.longdouble else array.tolist())
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(plain(entry) for entry in value)
    if isinstance(value, range) and len(value) <= LONGEST:
        return tuple(value)
    return value


def shown(value: Any) -> str:
    """A wrong value as one line of a message, not too long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of too many digits, or an object that cannot say what it is
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= DIGITS else f"{text[:DIGITS]}..."


def number(name: str, value: Any) -> float:
    """A finite real number, or ConfigError."""
    value = plain(value)
    try:
        if isinstance(value, bool | complex) or not isinstance(value, numbers.Number):
            raise TypeError("not one real number")
        result = float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ConfigError(f"{name} must be a number below 1.8e308; got a larger integer") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a number; got {shown(value)}") from error
    if not math.isfinite(result):
        raise ConfigError(f"{name} must be finite; got {shown(value)}")
    return result


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An integer in [low, high), or ConfigError."""
    value = plain(value)
    accepted = f"an integer >= {low}" if high is None else f"an integer in [{low}, {high})"
    high = 2**63 if high is None else high  # beyond it no array can count
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
        raise ConfigError(f"{name} must be {accepted}; got {shown(value)}")
    return value


def memory(what: str, n_bytes: float, mend: str) -> None:
    """ConfigError where arrays of so many bytes would not fit into this machine."""
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    n_bytes = min(n_bytes, 10**300)
    if n_bytes > room:
        raise ConfigError(
            f"{what} would take {n_bytes / 1e9:.3g} GB of memory, and this machine has {room / 1e9:.3g} GB; give {mend}"
        )


def positive(name: str, value: Any) -> float:
    """A number > 0, or ConfigError."""
    return one_in_range(name, value, 0.0, math.inf, open_low=True)


def in_range(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
    many: bool = False,
) -> None:
    """A setting (or with `many` each of a list) is a number in [low, high], or open at an end; or ConfigError.

    Traced values pass: a setting that is one was looked at before.
    """
    if is_traced(value):
        return
    value = plain(value)
    if many and (not isinstance(value, tuple | numbers.Number) or (isinstance(value, tuple) and not value)):
        raise ConfigError(f"{name} must be a number or a non-empty list of numbers; got {shown(value)}")
    for entry in value if many and isinstance(value, tuple) else (value,):
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
    if is_traced(value):
        return
    try:
        x = np.asarray(value)
        if x.dtype.kind in "bcSUVMm":
            raise TypeError("not real numbers")
        x = x.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{name} must be numbers; got {shown(value)}") from error
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
    if is_traced(value) or np.ndim(value) == 0:
        return
    if np.ndim(value) > 1 or len(value) != n:
        raise ConfigError(f"{name} must be one number or {n} of them, one per feature; got {len(value)}")


def choice(name: str, value: Any, accepted: Sequence[str]) -> None:
    """One of the accepted names, or ConfigError."""
    if not isinstance(value, str) or value not in accepted:
        raise ConfigError(f"{name} must be one of {', '.join(accepted)}; got {shown(value)}")


def instance(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """An object of one of these kinds, or ConfigError."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.__name__ for k in kinds if k is not type(None))
        raise ConfigError(f"{name} must be of type {names}; got {shown(value)}")


def truth(name: str, value: Any) -> bool:
    """True or False, NumPy's and JAX's too, or ConfigError; a traced value passes."""
    value = plain(value)
    if not isinstance(value, bool) and not is_traced(value):
        raise ConfigError(f"{name} must be True or False; got {shown(value)}")
    return value


def key(name: str, value: Any) -> None:
    """One key of jax.random.key, or ConfigError; traced keys pass."""
    import jax

    if not (hasattr(value, "dtype") and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)):
        raise ConfigError(f"{name} must be a key, as jax.random.key(0) makes one; got {shown(value)}")


def sizes(model: Any) -> None:
    """n_features and n_hidden of a toy model are integers >= 1."""
    integer("n_features", model.n_features, 1)
    integer("n_hidden", model.n_hidden, 1)
    memory(
        f"a model of n_features={model.n_features} and n_hidden={model.n_hidden}",
        8 * model.n_features * (model.n_hidden + 1),
        "fewer of them",
    )
