"""What a sweep was: its recipe as JSON, the versions that ran it, and how two recipes differ."""

import json
import platform
import re
from dataclasses import fields, is_dataclass
from typing import Any

import jax

from superposition._version import __version__


def recipe(value: Any) -> Any:
    """A recipe as JSON: its class and fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"recipe": type(value).__name__} | {
            f.name: recipe(getattr(value, f.name)) for f in fields(value)
        }
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return [recipe(v) for v in value]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # functions: their names, not where they lie today


def provenance() -> dict[str, str]:
    """Versions and device of this process."""
    return {
        "superposition": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": f"{jax.default_backend()}: {jax.devices()[0].device_kind}",
    }


def differences(stored: Any, wanted: Any, where: str = "") -> list[str]:
    """One line for every setting that two configs disagree on."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted({*stored, *wanted})
            for line in differences(stored.get(key), wanted.get(key), f"{where}.{key}".removeprefix("."))
        ]
    return [] if stored == wanted else [f"{where} is {_short(stored)} there and {_short(wanted)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
