"""The files that an experiment writes: where they are, and how they are written."""

import json
import math
import os
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

FIGURES = Path("figures")
DIGITS = 7  # significant digits of a number in a JSON file


def plain(value: Any) -> Any:
    """Return `value` in the types that JSON has; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return rounded(np.asarray(value))
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def rounded(array: np.ndarray) -> Any:
    """Return an array as nested lists of numbers with `DIGITS` digits; NaN becomes null, which JSON has."""
    if array.ndim:
        return [rounded(row) for row in array]
    value = array.item()
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one instant."""
    write_text(path, json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one instant."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
