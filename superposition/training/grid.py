"""Named axes of a grid, of toy models and of SAEs: which of them one program can carry, and which need a program each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.training.protocol import OneRun, Run


@dataclass(frozen=True)
class Axis:
    """One named axis; `carried` values live in arrays, the others are static and grouped by."""

    name: str
    values: tuple[Any, ...]
    carried: bool

    @property
    def is_vector(self) -> bool:
        """Whether each value is itself one number per feature."""
        return np.ndim(self.values[0]) == 1

    def coordinate(self) -> np.ndarray:
        """What labels the axis in the dataset: its values, or their index if they are vectors."""
        if self.is_vector:
            return np.arange(len(self.values))
        return np.array(self.values, dtype=object if isinstance(self.values[0], str) else None)


def coordinates(axes: Sequence[Axis]) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """What labels the axes in a store: name -> (dimensions, values); of vectors the numbers too, as NAME_values."""
    labels: dict[str, Any] = {axis.name: ((axis.name,), axis.coordinate()) for axis in axes}
    return labels | {
        f"{axis.name}_values": ((axis.name, f"{axis.name}_entry"), np.array(axis.values, float))
        for axis in axes
        if axis.is_vector
    }


def as_json(axes: Sequence[Axis]) -> dict[str, list[Any]]:
    """The axes as a store's attributes hold them."""
    return {a.name: [list(v) if isinstance(v, tuple) else v for v in a.values] for a in axes}


def parse(run: Run, axes: Mapping[str, Sequence[Any]]) -> list[Axis]:
    """Axes checked against the run, every value tried; ConfigError for an unknown name or a bad value."""
    validate.instance("axes", axes, Mapping)
    if not axes:
        raise ConfigError("axes must name at least one axis, as {'seed': range(10)}; got none")
    parsed = [_parse(run, name, values) for name, values in axes.items()]
    models = math.prod(len(axis.values) for axis in parsed)
    run.check_axes({axis.name: axis.values for axis in parsed}, models)
    for group in static_groups(run, parsed):
        for axis in parsed:
            if axis.carried:
                _try_values(group.run, axis)
    return parsed


def _parse(run: Run, name: Any, values: Any) -> Axis:
    carried = isinstance(name, str) and name in run.carried_axes()
    if not carried and name not in run.static_axes():
        accepted = ", ".join((*run.carried_axes(), *run.static_axes()))
        raise ConfigError(f"no axis named {validate.shown(name)}; accepted: {accepted}")
    if isinstance(values, np.ndarray) and values.ndim > 1:
        values = list(values)  # a vector is one value
    values = validate.plain(values)
    if not isinstance(values, tuple) or not values:
        raise ConfigError(f"axis {name} must be a non-empty list of values; got {validate.shown(values)}")
    if len({len(value) if isinstance(value, tuple) else -1 for value in values}) > 1:
        raise ConfigError(
            f"axis {name} must be all numbers, or all lists of one length; got {validate.shown(values)}"
        )
    return Axis(name, values, carried)


def _try_values(run: Run, axis: Axis) -> None:
    for value in axis.values:
        if axis.name == "seed":
            validate.integer("seed", value, 0, validate.MAX_SEED)
        elif value is None:
            raise ConfigError(f"axis {axis.name} must hold values; got None among them")
        else:
            run.at({axis.name: value})


@dataclass(frozen=True)
class Group(Generic[OneRun]):
    """One combination of static values: a run, and where on the static axes it stands."""

    run: OneRun
    index: dict[str, int]


def static_groups(run: OneRun, axes: list[Axis]) -> list[Group[OneRun]]:
    """Every combination of the static axes' values."""
    static = [axis for axis in axes if not axis.carried]
    groups = []
    for index in product(*(range(len(axis.values)) for axis in static)):
        changes = {axis.name: axis.values[i] for axis, i in zip(static, index, strict=True)}
        groups.append(Group(run.at(changes), {a.name: i for a, i in zip(static, index, strict=True)}))
    return groups
