"""Planes of trained models, coloured by set, at several densities."""

from collections.abc import Sequence

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.shared.planes import SET_COLOURS, SHAPES, plane, upright
from superposition.errors import ConfigError
from superposition.plot.style import DPI, MUTED, Figure, fitted, grid, place, quote, styled

SIDE = 1.55  # inches, a small plane


def draw(result: Result) -> Figure:
    """The exact minima as planes of features coloured by set."""
    four, six = result.arrays["W4"], result.arrays["W6"]
    W = np.full((3, four.shape[1], 2, 6), np.nan)
    W[:2, ..., :4] = four
    W[2] = six
    titles = [[f"1 − S = {p:g}" for p in result.config.densities]] * 3
    rows = (
        "2 sets of 2 correlated features",
        "2 sets of 2 anticorrelated features",
        "3 sets of 2 correlated features",
    )
    return by_set(W, (2, 2, 2), rows, titles)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    cosines = result.arrays["partners"]
    names = ("Two correlated pairs", "Two anticorrelated pairs", "Three correlated pairs")
    parts = [
        f"{name}: mean cosine of partners {', '.join(f'{c:.2f}' for c in row)}"
        for name, row in zip(names, cosines, strict=True)
    ]
    at = ", ".join(f"{p:g}" for p in result.config.densities)
    return f"Features in the plane at densities {at}, coloured by set. " + "; ".join(parts) + "."


def by_set(
    W: np.ndarray, sets: Sequence[int], rows: Sequence[str], columns: Sequence[Sequence[str]]
) -> Figure:
    """Rows of planes, a set a colour. W (row, column, 2, n), NaN features left out; `sets` features a set.

    Elhage et al. 2022, "Organization of correlated and anticorrelated features".
    """
    W = grid(W, "W", (None, None, 2, None))
    if len(rows) != len(W) or len(columns) != len(W) or len(sets) != len(W):
        raise ConfigError(f"give a size of set, a name and column titles for each of {len(W)} rows.")
    limit = 1.25 * max(1.0, float(np.nanmax(np.linalg.norm(W, axis=2))))
    pitch = SIDE + 0.2
    with styled():
        size = (0.25 + W.shape[1] * pitch, len(W) * (SIDE + 0.85) + 0.1)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        for r, (planes, per_set, name, titles) in enumerate(zip(W, sets, rows, columns, strict=True)):
            top = 0.62 + r * (SIDE + 0.85)
            line = fitted(name, 11, 72 * (size[0] - 0.4), "bold")
            quote(figure, 0.2, top - 0.36, line, 11, weight="bold", color="#333333")
            for c, features in enumerate(planes):
                shown = features[:, np.isfinite(features).all(0)]
                kinds = np.arange(shown.shape[1]) // per_set % len(SET_COLOURS)
                axes = place(figure, 0.2 + c * pitch, top, SIDE, SIDE)
                plane(
                    axes,
                    upright(shown),
                    [SET_COLOURS[k] for k in kinds],
                    [SHAPES[k] for k in kinds],
                    limit,
                )
                quote(figure, 0.2 + c * pitch, top - 0.08, fitted(titles[c], 9, 72 * SIDE), 9, color=MUTED)
    return figure
