"""Draws features as directions in the plane, as in the figure that opens Toy Models of Superposition."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from superposition.errors import ConfigError
from superposition.plot.models import toy_models
from superposition.plot.style import (
    CREAM,
    DASHES,
    FRAME,
    INK,
    Figure,
    fitted,
    grid,
    hatched,
    place,
    quote,
    styled,
)

SIDE, GAP, MARGIN = 2.8, 0.44, 0.15  # inches
REPRESENTED, ABSENT = 0.5, 0.1  # norms above and below which a feature counts as there, or as mapped to zero


def features_2d(
    W: Any,
    importance: np.ndarray | None = None,
    titles: Sequence[str | float] | None = None,
    annotate: bool = False,
) -> Figure:
    """Draw panels of feature directions in the plane (Elhage et al. 2022, introduction).

    Args:
        W: a sweep of models with n_hidden = 2 (the best seed of every setting has a panel), a trained toy model or
            several, or an array of weights (panels, 2, n).
        importance: importance of the features (n,), which colours them. Models bring their own.
        titles: one a panel; a number is a density. Models bring their own.
        annotate: points out a right angle, features at zero, and interference, where they are.

    Raises:
        ConfigError: shapes that do not fit each other.

    Example:
        >>> figure = features_2d(np.array([[[1.0, -1.0], [0.0, 0.0]]]), importance=np.ones(2), titles=["An antipodal pair"])
        >>> len(figure.axes)
        1
    """
    models = toy_models(W)
    if models is not None:
        W = models.W
        importance = models.importance_base ** np.arange(W.shape[2]) if importance is None else importance
        titles = models.titles if titles is None else titles
    elif importance is None or titles is None:
        raise ConfigError(
            "weights need importance and titles beside them: features_2d(W, importance, titles), or give a sweep"
        )
    W = grid(W, "W", (None, 2, None))
    panels, _, n = W.shape
    importance = grid(importance, "importance", (n,))
    if len(titles) != panels:
        raise ConfigError(f"{len(titles)} titles for {panels} panels; give one title a panel.")
    # A feature that diverged to infinity is no more drawable than one that is not a number.
    W = np.where(np.isfinite(W).all(axis=1, keepdims=True), W, np.nan)
    importance = np.nan_to_num(importance, nan=0.0, posinf=0.0, neginf=0.0)
    colours = colormaps["viridis"](importance / max(importance.max(), np.finfo(float).tiny))
    # The paper leaves a third of a unit around unit vectors; longer features push every frame out alike.
    limit = 1.35 * max(1.0, float(np.nan_to_num(np.linalg.norm(W, axis=1)).max()))
    with styled():
        figure = Figure(figsize=(2 * MARGIN + panels * (SIDE + GAP) - GAP, SIDE + 0.7), facecolor="white")
        notes: list[_Note] = [_right_angle, _maps_to_zero, _interference] if annotate else []
        for k, title in enumerate(titles):
            x = MARGIN + k * (SIDE + GAP)
            axes = place(figure, x, MARGIN, SIDE, SIDE)
            _panel(axes, W[k], colours, limit)
            # As in the paper, each thing is said once: by the first panel that shows it.
            notes = [note for note in notes if not note(axes, W[k], importance)]
            words = title if isinstance(title, str) else f"1 - S = {title:g}"
            line = fitted(words, 12, 72 * (SIDE + GAP - 0.1), "bold")
            quote(figure, x, MARGIN + SIDE + 0.33, line, 12, weight="bold", color="#555555", va="center")
    return figure


def _panel(axes: Axes, W: np.ndarray, colours: np.ndarray, limit: float) -> None:
    """Draw one cream panel with dashed axes, and a line and a dot for each feature; W is (2, n)."""
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), facecolor=CREAM, aspect="equal")
    axes.spines[:].set(visible=True, color=FRAME, linewidth=1.2)
    axes.axhline(0, color=DASHES, linewidth=1, dashes=(5, 4), zorder=1)
    axes.axvline(0, color=DASHES, linewidth=1, dashes=(5, 4), zorder=1)
    axes.plot(0, 0, "o", color="#999999", markersize=5, zorder=4.2)
    if np.isnan(W).any():
        hatched(axes)
    for i, (x, y) in enumerate(W.T):
        # A darker edge keeps the yellow of the most important feature visible on cream, in a bright room too.
        edge = 0.8 * colours[i, :3]
        axes.plot([0, x], [0, y], color=edge, linewidth=4.2, solid_capstyle="round", zorder=3)
        axes.plot(
            [0, x],
            [0, y],
            color=colours[i],
            linewidth=3.2,
            solid_capstyle="round",
            zorder=4,
            gid=f"feature-{i}",
        )
        axes.plot(
            x, y, "o", color=colours[i], markersize=10.5, markeredgecolor=edge, markeredgewidth=0.5, zorder=5
        )


# A note draws what it finds in W (2, n) with importance (n,), and says whether it found anything.
_Note = Callable[[Axes, np.ndarray, np.ndarray], bool]


def _right_angle(axes: Axes, W: np.ndarray, importance: np.ndarray) -> bool:
    """Mark the right angle between the only two features represented, if they are orthogonal."""
    norms = np.linalg.norm(W, axis=0)
    there = np.flatnonzero(norms > REPRESENTED)
    if len(there) != 2:
        return False
    a, b = (W[:, there] / norms[there]).T
    if abs(a @ b) > 0.1:
        return False
    size = 0.13 * axes.get_xlim()[1]
    corner = size * np.stack([a, a + b, b])
    axes.plot(
        *corner.T, color="#222222", linewidth=1.6, solid_joinstyle="miter", zorder=2.5, gid="right-angle"
    )
    return True


def _maps_to_zero(axes: Axes, W: np.ndarray, importance: np.ndarray) -> bool:
    """Write beside the origin, where no feature is, if the features at zero are the less important ones."""
    norms = np.linalg.norm(W, axis=0)
    absent, there = norms < ABSENT, norms > REPRESENTED
    if not (absent.any() and there.any()) or importance[absent].max() > importance[there].min():
        return False
    limit = axes.get_xlim()[1]
    half = limit * np.array([0.44, 0.21])
    across, up = np.linspace(-half[0], half[0], 9), np.linspace(-half[1], half[1], 5)
    box = np.array(list(product(across, up)))
    # Upper right first, as in the paper; another corner only where that one is taken.
    spots = [limit * np.array(spot) for spot in product((0.53, -0.53, 0.0), (0.42, -0.42, 0.7, -0.7))]
    best = max(spots, key=lambda spot: min(_clearance(box + spot, W, limit), 0.1 * limit))
    if _clearance(box + best, W, limit) < 0.04 * limit:
        return False
    start = best + np.sign(-best) * half * (0.75, 1.0)
    end = start * 0.085 * limit / np.linalg.norm(start)
    axes.plot(*np.stack([start, end]).T, color="#777777", linewidth=1.2, zorder=2.5)
    words = "Less important\nfeatures map\nto zero."
    middle: dict[str, Any] = {"ha": "center", "va": "center", "multialignment": "left", "linespacing": 1.2}
    axes.text(best[0], best[1], words, fontsize=10, color=INK, gid="maps-to-zero", **middle)
    return True


def _interference(axes: Axes, W: np.ndarray, importance: np.ndarray) -> bool:
    """Draw the projection of an important feature onto one it interferes with, labelled on its free side."""
    norms = np.linalg.norm(W, axis=0)
    there = np.flatnonzero(norms > REPRESENTED)
    limit = axes.get_xlim()[1]
    half = 0.3 * limit  # of the label's length
    best, least = None, 0.045 * limit
    for i in there[np.argsort(-importance[there], kind="stable")]:
        for j in there:
            along = W[:, j] / norms[j]
            cosine = float(along @ W[:, i] / norms[i])
            if i == j or not 0.1 < cosine < 0.9:
                continue
            foot = (along @ W[:, i]) * along
            run = W[:, i] - foot
            for side in (1, -1):
                up = run / np.linalg.norm(run)
                # It starts clear of the line projected onto, and runs beside the dotted one.
                centre = foot + (half + 0.06 * limit) * up + side * 0.11 * limit * along
                label = centre + np.linspace(-half, half, 15)[:, None] * up
                room = _clearance(label, W, limit)
                if room > least and np.abs(label).max() < 0.95 * limit:
                    best, least = (W[:, i], foot, up, centre), room
        if best:
            break
    if not best:
        return False
    tip, foot, up, centre = best
    dotted = (0, (0.8, 0.8))
    axes.plot(*np.stack([tip, foot]).T, color="black", linewidth=2, ls=dotted, zorder=4.5, gid="interference")
    slope = (np.degrees(np.arctan2(up[1], up[0])) + 90) % 180 - 90  # never upside down
    turned: dict[str, Any] = {"rotation": slope, "rotation_mode": "anchor", "ha": "center", "va": "center"}
    axes.text(centre[0], centre[1], "Interference", fontsize=9.5, color=INK, **turned)
    return True


def _clearance(points: np.ndarray, W: np.ndarray, limit: float) -> float:
    """Return the distance from points (k, 2) to the nearest feature line, or to the edge of its dot; W is (2, n)."""
    lines = np.linspace(0, 1, 41)[:, None, None] * np.nan_to_num(W.T)
    gaps = np.linalg.norm(points[:, None, None, :] - lines, axis=-1)
    return float(min(gaps.min(), gaps[:, -1].min() - 0.055 * limit))
