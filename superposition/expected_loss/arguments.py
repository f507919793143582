"""Arguments of the exact losses: integers made floating, shapes checked, and values where they can be looked at now."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition._internal.arrays import native
from superposition.errors import ConfigError
from superposition.toy import ToyModel


def floating(value: Any) -> Array:
    """A floating array: integers, in which every loss would round to 0, become JAX's default float."""
    try:
        array = jnp.asarray(np.asarray(value) if isinstance(value, str) else native(value))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"parameters must be arrays of numbers; got {value!r}") from error
    return array.astype(jnp.result_type(array, 1.0))


def weights(params: Any) -> tuple[Array, Array]:
    """W (m, n) and b (n,) of `params`, floating, or ConfigError."""
    if not hasattr(params, "W") or not hasattr(params, "b"):
        raise ConfigError(
            f"params must have fields W (m, n) and b (n,); got {type(params).__name__}; give ToyParams(W, b)"
        )
    W, b = floating(params.W), floating(params.b)
    if W.ndim != 2 or W.shape[1] < 1 or b.shape != W.shape[1:]:
        raise ConfigError(
            f"W must be (m, n) and b (n,), n >= 1; got {W.shape} and {b.shape}; vmap over several models"
        )
    return W, b


def of_model(model: ToyModel, params: Any) -> Any:
    """Parameters of `model`, floating, or ConfigError where a field or its shape is not the model's."""
    wanted = {name: tuple(getattr(model, axis) for axis in axes) for name, axes in model.shapes.items()}
    got = {name: np.shape(getattr(params, name)) for name in wanted if hasattr(params, name)}
    if got != wanted:
        raise ConfigError(f"params of this {type(model).__name__} must have the fields {wanted}; got {got}")
    return params._replace(**{name: floating(getattr(params, name)) for name in wanted})


def numbers(name: str, value: Any, n: int, high: float = np.inf, of: str = "feature") -> None:
    """One number or n of them, each finite and in [0, high], or ConfigError; of traced values only the shape."""
    shape = _shape(name, value)
    if shape not in ((), (n,)):
        raise ConfigError(f"{name} must be one number or {n} of them, one per {of}; got shape {shape}")
    validate.between(name, value, high)


def weighing(name: str, value: Any, n: int) -> None:
    """One number or n of them that float32 can hold, each finite and >= 0, or ConfigError."""
    numbers(name, value, n, float(np.finfo(np.float32).max))


def _shape(name: str, value: Any) -> tuple[int, ...]:
    try:
        return tuple(np.shape(value))
    except ValueError as error:
        raise ConfigError(f"{name} must be numbers; got {value!r}, whose rows differ in length") from error
