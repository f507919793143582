"""Draws what was measured of latents: bars with names, a labelled matrix of changes, and responses against doses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superposition.errors import ConfigError
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, WEIGHTS, Figure, fitted, grid, styled

BODY, HEADING, VALUES = 12.0, 14.5, 10.0
MARKS = "os^Dv<>PX*"
COLOURS = (*LINES, "#882255", "#999933", "#44AA99")  # as many as there are marks
NAMED = 230.0  # points that a name beside a bar may take


def bars(
    values: Mapping[str, Any], names: Sequence[str], *, title: str = "", xlabel: str = "", chance: Any = None
) -> Figure:
    """Draw horizontal bars, a group for each name and a bar in it for each series.

    Args:
        values: numbers (names,) by series; of one series the name is left out.
        names: what each group is of, from the top.
        title: what the numbers say.
        xlabel: what they are, with their unit.
        chance: numbers (names,) that are marked by a line across the group, such as what chance gives.

    Raises:
        ConfigError: there are no series, or one of another length.

    >>> figure = bars({"neuron": [0.5, 0.9], "latent": [0.6, 0.8]}, ["arabic", "hebrew"], xlabel="F1")
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['arabic', 'hebrew']
    """
    if not values:
        raise ConfigError("there are no bars to draw; give at least one series.")
    n = len(names)
    series = {key: grid(one, f"values[{key!r}]", (n,)) for key, one in values.items()}
    marks = None if chance is None else grid(chance, "chance", (n,))
    thick = 0.8 / len(series)
    with styled():
        height = 1.5 + n * max(0.34, 0.24 * len(series))
        figure = Figure(
            figsize=(11.0, min(max(height, 2.6), 9.0)), dpi=DPI, facecolor="white", layout="constrained"
        )
        axes = figure.subplots()
        for i, (key, one) in enumerate(series.items()):
            y = np.arange(n) + thick * (i - (len(series) - 1) / 2)
            axes.barh(
                y,
                one,
                0.92 * thick,
                color=LINES[i % len(LINES)],
                label=fitted(key, BODY, NAMED),
                gid=f"bars-{i}",
            )
        if marks is not None:
            axes.vlines(
                marks, np.arange(n) - 0.45, np.arange(n) + 0.45, color=INK, linewidth=2, label="by chance"
            )
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set(yticks=range(n), ylim=(n - 0.45, -0.55))
        axes.set_yticklabels([fitted(name, BODY, NAMED) for name in names], fontsize=BODY, parse_math=False)
        axes.set_xlabel(xlabel, fontsize=BODY)
        axes.tick_params(length=0, labelsize=BODY)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color="#e6e6e6")
        axes.set_axisbelow(True)
        if len(series) > 1 or marks is not None:
            figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=BODY)
        _headline(axes, title)
    return figure


def matrix(
    values: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str = "",
    ylabel: str = "",
    xlabel: str = "",
    form: str = "{:+.1f}",
) -> Figure:
    """Draw a matrix of changes (rows, columns), red where positive and blue where negative, its numbers in the cells.

    The largest number of each row is bold. A number that `form` shows as 0 is left out, and so is NaN.

    Raises:
        ConfigError: values of another shape.

    >>> figure = matrix([[3.0, 0.1], [0.2, 4.0]], ["arabic", "hebrew"], ["arabic", "hebrew"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['+3.0', '+0.1', '+0.2', '+4.0']
    """
    shown = grid(values, "values", (len(rows), len(columns)))
    most = float(np.nanmax(np.abs(shown), initial=0.0)) or 1.0
    with styled():
        size = (min(13.0, 3.4 + 0.78 * len(columns)), min(9.0, 2.3 + 0.42 * len(rows)))
        figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        axes.imshow(shown, cmap=WEIGHTS, vmin=-most, vmax=most, aspect="auto")
        axes.set(xticks=range(len(columns)), yticks=range(len(rows)))
        axes.set_xticklabels([fitted(c, BODY, 130) for c in columns], rotation=40, ha="right", rotation_mode="anchor",
                             fontsize=BODY, parse_math=False)  # fmt: skip
        axes.set_yticklabels([fitted(r, BODY, NAMED) for r in rows], fontsize=BODY, parse_math=False)
        best = np.argmax(np.where(np.isnan(shown), -np.inf, shown), 1)
        for (row, column), value in np.ndenumerate(shown):
            text = form.format(value)
            if np.isnan(value) or not text.strip("+-0.% "):
                continue
            axes.text(column, row, text, ha="center", va="center", fontsize=VALUES,
                      fontweight="bold" if best[row] == column and value > 0 else "normal",
                      color="white" if abs(value) > 0.6 * most else INK)  # fmt: skip
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_ylabel(ylabel, fontsize=BODY)
        axes.set_xlabel(xlabel, fontsize=BODY)
        _headline(axes, title)
    return figure


def doses(
    strengths: Any,
    values: Mapping[str, Any],
    *,
    errors: Mapping[str, Any] | None = None,
    title: str = "",
    xlabel: str = "Strength, in largest activations of the latent",
    ylabel: str = "",
    log: bool = False,
) -> Figure:
    """Draw responses against doses, a line each, with a band of one standard error where there is one.

    Args:
        strengths: doses (strengths,).
        values: responses (strengths,) by name.
        errors: standard errors (strengths,) of some of them.
        title: what the lines say.
        xlabel: what a dose is.
        ylabel: what the response is, with its unit.
        log: on a logarithmic scale.

    Raises:
        ConfigError: there are no lines, or one of another length.

    >>> figure = doses([-1, 0, 1], {"hebrew": [0.01, 0.02, 0.2]}, ylabel="probability")
    >>> figure.axes[0].lines[1].get_ydata().tolist()  # the first line marks strength 0
    [0.01, 0.02, 0.2]
    """
    if not values:
        raise ConfigError("there are no lines to draw; give at least one response.")
    x = grid(strengths, "strengths", (None,))
    with styled():
        figure = Figure(figsize=(11.0, 5.2), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=0.8, dashes=(3, 2))
        for i, (name, one) in enumerate(values.items()):
            y, colour = grid(one, f"values[{name!r}]", (len(x),)), COLOURS[i % len(COLOURS)]
            axes.plot(x, y, color=colour, marker=MARKS[i % len(MARKS)], markersize=6, linewidth=1.8,
                      label=fitted(name, BODY, NAMED))  # fmt: skip
            if errors is not None and name in errors:
                band = grid(errors[name], f"errors[{name!r}]", (len(x),))
                axes.fill_between(x, y - band, y + band, color=colour, alpha=0.15, linewidth=0)
        if log:
            axes.set_yscale("log")
        axes.set_xlabel(xlabel, fontsize=BODY)
        axes.set_ylabel(ylabel, fontsize=BODY)
        axes.tick_params(labelsize=BODY, length=3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6")
        axes.set_axisbelow(True)
        if len(values) > 1:
            figure.legend(loc="outside right upper", frameon=False, fontsize=BODY)
        _headline(axes, title)
    return figure


def _headline(axes: Axes, title: str) -> None:
    if title:
        width = axes.figure.get_size_inches()[0] if axes.figure is not None else 11.0  # type: ignore[union-attr]
        line = fitted(title, HEADING, 72 * (width - 0.8), "bold")
        axes.set_title(line, fontsize=HEADING, weight="bold", loc="left", pad=12, parse_math=False)
