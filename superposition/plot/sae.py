"""Draws what an SAE learned: training curves, cosines among its decoder rows, and cosines with the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superposition.errors import ConfigError
from superposition.plot.models import decoder, is_trained, saes
from superposition.plot.style import DPI, INK, MUTED, WEIGHTS, Figure, fitted, grid, styled

# Okabe and Ito's palette without its yellow, which is lost on white.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TERMS = {"loss": "Loss", "l0": "Active latents, $L_0$", "fvu": "Variance unexplained", "dead": "Dead latents"}
TICKS = 8.0
BLOCK = 2048  # decoder rows compared with all others at a time


def history(runs: Any) -> Figure:
    """Draw loss, L0, FVU and dead fraction over training, a line an SAE.

    `runs` is a trained SAE or several, or a mapping from names to SAEs or to (steps, term -> values). More SAEs than
    there are colours run through a colour scale in their order.

    >>> curves = {term: np.array([1.0, 0.5]) for term in ("loss", "l0", "fvu", "dead")}
    >>> figure = history({"TopK": (np.array([0, 100]), curves)})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Active latents, $L_0$', 'Variance unexplained', 'Dead latents']
    """
    runs = {name: (run.steps, run.history) if is_trained(run) else run for name, run in saes(runs).items()}
    if not runs:
        raise ConfigError("there are no curves to draw; give at least one SAE.")
    names = list(runs)
    many = len(names) > len(LINES)
    scale = colormaps["viridis"](np.linspace(0, 0.9, len(names)))
    with styled():
        figure = Figure(figsize=(10.4, 6.4), dpi=DPI, facecolor="white", layout="constrained")
        panels = figure.subplots(2, 2, sharex=True).ravel()
        for axes, (term, label) in zip(panels, TERMS.items(), strict=True):
            lows = []
            for i, name in enumerate(names):
                steps, values = runs[name]
                y = np.asarray(values[term], float)
                colour = scale[i] if many else LINES[i]
                axes.plot(
                    steps, y, color=colour, linewidth=1.2, label=fitted(name, 8, 220), gid=f"{term}-{i}"
                )
                lows += [float(y[np.isfinite(y)].min(initial=np.inf))]
            _open(axes)
            axes.set_title(label, fontsize=10.5, loc="left", color=INK)
            if term in ("loss", "fvu") and min(lows) > 0:
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0)
                if term == "dead":
                    axes.set_ylim(0, max(axes.get_ylim()[1], 0.05))
        for axes in panels[2:]:
            axes.set_xlabel("Step")
        handles, labels = panels[0].get_legend_handles_labels()
        if many:  # the ends of the colour scale name it
            handles, labels = [handles[0], handles[-1]], [labels[0], f"{labels[-1]}  ({len(names)} SAEs)"]
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def decoder_cosines(nearest: Any) -> Figure:
    """Draw a histogram of each decoder row's largest cosine with another row; near 1 are duplicates.

    `nearest` is a trained SAE or several, or a mapping from names to SAEs or to those cosines (d_sae,).

    >>> figure = decoder_cosines({"TopK": np.array([0.1, 0.2, 0.99])})
    >>> figure.axes[0].get_ylabel()
    'Fraction of latents'
    """
    nearest = {
        name: nearest_cosines(decoder(one)) if is_trained(one) else one for name, one in saes(nearest).items()
    }
    if not nearest:
        raise ConfigError("there are no decoders to draw; give at least one SAE.")
    edges = np.linspace(-1, 1, 81 if len(nearest) == 1 else 41)
    values = {name: np.asarray(v, float) for name, v in nearest.items()}
    low = min(float(v.min(initial=0)) for v in values.values())
    many = len(values) > len(LINES)
    scale = colormaps["viridis"](np.linspace(0, 0.9, len(values)))
    with styled():
        figure = Figure(figsize=(7.2, 4.2), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        for i, v in enumerate(values.values()):
            colour = scale[i] if many else LINES[i]
            style = {"histtype": "stepfilled", "alpha": 0.85} if len(values) == 1 else {"histtype": "step"}
            weights = np.full(len(v), 1 / max(len(v), 1))
            axes.hist(v, list(edges), weights=weights, color=colour, linewidth=1.4, **style)
        _open(axes)
        axes.set(xlim=(-1 if low < -0.05 else 0, 1), xlabel="Largest cosine with another decoder row")
        axes.set_ylabel("Fraction of latents")
        if len(values) > 1:
            ends = [0, len(values) - 1] if many else range(len(values))
            lines = [Line2D([], [], color=scale[i] if many else LINES[i], linewidth=1.4) for i in ends]
            words = [fitted(list(values)[i], 8, 200) for i in ends]
            if many:
                words[-1] += f"  ({len(values)} SAEs)"
            figure.legend(lines, words, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def matched_cosines(cosines: np.ndarray, latents: Sequence[int], *, title: str = "") -> Figure:
    """Draw cosines (d_sae, n_features) of decoder rows with true directions, rows in the order `latents`.

    The order puts the partner of feature i in row i, so that what was found is the diagonal.

    >>> figure = matched_cosines(np.array([[0.1, 1.0], [0.9, 0.0]]), latents=[1, 0])
    >>> figure.axes[0].images[0].get_array().tolist()
    [[0.9, 0.0], [0.1, 1.0]]
    """
    values = grid(cosines, "cosines", (None, None))
    order = np.asarray(latents)
    if sorted(order.tolist()) != list(range(len(values))):
        raise ConfigError(f"latents must be an order of the {len(values)} rows; got {len(order)} of them.")
    rows, columns = values.shape
    with styled():
        height = float(np.clip(5.4 * rows / columns, 3.0, 9.0))
        figure = Figure(figsize=(6.6, height + 1.0), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(
            values[order], cmap=WEIGHTS, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes.tick_params(length=0, labelsize=TICKS, colors=MUTED)
        axes.set(xlabel="True feature", ylabel="Latent, in the order of its feature")
        if rows > columns:
            axes.axhline(columns - 0.5, color=MUTED, linewidth=0.8, dashes=(3, 2), gid="unmatched")
        axes.set_title(fitted(title, 10, 380), fontsize=10, loc="left", parse_math=False)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[-1, 0, 1], label="cosine")
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=TICKS)
    return figure


def nearest_cosines(W_dec: Any) -> np.ndarray:
    """Return each decoder row's largest cosine with another row, (d_sae,), block by block; W_dec (d_sae, d_out)."""
    W: np.ndarray = np.asarray(W_dec, np.float32)
    norms = np.linalg.norm(W, axis=1, keepdims=True)
    W = W / np.where(norms > 0, norms, 1)
    best = np.empty(len(W))
    for start in range(0, len(W), BLOCK):
        c = W[start : start + BLOCK] @ W.T
        c[np.arange(len(c)), start + np.arange(len(c))] = -1.0
        best[start : start + BLOCK] = np.clip(c.max(1), -1, 1)
    return best


def _open(axes: Axes) -> None:
    """Leave an axes two spines and a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TICKS, length=3)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
