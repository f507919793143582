"""What an optax transformation is, told from its functions: so that a run is not resumed by another one."""

import functools
import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from superposition._internal.sealed_json import digest
from superposition.errors import ConfigError

UNTOLD = "cannot be told"


def optimizer_digest(transformation: optax.GradientTransformation) -> str:
    """Sixteen digits of a SHA-256 of its functions' code and of all that they close over.

    Two that were made alike have the same, in any process of one version of Python and optax; another rate gives another.
    Where something in it has no value that a file could hold, the text says so by `UNTOLD` and the type's name.

    >>> import optax
    >>> optimizer_digest(optax.sgd(0.1)) == optimizer_digest(optax.sgd(0.1)) != optimizer_digest(optax.sgd(0.2))
    True
    """
    untold: list[str] = []
    text = _text(transformation, untold, ())
    return f"{UNTOLD}: {', '.join(sorted({*untold}))}" if untold else digest(text.encode())[:16]


def of_optimizer(run: Any) -> dict[str, str]:
    """What a run's config adds to its recipe, in which an optax transformation is but a name; nothing for a recipe."""
    if not isinstance(run.optimizer, optax.GradientTransformation):
        return {}
    return {"optimizer": optimizer_digest(run.optimizer)}


def refuse_untold(where: Any, config: Mapping[str, Any]) -> None:
    """ConfigError for resuming a run with an optimizer of which nobody can say whether it is the one of before."""
    said = config.get("optimizer", "")
    if said.startswith(UNTOLD):
        raise ConfigError(
            f"{where} cannot be continued: whether the optimizer is the one of before {said}; train in one go, or with"
            " AdamW or Adam"
        )


def _text(value: Any, untold: list[str], inside: tuple[int, ...]) -> str:
    """A value in words that another value has not; the types of those that have no words go to `untold`."""
    if id(value) in inside:
        return "itself"
    inside = (*inside, id(value))

    def tell(part: Any) -> str:
        return _text(part, untold, inside)

    if isinstance(value, str | bytes | int | float | complex | bool | type(None) | type(...)):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{digest(array.tobytes())}"
    if isinstance(value, tuple | list):
        return f"{type(value).__qualname__}({', '.join(map(tell, value))})"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(tell, value)))}}}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{tell(k)}: {tell(v)}' for k, v in value.items())}}}"
    if isinstance(value, functools.partial):
        return f"partial({tell(value.func)}, {tell(value.args)}, {tell(value.keywords)})"
    if isinstance(value, types.CodeType):
        return f"code({digest(value.co_code)}, {tell(value.co_names)}, {tell(value.co_consts)})"
    if isinstance(value, types.FunctionType):
        return _function(value, tell)
    if hasattr(value, "__wrapped__"):
        return tell(value.__wrapped__)
    if isinstance(value, types.ModuleType | np.ufunc):
        return value.__name__
    if isinstance(value, type) or (isinstance(value, types.BuiltinFunctionType) and value.__module__):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, np.dtype):
        return str(value)
    untold.append(type(value).__qualname__)
    return ""


def _function(value: types.FunctionType, tell: Any) -> str:
    """Its name, its code, and what it closes over; of the library's own, the name stands for the code."""
    name = f"{value.__module__}.{value.__qualname__}"
    cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
    parts = [tell(cells), tell(value.__defaults__), tell(value.__kwdefaults__)]
    if value.__module__.split(".")[0] not in ("optax", "jax", "numpy"):
        numbers = {
            key: value.__globals__[key]
            for key in value.__code__.co_names
            if isinstance(value.__globals__.get(key), int | float | str | tuple)
        }
        parts += [tell(value.__code__), tell(numbers)]
    return f"{name}({', '.join(parts)})"
