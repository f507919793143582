"""Rotary positions, half-rotation, with the angles in float32 (Su et al. 2021, arXiv:2104.09864)."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.errors import ConfigError
from superposition.llm.spec import Rotary


def frequencies(rotary: Rotary) -> np.ndarray:
    """Angle per position of each pair of dimensions, (dims / 2,) float32.

    $theta^{-2i / dims}$; "linear" divides all by the factor, "llama3" only wavelengths beyond the original
    context, with a smooth crossing between the two wavelengths it names (Llama 3.1).
    Raises ConfigError for a scaling that is not known.
    """
    inverse = 1.0 / rotary.theta ** (np.arange(0, rotary.dims, 2, dtype=np.float32) / np.float32(rotary.dims))
    inverse = inverse.astype(np.float32)
    if not rotary.scaling:
        return inverse
    kind, *numbers = rotary.scaling
    values = [float(n) for n in numbers]
    if kind == "linear":
        return (inverse / np.float32(values[0])).astype(np.float32)
    if kind != "llama3":
        raise ConfigError(f"rotary scaling must be linear or llama3; got {kind!r}")
    factor, low, high, original = values
    wavelength = 2 * math.pi / inverse
    smooth = np.clip((original / wavelength - low) / (high - low), 0.0, 1.0)
    return ((1 - smooth) * inverse / factor + smooth * inverse).astype(np.float32)


def rotate(x: Array, positions: Array, rotary: Rotary) -> Array:
    """X (batch, pos, head, d_head) turned by its positions (batch, pos); dimensions beyond `dims` stay."""
    # A product, never a matmul.
    angles = positions.astype(jnp.float32)[..., None] * frequencies(rotary)[None, None]
    cos, sin = (f(angles).astype(x.dtype)[:, :, None, :] for f in (jnp.cos, jnp.sin))
    half = rotary.dims // 2
    a, b = x[..., :half], x[..., half : rotary.dims]
    turned = [a * cos - b * sin, b * cos + a * sin]
    return jnp.concatenate([*turned, x[..., rotary.dims :]], -1)
