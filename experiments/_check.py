"""Settings of an experiment, checked before anything runs, by type and by name: a new experiment adds nothing here.

What only one experiment needs, and relations between fields, stand in its Config's `__post_init__`.
"""

import math
import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from superposition._internal import validate
from superposition.errors import ConfigError

LEAST = {"seed": 0, "random_seed": 0, "shown": 0, "longer": 0}
"""Integers that may be less than 1, and how small: seeds and indices."""
SIGNED = ("penalty_steps", "full_penalty_steps")  # exponents
SHARES = ("density", "densities")  # and names that end in them
NAMED = ("architectures", "flat")  # architectures of SAEs
POSITIVE = ("learning_rate", "learning_rates", "importance_base", "l0", "ratios", "insets")
AT_LEAST_ZERO = ("attack", "training_attacks", "ratio", "effect", "inhibition", "hedging_penalty", "alpha")


def check(config: Any, prefix: str = "") -> None:
    """Every field of a Config is of its type and in the range its name asks for, or ConfigError."""
    hints = get_type_hints(type(config))
    for field in fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if is_dataclass(value):
            check(value, f"{name}.")
        else:
            _value(name, field.name, value, hints[field.name], may_be_empty=_left_empty(config, field.name))


def _left_empty(config: Any, name: str) -> bool:
    """Whether the experiment itself leaves this field empty, so that nothing means something."""
    kind = type(config)
    return any(getattr(make(), name) == () for make in (kind, getattr(kind, "quick", kind)))


def _value(name: str, key: str, value: Any, hint: Any, *, may_be_empty: bool = False) -> None:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return
        hint = next(one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is tuple:
        _entries(name, key, value, get_args(hint), may_be_empty)
    elif hint is int:
        _integer(name, key, value)
    elif hint is float:
        _float(name, key, value)
    elif hint is str and key in NAMED:
        from superposition.sae import ARCHITECTURES

        validate.choice(name, value, tuple(k for k, kind in ARCHITECTURES.items() if kind.trains))


def _entries(name: str, key: str, value: Any, hints: tuple[Any, ...], may_be_empty: bool) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{name} must be a tuple of values; got {value!r}")
    if Ellipsis in hints:
        if not value and not may_be_empty:
            raise ConfigError(f"{name} needs at least one value; got none. Without it the default is taken")
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        raise ConfigError(f"{name} must be {len(hints)} values; got {len(value)}, {value!r}")
    for entry, hint in zip(value, hints, strict=True):
        _value(name, key, entry, hint)


def _integer(name: str, key: str, value: Any) -> None:
    if key not in SIGNED:
        validate.integer(name, value, LEAST.get(key, 1))
    elif isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be an integer; got {value!r}")


def _float(name: str, key: str, value: Any) -> None:
    if key.endswith(SHARES):
        validate.in_range(name, value, 0, 1, open_low=True)
    elif key.endswith(POSITIVE):
        validate.in_range(name, value, 0, math.inf, open_low=True)
    elif key in AT_LEAST_ZERO:
        validate.in_range(name, value, 0, math.inf)
    elif key == "sparsities":
        validate.in_range(name, value, 0, 1)
        if value == 1:
            raise ConfigError(f"{name} must lie in [0, 1): at 1 every input is zero; got 1")
    else:
        validate.number(name, value)


def includes(name: str, values: Sequence[float], *needed: float) -> None:
    """Every value a claim is made at is among `values`, or ConfigError."""
    if any(one not in values for one in needed):
        wanted = ", ".join(f"{one:g}" for one in needed)
        raise ConfigError(f"{name} must include {wanted}, where claims are made; got {_listed(values)}")


def reaches(name: str, values: Sequence[float], low: float, high: float) -> None:
    """Some value lies where a claim looks, in [low, high], or ConfigError."""
    if not any(low <= one <= high for one in values):
        raise ConfigError(
            f"{name} must have a value in [{low:g}, {high:g}], where a claim looks; got {_listed(values)}"
        )


def several(name: str, values: Sequence[Any], least: int = 2) -> None:
    """At least so many values, or ConfigError: what is drawn as a curve or compared needs them."""
    if len(values) < least:
        raise ConfigError(f"{name} needs {least} values or more; got {len(values)}")


def below(name: str, value: float, other: str, bound: float) -> None:
    """One setting is less than another, or ConfigError."""
    if not value < bound:
        raise ConfigError(f"{name} must be less than {other}, {bound:g}; got {value:g}")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in values) or "none"
