"""Checks of a Config's `__post_init__`: relations between settings, and the values that claims are made at."""

from collections.abc import Sequence
from typing import Any

from superposition.errors import ConfigError


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
    """There are at least so many values, or ConfigError: what is drawn as a curve or compared needs them."""
    if len(values) < least:
        raise ConfigError(f"{name} needs {least} values or more; got {len(values)}")


def below(name: str, value: float, other: str, bound: float) -> None:
    """One setting is less than another, or ConfigError."""
    if not value < bound:
        raise ConfigError(f"{name} must be less than {other}, {bound:g}; got {value:g}")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in values) or "none"
