"""Draws vectors: sparse inputs as a raster, the angles among feature directions, and one neuron's weights."""

from typing import Any

import numpy as np

from superposition.errors import ConfigError
from superposition.geometry import cosines, norms
from superposition.plot.models import toy_models
from superposition.plot.style import BLUE, DPI, INK, MUTED, RED, TRACK, Figure, fitted, grid, styled

BODY, HEADING = 12.0, 14.5
REPRESENTED = 0.5
RANDOM = 500  # directions that the angles are compared with


def raster(x: Any, *, title: str | None = None) -> Figure:
    """Draw inputs x (examples, n_features) as a raster: an example a column, a feature a row, darker where larger.

    Raises:
        ConfigError: x of another shape.

    >>> import numpy as np
    >>> figure = raster(np.eye(4))
    """
    x = grid(x, "x", (None, None))
    active = x != 0
    if title is None:
        title = f"{active.mean():.0%} of the values are not 0: about {active.sum(1).mean():.1f} of {x.shape[1]} features at once"
    with styled():
        figure = Figure(figsize=(11.0, 5.2), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(
            x.T, cmap="Blues", vmin=0, vmax=max(float(x.max()), 1e-12), aspect="auto", interpolation="nearest"
        )
        axes.set_xlabel("Example", fontsize=BODY)
        axes.set_ylabel("Feature $i$", fontsize=BODY)
        axes.set_yticks(range(0, x.shape[1], 1 + x.shape[1] // 25))
        axes.tick_params(length=0, labelsize=10)
        for edge in np.arange(0.5, x.shape[1] - 1):
            axes.axhline(edge, color=TRACK, linewidth=0.6)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.015)
        bar.set_label("$x_i$", fontsize=BODY)
        bar.outline.set_visible(False)  # type: ignore[operator]
        _headline(axes, title, 9.0)
    return figure


def angles(W: Any, *, title: str | None = None) -> Figure:
    """Draw the cosines between the directions of every two represented features, and between random directions.

    Args:
        W: a trained toy model, or its weights (n_hidden, n_features). Features of norm over 1/2 count.
        title: the default says how many directions there are, and how near to a right angle they stand.

    Raises:
        ConfigError: fewer than two represented features, or several models.

    >>> import numpy as np
    >>> figure = angles(np.eye(3))
    """
    W = _one(W)
    W = W[:, norms(W) > REPRESENTED]
    m, k = W.shape
    if k < 2:
        raise ConfigError(f"{k} features have a norm over {REPRESENTED:g}; angles need two or more")
    between = cosines(W)[np.triu_indices(k, 1)]
    directions = np.random.default_rng(0).standard_normal((m, RANDOM))
    chance = cosines(directions)[np.triu_indices(RANDOM, 1)]
    if title is None:
        near = np.abs(between) < 0.1
        title = f"{k} directions in {m} dimensions: {near.mean():.0%} of the pairs are almost at right angles"
    with styled():
        figure = Figure(figsize=(11.0, 5.2), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        edges = np.linspace(-1.025, 1.025, 42).tolist()
        share = np.full(len(between), 1 / len(between))
        axes.hist(between, edges, weights=share, color="#1b3a8c", label="trained features", gid="trained")
        axes.hist(chance, edges, weights=np.full(len(chance), 1 / len(chance)), histtype="step", color="#c25700",
                  linewidth=2, label=f"random directions in {m} dimensions")  # fmt: skip
        axes.set_xlabel("Cosine of the angle between two features", fontsize=BODY)
        axes.set_ylabel("Share of pairs", fontsize=BODY)
        axes.set_xticks(
            [-1, -0.5, 0, 0.5, 1], ["-1\nopposite", "-0.5", "0\nat right angles", "0.5", "1\nthe same"]
        )
        axes.tick_params(labelsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=BODY)
        _headline(axes, title, 9.6)
    return figure


def neuron_view(W: Any, neuron: int, *, title: str | None = None) -> Figure:
    """Draw what one neuron sees: its weight from every feature, W[neuron, i].

    Args:
        W: a trained toy model, or its weights (n_hidden, n_features).
        neuron: which row.
        title: the default counts the features that the neuron responds to (|weight| over 0.1).

    Raises:
        ConfigError: several models, or a neuron that there is not.

    >>> import numpy as np
    >>> figure = neuron_view(np.eye(3), 1)
    """
    W = _one(W)
    m, n = W.shape
    if not 0 <= int(neuron) < m:
        raise ConfigError(f"neuron must be 0 to {m - 1}; got {neuron}")
    row = W[int(neuron)]
    seen = int((np.abs(row) > 0.1).sum())
    if title is None:
        kind = "it is monosemantic" if seen == 1 else "it is polysemantic"
        title = (
            f"Neuron {neuron} responds to {seen} of {n} features: {kind}"
            if seen
            else f"Neuron {neuron} is silent"
        )
    with styled():
        figure = Figure(figsize=(11.0, 4.6), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        axes.bar(range(n), row, 0.8, color=[RED if w > 0 else BLUE for w in row])
        axes.axhline(0, color=INK, linewidth=0.8)
        for edge in (-0.1, 0.1):
            axes.axhline(edge, color=MUTED, linewidth=0.8, dashes=(3, 3))
        reach = 1.1 * max(1.0, float(np.abs(row).max()))
        axes.set(xlim=(-0.7, n - 0.3), ylim=(-reach, reach))
        if n <= 40:
            axes.set_xticks(range(n))
        axes.set_xlabel("Feature $i$, the most important first", fontsize=BODY)
        axes.set_ylabel(f"Weight $W_{{{neuron},\\,i}}$", fontsize=BODY)
        axes.tick_params(labelsize=10, length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        _headline(axes, title, 9.6)
    return figure


def _one(W: Any) -> np.ndarray:
    models = toy_models(W)
    if models is None:
        return grid(W, "W", (None, None))
    if len(models.W) != 1:
        raise ConfigError(
            f"this drawing is of one model, not {len(models.W)}; choose one with best() or at(...)"
        )
    one: np.ndarray = models.W[0]
    return one


def _headline(axes: Any, title: str, inches: float) -> None:
    line = fitted(title, HEADING, 72 * inches, "bold")
    axes.set_title(line, fontsize=HEADING, weight="bold", loc="left", pad=12, parse_math=False)
