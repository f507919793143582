"""Gram matrices of models, with their features ordered by set."""

from collections.abc import Sequence

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.local_bases.config import SETS, N
from superposition.errors import ConfigError
from superposition.plot.style import (
    DPI,
    FRAME,
    MUTED,
    WEIGHTS,
    Figure,
    fitted,
    grid,
    place,
    quote,
    styled,
    write,
)


def draw(result: Result) -> Figure:
    """W^T W grouped by set, beside the uncorrelated model's."""
    at = result.config.shown
    p = result.config.densities[at]
    titles = (f"2 correlated sets, 1 − S = {p:g}", f"independent, 1 − S = {p:g}")
    return grams(result.arrays["W"][:, at], titles, (N // SETS, 0))


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    plain, mixed = (r[result.config.shown] for r in result.arrays["ratio"])
    return (
        "Two heat maps of W transposed W. With two correlated sets the blocks of a set are nearly diagonal: off-diagonal "
        f"entries are {plain.max():.2f} of those across sets at most; with independent features {mixed.mean():.2f}."
    )


def grams(W: np.ndarray, titles: Sequence[str], per_set: Sequence[int]) -> Figure:
    """W^T W of some models side by side, W (model, m, n); lines part sets of `per_set` features (0: none).

    Elhage et al. 2022, "Local almost-orthogonal bases".
    """
    W = grid(W, "W", (None, None, None))
    if len(titles) != len(W) or len(per_set) != len(W):
        raise ConfigError(f"{len(titles)} titles and {len(per_set)} sizes of set for {len(W)} models.")
    side, pitch = 3.3, 3.65
    with styled():
        figure = Figure(figsize=(0.35 + len(W) * pitch + 0.55, side + 0.95), dpi=DPI, facecolor="white")
        for k, (weights, title, size) in enumerate(zip(W, titles, per_set, strict=True)):
            x = 0.35 + k * pitch
            axes = place(figure, x, 0.55, side, side)
            axes.imshow(weights.T @ weights, cmap=WEIGHTS, vmin=-1, vmax=1, interpolation="nearest")
            axes.spines[:].set(visible=True, color=FRAME)
            n = W.shape[2]
            for edge in range(size, n, size) if size else ():
                for line in (axes.axhline, axes.axvline):
                    line(edge - 0.5, color="black", linewidth=1.4)
            for number, begin in enumerate(range(0, n, size) if size else ()):
                middle = 0.55 + side + 0.2
                across = x + side * (begin + min(size, n - begin) / 2) / n
                write(figure, across, middle, f"set {number + 1}", 9.5, ha="center", color=MUTED)
            quote(figure, x, 0.4, fitted(title, 11, 72 * side, "bold"), 11, weight="bold", color="#333333")
        bar = place(figure, 0.35 + len(W) * pitch, 0.55 + side / 4, 0.13, side / 2)
        bar.imshow(np.linspace(1, -1, 64)[:, None], cmap=WEIGHTS, aspect="auto", vmin=-1, vmax=1)
        bar.yaxis.tick_right()
        bar.set_yticks([0, 31.5, 63], ["1", "0", "−1"], fontsize=9)
        write(figure, 0.35 + len(W) * pitch, 0.45 + side / 4, r"$W^TW$", 10, va="bottom")
    return figure
