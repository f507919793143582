"""Settings of an experiment, checked before anything runs against the range that each field declares in its type.

A number in a Config is annotated with one of the types below, alone or inside a tuple; `check` refuses a Config
with a plain `int` or `float`, so that no setting goes unchecked. Relations between fields stand in `__post_init__`.
"""

import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from superposition._internal import validate
from superposition.errors import ConfigError


@dataclass(frozen=True)
class Whole:
    """Integers of at least `least`; None means any integer."""

    least: int | None

    def check(self, name: str, value: Any) -> None:
        """ConfigError, naming the field, unless `value` is such an integer."""
        if self.least is not None:
            validate.integer(name, value, self.least)
        elif isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{name} must be an integer; got {value!r}")


@dataclass(frozen=True)
class Real:
    """Finite numbers between `low` and `high`, either of which may be left out of the range."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    not_high: str = ""
    """Why `high` itself is refused; empty where it is accepted."""

    def check(self, name: str, value: Any) -> None:
        """ConfigError, naming the field, unless `value` is such a number."""
        if (self.low, self.high) == (-math.inf, math.inf):
            validate.number(name, value)
            return
        validate.in_range(name, value, self.low, self.high, open_low=self.open_low)
        if self.not_high and value == self.high:
            low = "(" if self.open_low else "["
            raise ConfigError(
                f"{name} must lie in {low}{self.low:g}, {self.high:g}): {self.not_high}; got {value}"
            )


@dataclass(frozen=True)
class OneOf:
    """Names that `choices()` returns; a function, so that a Config does not import what it names."""

    choices: Callable[[], Sequence[str]]

    def check(self, name: str, value: Any) -> None:
        """ConfigError, naming the field, unless `value` is one of the names."""
        validate.choice(name, value, tuple(self.choices()))


def _architectures() -> Sequence[str]:
    from superposition.sae import ARCHITECTURES

    return tuple(name for name, kind in ARCHITECTURES.items() if kind.trains)


Count = Annotated[int, Whole(1)]
Index = Annotated[int, Whole(0)]
"""A seed, or a place in a list."""
Exponent = Annotated[int, Whole(None)]
Density = Annotated[float, Real(0, 1, open_low=True)]
Sparsity = Annotated[float, Real(0, 1, not_high="at 1 every input is zero")]
Positive = Annotated[float, Real(0, open_low=True)]
NotNegative = Annotated[float, Real(0)]
Number = Annotated[float, Real()]
"""Any finite number."""
Architecture = Annotated[str, OneOf(_architectures)]
"""The name of an SAE architecture that can be trained."""


def check(config: Any, prefix: str = "") -> None:
    """Every field of a Config has its type and lies in the range that the type declares, or ConfigError.

    Raises:
        ConfigError: a value that its field's type does not accept.
        TypeError: a field of a plain `int` or `float`, which declares no range.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if is_dataclass(value):
            check(value, f"{name}.")
        else:
            _value(name, value, hints[field.name], may_be_empty=_empty_by_default(config, field.name))


def _empty_by_default(config: Any, name: str) -> bool:
    """Whether the experiment itself leaves this field empty, so that an empty value means something."""
    kind = type(config)
    return any(getattr(make(), name) == () for make in (kind, getattr(kind, "quick", kind)))


def _value(name: str, value: Any, hint: Any, *, may_be_empty: bool = False) -> None:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return
        hint = next(one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is Annotated:
        for accepted in hint.__metadata__:
            if isinstance(accepted, Whole | Real | OneOf):
                accepted.check(name, value)
    elif get_origin(hint) is tuple:
        _entries(name, value, get_args(hint), may_be_empty)
    elif hint in (int, float):
        raise TypeError(
            f"{name} is a plain {hint.__name__}; give its type a range (experiments.lab.settings)"
        )


def _entries(name: str, value: Any, hints: tuple[Any, ...], may_be_empty: bool) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{name} must be a tuple of values; got {value!r}")
    if Ellipsis in hints:
        if not value and not may_be_empty:
            raise ConfigError(f"{name} needs at least one value; got none. Without it the default is taken")
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        raise ConfigError(f"{name} must be {len(hints)} values; got {len(value)}, {value!r}")
    for entry, hint in zip(value, hints, strict=True):
        _value(name, entry, hint)
