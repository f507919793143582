"""Rows on their way into a cache: their order, whether they are finite, their norms."""

import numpy as np

from superposition.activations.cache.manifest import POSITION, SEQUENCE
from superposition.errors import ConfigError

NORM_ROWS = 4096


def order_of(sequence: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Places as numbers in their order."""
    for name, n in ((SEQUENCE, sequence), (POSITION, position)):
        if n.ndim != 1 or n.dtype.kind not in "iu" or len(n) != len(sequence):
            raise ConfigError(f"{name} must be one integer a row; got {n.dtype} of shape {n.shape}")
        if len(n) and (n.min() < 0 or n.max() >= 2**31):
            raise ConfigError(f"{name} must lie in [0, 2^31); got {n.min()} to {n.max()}")
    return sequence.astype(np.int64) << 32 | position.astype(np.int64)


def check_finite(arrays: dict[str, np.ndarray], order: np.ndarray, part: slice) -> None:
    """ConfigError for the first number that is not finite in the dtype it is stored in."""
    for hook, whole in arrays.items():
        array = whole[part]
        if array.dtype.itemsize == 2:  # numpy is slow on these: all bits of the exponent set
            mask = np.uint16(0x7C00 if array.dtype == np.float16 else 0x7F80)
            bad = (np.ascontiguousarray(array).view(np.uint16) & mask) == mask
        else:
            bad = ~np.isfinite(array)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            place = divmod(int(order[part][row]), 2**32)
            raise ConfigError(
                f"{hook} must be finite as {array.dtype}; column {column} at (sequence, position) {place} is"
                f" {array[row, column]}"
            )


def norm_sum(array: np.ndarray) -> float:
    """Sum of the norms of all rows."""
    parts = (array[i : i + NORM_ROWS].astype(np.float32) for i in range(0, len(array), NORM_ROWS))
    return float(sum(np.sqrt(np.einsum("ij,ij->i", p, p, dtype=np.float64)).sum() for p in parts))
