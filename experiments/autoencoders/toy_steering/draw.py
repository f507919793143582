"""Acts on a toy model against their true effects: interference, error by angle, and both against baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, styled

MARKS = ("o", "s", "^", "D", "v")
TICKS = 8.0
LEAST = 1e-3  # the low end of the error's axes


def _columns(result: Result, name: str) -> list[np.ndarray]:
    a = result.arrays
    return [a[name][a["own_k"] & (a["column"] == i)] for i in range(len(result.config.densities))]


def draw(result: Result) -> Figure:
    """Interference, error by angle, selectivity and error by density."""
    a, densities = result.arrays, result.config.densities
    tangent = np.sqrt(np.maximum(1 - a["cosine"] ** 2, 0)) / a["cosine"]
    angles = {
        f"density {p:g}": np.stack([tangent, a["error"]])[:, a["column"] == i]
        for i, p in enumerate(densities)
    }
    errors = {
        "steering the latent": _columns(result, "error"),
        "a random direction, as far": _columns(result, "random_error"),
        "setting the latent to 0": _columns(result, "ablation_error"),
    }
    selectivity = {
        "steering the latent": _columns(result, "selectivity"),
        "a random direction, as far": _columns(result, "random_selectivity"),
        "moving the feature itself": _columns(result, "ideal_selectivity"),
    }
    return toy_steering(a["interference"], angles, errors, selectivity, [f"{p:g}" for p in densities])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"{p:g}: {np.median(e):.3f}, {np.median(r):.2f}, {np.median(z):.2f}"
        for p, e, r, z in zip(
            result.config.densities,
            *(_columns(result, n) for n in ("error", "random_error", "ablation_error")),
            strict=True,
        )
    ]
    return (
        "Steering SAE latents of toy models against moving their features. Median error of steering the latent, of a "
        "random direction and of ablating the latent, by density: " + "; ".join(parts) + "."
    )


def toy_steering(
    interference: np.ndarray,
    angles: Mapping[str, np.ndarray],
    errors: Mapping[str, Sequence[np.ndarray]],
    selectivity: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str],
) -> Figure:
    """Four panels on whether steering a latent is steering its feature.

    Args:
        interference: (3, pairs): change predicted from the geometry, realised where the ReLU is open, and realised
            over all examples; NaN for what never opens.
        angles: Name -> (2, latents): tangent of the angle between latent and feature, intervention error.
        errors: Name -> per column, errors of its directions.
        selectivity: Name -> per column, shares of the change that are the feature's own.
        columns: What the columns are, e.g. densities.
    """
    predicted, where_open, overall = grid(interference, "interference", (3, None))
    with styled():
        figure = Figure(figsize=(10.4, 8.0), dpi=DPI, facecolor="white", layout="constrained")
        (left, right), (below_left, below_right) = figure.subplots(2, 2)
        left.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, dashes=(4, 3))
        left.scatter(predicted, overall, s=7, color=LINES[1], alpha=0.35, linewidth=0, label="all examples")
        left.scatter(predicted, where_open, s=9, facecolor="none", edgecolor=LINES[0], linewidth=0.6,
                     label="where its ReLU is open")  # fmt: skip
        _titled(left, "Interference on the other features")
        left.set(
            xlabel="Predicted change, $a\\,W_k \\cdot d_j$",
            ylabel="Realised change of $x'_k$, mean over examples",
        )
        left.legend(frameon=False, fontsize=8.5, loc="upper left")

        ends = [1e-3, 3.0]
        right.plot(ends, ends, color=MUTED, linewidth=0.8, dashes=(4, 3), label="error in the hidden space")
        for i, (name, pairs) in enumerate(angles.items()):
            tangent, error = grid(pairs, name, (2, None))
            right.scatter(np.maximum(tangent, ends[0]), np.maximum(error, LEAST), s=10, marker=MARKS[i % len(MARKS)],
                          color=LINES[i % len(LINES)], alpha=0.6, linewidth=0, label=fitted(name, 8.5, 150))  # fmt: skip
        right.set(xscale="log", yscale="log", xlabel="Tangent of the angle between latent and feature")
        right.set(ylabel="Intervention error (1: as doing nothing)")
        _titled(right, "The nearer a latent, the less its steering errs")
        right.legend(frameon=False, fontsize=8.5, loc="upper left")

        names = list(dict.fromkeys([*errors, *selectivity]))  # one colour a kind of act in both panels
        handles = _ranges(below_left, selectivity, columns, names)
        below_left.set(ylim=(0, 1), ylabel="The feature's own share of all change")
        _titled(below_left, "Selectivity: median, 10th to 90th percentile")
        handles |= _ranges(below_right, errors, columns, names)
        below_right.axhline(1, color=MUTED, linewidth=0.8, dashes=(4, 3))
        below_right.set(yscale="log", ylabel="Intervention error (1: as doing nothing)")
        _titled(below_right, "Error: median, 10th to 90th percentile")
        for axes in (below_left, below_right):
            axes.set_xlabel("Density of the features")
        labels = [fitted(name, 9, 180) for name in handles]
        figure.legend(
            handles.values(), labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return figure


def _ranges(
    axes: Axes, values: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """Medians joined by a line, with the range from the 10th to the 90th percentile; the lines by name."""
    x, handles = np.arange(len(columns)), {}
    for place, (name, samples) in enumerate(values.items()):
        i = names.index(name)
        low, middle, high = np.array([np.quantile(s, (0.1, 0.5, 0.9)) for s in samples]).T
        at = x + 0.09 * (place - (len(values) - 1) / 2)
        colour, mark = LINES[i % len(LINES)], MARKS[i % len(MARKS)]
        axes.vlines(at, np.maximum(low, LEAST), np.maximum(high, LEAST), color=colour, linewidth=1.4)
        (handles[name],) = axes.plot(at, middle, color=colour, linewidth=1.0, marker=mark, markersize=5)
    axes.set_xticks(x, [fitted(c, TICKS, 80) for c in columns])
    return handles


def _titled(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, loc="left", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=TICKS, length=3)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
