r"""Two features in one number by quantising one of them, against a linear code (Elhage et al. 2022, appendix).

x is cut into `levels` = Z steps and y written between them, t = (s(Z x) + y) / Z; read back as x' = (s(Z t) + c)
/ Z and y' = Z t - s(Z t). s is the floor function, or, as networks make no jumps, the floor function with every
jump replaced by a straight segment `width` wide in x and in t, centred on it. The paper gives the scheme, not
where its segments lie, nor c: c = 0 is the floor function inverted as it stands, c = None the best constant.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.theory.closed_forms import variance

_FEW, _MANY = (
    np.polynomial.legendre.leggauss(k) for k in (4, 16)
)  # cubics integrate exactly; smooth functions


class CompressionError(NamedTuple):
    """Expected squared errors of x and of y."""

    x: float
    y: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.x + self.y


def staircase(z: Any, levels: int, width: float = 0.0) -> np.ndarray:
    """Floor of z in [0, Z] with jumps at 1 ... Z - 1 made segments of slope 1 / (Z width); the top is Z - 1."""
    z, (levels, width) = np.asarray(z, float), _scheme(levels, width)
    if width == 0 or levels == 1:
        return np.clip(np.floor(z), 0, levels - 1)
    nearest = np.clip(np.round(z), 1, levels - 1)
    return np.asarray(nearest - 1 + np.clip((z - nearest) / (levels * width) + 0.5, 0, 1))


def encode(x: Any, y: Any, levels: int, width: float = 0.0) -> np.ndarray:
    """Both in one number, t = (s(Z x) + y) / Z, in [0, 1] for x and y in [0, 1]."""
    return np.asarray((staircase(levels * np.asarray(x, float), levels, width) + y) / levels)


def decode(t: Any, levels: int, width: float = 0.0, constant: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Read back both, x' = (s(Z t) + c) / Z and y' = Z t - s(Z t)."""
    z = levels * np.asarray(t, float)
    step = staircase(z, levels, width)
    return (step + constant) / levels, z - step


def compression_error(
    levels: int, width: float = 0.0, *, density: float = 1.0, constant: float | None = None
) -> CompressionError:
    """E (x - x')^2 and E (y - y')^2, x and y independent, zero with probability 1 - density, else uniform on [0, 1].

    Integrated piece by piece, each a polynomial: exact to rounding. With width 0 and the best constant x costs
    Var(x) / Z^2 and y nothing. Raises ConfigError unless levels >= 1, 0 <= width <= 1 / levels, 0 < density <= 1.
    """
    levels, width = _scheme(levels, width)
    density = validate.number("density", density)
    validate.in_range("density", density, 0.0, 1.0, open_low=True)
    constant = None if constant is None else validate.number("constant", constant)
    jumps, half = np.arange(1, levels), levels * width / 2
    # Within a segment the level is j - 1 + f; where y's own edges cross those of the level the pieces change.
    splits = [-half, half, *(half * (2 * f - 1) for f in (half, 1 - half) if width > 0)]
    edges = np.concatenate([[0, levels], *(jumps + s for s in splits)]) / levels
    x, x_weight = _with_zero(_pieces(np.unique(np.clip(edges, 0, 1))), density)
    level = staircase(levels * x, levels, width)
    borders = np.concatenate([np.zeros(1), np.ones(1), *(jumps + s for s in (-half, half))])
    inner = np.clip(borders[None, 2:] - level[:, None], 0, 1)
    rows = np.sort(np.concatenate([np.zeros((len(x), 1)), inner, np.ones((len(x), 1))], 1), 1)
    y, y_weight = _with_zero(_pieces(rows), density)
    z = level[:, None] + y
    step = staircase(z, levels, width)
    weight = x_weight[:, None] * y_weight
    missing = x[:, None] - step / levels
    mean, square = float((weight * missing).sum()), float((weight * missing**2).sum())
    c = mean if constant is None else constant / levels
    return CompressionError(square - 2 * c * mean + c**2, float((weight * (y - (z - step)) ** 2).sum()))


def noisy_error(levels: int, noise: float) -> CompressionError:
    """Errors of the scheme with jumps, dense x and y, when normal noise of standard deviation `noise` is added to t.

    Read back with c = 1/2 and y' kept within [0, 1]. One integral over y is left, of normal moments, done to 1e-9.
    Raises ConfigError unless levels >= 1 and noise > 0.
    """
    levels, _ = _scheme(levels, 0.0)
    noise = validate.number("noise", noise)
    validate.in_range("noise", noise, 0.0, math.inf, open_low=True)
    spread = levels * noise
    near = spread * 2.0 ** np.arange(-1, 12)
    near = near[near < 0.5]
    y, y_weight = _pieces(np.concatenate([[0.0], near, [0.5], 1 - near[::-1], [1.0]]), _MANY)
    k = np.arange(levels)
    sent = k[:, None] + y[None]
    low, high = k[:, None, None] - sent, k[:, None, None] + 1 - sent  # (read level, sent level, y)
    alpha, beta = low / spread, high / spread
    inside = ndtr(beta) - ndtr(alpha)
    below, above = ndtr(alpha[0]), ndtr(-beta[-1])
    density = [np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (alpha, beta)]
    off = (k[None, :] - k[:, None])[..., None]
    y_error = (
        off**2 * inside
        + 2 * off * spread * (density[0] - density[1])
        + spread**2 * (inside + alpha * density[0] - beta * density[1])
    ).sum(0) + y**2 * below + (1 - y) ** 2 * above  # fmt: skip
    inside[0] += below
    inside[-1] += above
    x_error = ((off**2 + 1 / 12) * inside).sum(0) / levels**2
    return CompressionError(*(float((e @ y_weight).mean()) for e in (x_error, y_error)))


def linear_error(density: Any = 1.0, noise: Any = 0.0) -> np.ndarray:
    """The least error of x and y together from t = a x + (1 - a) y + noise, t in [0, 1], by the best affine readout.

    Var (1 + noise^2 / (Var + noise^2)), Var = p / 3 - p^2 / 4: at a = 0 or 1, that is, one of the two is sent.
    Without noise every a is as good, the average among them: 1/12 when dense. Raises ConfigError unless
    0 < density <= 1 and noise >= 0.
    """
    validate.between("density", density, 1.0, open_low=True)
    validate.between("noise", noise)
    v = variance(density)
    return np.asarray(v + v * np.asarray(noise, float) ** 2 / (v + np.asarray(noise, float) ** 2))


def _scheme(levels: int, width: float) -> tuple[int, float]:
    levels = validate.integer("levels", levels, 1)
    width = validate.number("width", width)
    if not 0 <= width <= 1 / levels:
        raise ConfigError(f"width must lie in [0, 1 / levels] = [0, {1 / levels:.4g}]; got {width:g}")
    return levels, width


def _pieces(edges: np.ndarray, rule: tuple[np.ndarray, np.ndarray] = _FEW) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes and weights between consecutive edges (..., k): (..., nodes (k - 1)) each."""
    start, length = edges[..., :-1, None], np.diff(edges)[..., None]
    shape = (*edges.shape[:-1], -1)
    return (start + length * (rule[0] + 1) / 2).reshape(shape), (length * rule[1] / 2).reshape(shape)


def _with_zero(rule: tuple[np.ndarray, np.ndarray], density: float) -> tuple[np.ndarray, np.ndarray]:
    """A rule for the uniform law made one for the law that is 0 with probability 1 - density."""
    at, weight = rule
    lead = np.zeros((*at.shape[:-1], 1))
    return np.concatenate([lead, at], -1), np.concatenate([lead + 1 - density, density * weight], -1)
