"""A recipe as JSON, and what every format needs to know of one: its tensors, its width, its numbers."""

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superposition._internal import validate
from superposition._internal.arrays import native
from superposition.errors import ConfigError, CorruptError
from superposition.sae import ARCHITECTURES, SAE, Params
from superposition.sae.transforms import cut_to_width
from superposition.storage.formats._read import Arrays, Shapes
from superposition.storage.provenance import renamed

KEY = "superposition"  # where a config of another's format keeps what is ours alone
MAX_SIZE = 1 << 26  # d_in, d_sae, d_out


def shapes(sae: SAE) -> Shapes:
    """Name -> shape of the parameters of `sae`, by init_params itself (nothing is computed).

    Raises ConfigError for a recipe whose d_in is still to come from data.
    """
    validate.integer("d_in, the width of the data,", sae.d_in, 1)
    x, y = (jax.ShapeDtypeStruct((2, n), jnp.float32) for n in (sae.d_in, sae.target_width))
    params = jax.eval_shape(sae.init_params, jax.random.key(0), x, y)
    return {name: tuple(leaf.shape) for name, leaf in params.items()}


def describe(sae: SAE) -> dict[str, Any]:
    """{"recipe": name in ARCHITECTURES, "fields": JSON}; ConfigError for a recipe that is not listed there."""
    name = next((name for name, kind in ARCHITECTURES.items() if kind is type(sae)), None)
    if name is None:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(f"{type(sae).__name__} is not in ARCHITECTURES ({known}); list it there to save it")
    fields = {field.name: getattr(sae, field.name) for field in dataclasses.fields(sae)}
    return {"recipe": name, "fields": {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}}


def restore(path: Path, entry: Any, kinds: dict[type[SAE], dict[str, Any]]) -> SAE:
    """The recipe that `entry` describes if it is one of `kinds`, else the first of `kinds` by its defaults.

    `kinds` maps a class to the fields that the file's own config gives: they win, so that a file another program has
    changed is what that program made of it. Raises ConfigError naming `path` for all that does not fit.
    """
    fields: dict[str, Any] = {}
    kind = next(iter(kinds))
    if entry is not None:
        given, fields = _entry(path, entry)
        if given not in kinds:
            names = " or ".join(k.__name__ for k in kinds)
            raise ConfigError(f"{path}: {KEY} says {given.__name__} of what is a {names}; remove its entry")
        kind = given
    shared = kinds[kind]
    k = fields.get("k")
    fields = {**fields, **shared}
    if isinstance(k, float) and shared.get("k") in (math.floor(k), math.ceil(k)):
        fields["k"] = k  # the config of TopK has the integer that a fractional k acts as
    sizes = {"d_in": fields.get("d_in"), "d_sae": fields.get("d_sae"), "d_out": fields.get("d_out")}
    for name, value in sizes.items():
        if value is not None:
            build(path, validate.integer, name, value, 1, MAX_SIZE + 1)
    accepted = {field.name for field in dataclasses.fields(kind)}
    return build(path, kind, **{name: value for name, value in fields.items() if name in accepted})


def build(path: Path, function: Any, *args: Any, **kwargs: Any) -> Any:
    """What `function` makes, its ConfigError naming the file."""
    try:
        return function(*args, **kwargs)
    except (ConfigError, OverflowError) as error:
        raise ConfigError(f"{path}: {error}") from error


def typed(path: Path, config: dict[str, Any], name: str, hint: Any, default: Any = None) -> Any:
    """config[name] if it has the type `hint`, `default` if it is absent; else ConfigError."""
    value = config.get(name, default)
    options = typing.get_args(hint) or (hint,)
    if not any(_is(value, option) for option in options):
        raise ConfigError(f"{path}: {name} must be {getattr(hint, '__name__', hint)}; got {value!r:.80}")
    return value


def _entry(path: Path, entry: Any) -> tuple[type[SAE], dict[str, Any]]:
    """The class and checked fields of an entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("fields"), dict):
        raise ConfigError(f"{path}: {KEY} must be an object with recipe and fields; got {entry!r:.80}")
    if not isinstance(name := entry.get("recipe"), str) or name not in ARCHITECTURES:
        raise ConfigError(f"{path}: recipe must be one of {', '.join(ARCHITECTURES)}; got {name!r:.80}")
    kind = ARCHITECTURES[name]
    hints = typing.get_type_hints(kind)
    entry = {**entry, "fields": renamed(kind.__name__, entry["fields"])}
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := entry["fields"].keys() - known:
        raise ConfigError(
            f"{path}: {name} has no field {', '.join(sorted(unknown))[:200]}; write the file anew"
        )
    fields = {}
    for field, value in entry["fields"].items():
        options = typing.get_args(hints[field]) or (hints[field],)
        if not any(_is(value, option) for option in _flat(options, hints[field])):
            raise ConfigError(f"{path}: {name}.{field} must be {hints[field]}; got {value!r:.80}")
        fields[field] = tuple(value) if isinstance(value, list) else value
    return kind, fields


def _flat(options: tuple[Any, ...], hint: Any) -> tuple[Any, ...]:
    return (tuple,) if typing.get_origin(hint) is tuple else options


def _is(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a field's type; bool is no number, and Any is a number or nothing."""
    if hint is tuple or typing.get_origin(hint) is tuple:
        return isinstance(value, list) and all(type(v) is int for v in value)
    if hint is type(None):
        return value is None
    if type(value) is int and abs(value) >= 2**63:
        return False
    if hint is Any:
        return value is None or type(value) in (int, float)
    return type(value) in ((int, float) if hint is float else (hint,))


def checked(sae: SAE, params: Params) -> tuple[SAE, Arrays]:
    """Python numbers for a recipe's traced ones, float32 arrays of the right shapes, cut to `width`."""
    sae = _concrete(sae)
    describe(sae)
    expected = shapes(sae)
    if missing := params.keys() ^ expected.keys():
        raise ConfigError(f"params of {type(sae).__name__} are {sorted(expected)}; {sorted(missing)} differ")
    arrays = {name: native(np.asarray(params[name])) for name in expected}
    for name, array in arrays.items():
        if array.shape != expected[name] or array.dtype != np.float32:
            wanted = f"float32 of shape {expected[name]}"
            raise ConfigError(f"params[{name!r}] must be {wanted}; got {array.dtype} of shape {array.shape}")
        if not np.isfinite(array).all():
            raise ConfigError(f"params[{name!r}] must be finite to be saved")
        if name == "threshold" and array.size and array.min() < 0:
            raise ConfigError(f"params['threshold'] must be >= 0; got {array.min():g}")
    return cut_to_width(sae, arrays)


def _concrete(sae: SAE) -> SAE:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(sae):
        value = getattr(sae, field.name)
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            try:
                changes[field.name] = np.asarray(value).item()
            except (jax.errors.TracerArrayConversionError, ValueError) as error:
                raise ConfigError(f"{field.name} must be one number to be saved; got {value}") from error
    return dataclasses.replace(sae, **changes) if changes else sae


def loaded(path: Path, sae: SAE, arrays: Arrays) -> Params:
    """Arrays of a file as parameters of `sae`; CorruptError if they are not."""
    expected = shapes(sae)
    if (
        got := {n: a.shape for n, a in arrays.items() if a.shape != expected.get(n)}
        or expected.keys() ^ arrays
    ):
        raise CorruptError(f"{path}: expected {expected}, got {got}")
    return {name: jnp.asarray(arrays[name]) for name in expected}
