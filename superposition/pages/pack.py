"""Columns of numbers as base64 of small integers, and words as references: what keeps a page small."""

import base64
from typing import Any

import numpy as np


class Dictionary:
    """Words in the order of their first use; a reference is a word's place among them."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def ref(self, word: str) -> int:
        """The place of a word, a new one at the end."""
        return self._places.setdefault(word, len(self._places))

    @property
    def words(self) -> list[str]:
        """All words."""
        return list(self._places)


def u8(array: Any, scale: float) -> str:
    """Values in [0, scale] as round(255 value / scale); scale 0 gives zeros."""
    return _packed(_scaled(array, scale, 255, 0), "u1")


def i8(array: Any, scale: float) -> str:
    """Values in [-scale, scale] as round(127 value / scale); scale 0 gives zeros."""
    return _packed(_scaled(array, scale, 127, -127), "i1")


def u16(array: Any) -> str:
    """Whole numbers below 2^16, little-endian."""
    return _packed(array, "<u2")


def u32(array: Any) -> str:
    """Whole numbers below 2^32, little-endian."""
    return _packed(array, "<u4")


def i32(array: Any) -> str:
    """Whole numbers in [-2^31, 2^31), little-endian."""
    return _packed(array, "<i4")


def number(value: Any, digits: int = 4) -> float | None:
    """A value to so many significant digits, None for one that is not finite (JSON has no NaN)."""
    return float(f"{value:.{digits}g}") if value is not None and np.isfinite(value) else None


def _scaled(array: Any, scale: float, high: int, low: int) -> np.ndarray:
    values = np.asarray(array, np.float64)
    return np.clip(np.rint(values * (high / scale) if scale else 0 * values), low, high)


def _packed(array: Any, dtype: str) -> str:
    values = np.asarray(array)
    packed = values.astype(dtype)
    assert (packed == values).all(), f"{values.min()} to {values.max()} do not fit {dtype}"
    return base64.b64encode(np.ascontiguousarray(packed).tobytes()).decode()
