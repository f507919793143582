"""Learning curves against energy levels, as in "Superposition and Learning Dynamics" (Elhage et al. 2022)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from experiments.toy_models.energy_levels.config import Config
from superposition import geometry
from superposition.errors import ConfigError
from superposition.plot.style import FRAME, INK, MUTED, Figure, fitted, grid, styled

# Okabe and Ito's palette: told apart by every eye.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c6d31")
ABSENT = "#c4c4c4"
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class OneRun(NamedTuple):
    """A run: step (frame,), D_i (frame, n), loss (frame,), and what its drawing is read by.

    group (n,): which colour a feature has, -1 for one that ends unrepresented; jumps: first and last frame of
    each; levels: name -> loss.
    """

    step: np.ndarray
    dimensionality: np.ndarray
    loss: np.ndarray
    group: Sequence[int]
    jumps: Sequence[tuple[int, int]]
    levels: Mapping[str, float]
    title: str


class Curves(NamedTuple):
    """Runs on logarithmic axes: step (frame,), loss (run, frame), group (run,) names each run's end."""

    step: np.ndarray
    loss: np.ndarray
    group: Sequence[str]
    levels: Mapping[str, float]
    title: str
    ylabel: str


def draw(result: Result) -> Figure:
    """The paper's picture of one run, with exact levels, and the k-gon levels of the small model."""
    config: Config = result.config
    a, m = result.arrays, config.n_hidden
    top = min(3, m)
    stored = range(2 * m - top, 2 * m + 1)
    names = {_stored(k, m): float(a["uniform_levels"][k]) for k in stored if k < len(a["uniform_levels"])}
    one = OneRun(
        a["uniform_step"], a["uniform_D"], a["uniform_loss"], _groups(a["uniform_W"]), a["uniform_jumps"].tolist(), names,
        f"Uniform superposition, n = {config.n_features}, m = {m}, 1 - S = {config.density:g}",
    )  # fmt: skip
    levels = {
        f"{k}-gon" if k > 2 else {1: "1 stored", 2: "digon"}[int(k)]: float(v)
        for k, v in zip(a["polygon_sides"], a["polygon_levels"], strict=True)
    }
    curves = Curves(
        a["polygon_step"], a["polygon_loss"], result.numbers["polygon_ends"], levels,
        f"k-gon levels, n = {config.polygon_features}, m = 2, 1 - S = {config.polygon_density:g}",
        "Exact loss an active feature",
    )  # fmt: skip
    return energy_levels(one, curves)


def _stored(k: int, m: int) -> str:
    digons, dedicated = max(k - m, 0), min(k, 2 * m - k)
    parts = [f"{digons} digon" + "s" * (digons > 1)] * (digons > 0) + [f"{dedicated} dedicated"] * (
        dedicated > 0
    )
    return " + ".join(parts)


def _groups(W: np.ndarray) -> list[int]:
    """The component a feature ends in, -1 for none."""
    group = [-1] * W.shape[1]
    for k, component in enumerate(geometry.recognise(W).components):
        for i in component.features:
            group[i] = k
    return group


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    config: Config = result.config
    a = result.arrays
    return (
        f"Left: dimensionalities of {config.n_features} features over {config.steps} steps, above the loss, which ends at "
        f"{a['uniform_loss'][-1]:.4f}; {len(a['uniform_jumps'])} jumps after the start are marked, where a dimensionality "
        "changes and the loss falls from one dashed level to the next. Right: losses of "
        f"{len(a['polygon_loss'])} runs of a model with {config.polygon_features} features in a plane, on logarithmic axes, over "
        f"the exact levels of k-gons from {a['polygon_levels'].max():.3f} to {a['polygon_levels'].min():.3f}."
    )


def energy_levels(one: OneRun, curves: Curves) -> Figure:
    """D_i of every feature over training above the loss, jumps marked in both; beside them many runs' losses."""
    with styled():
        figure = Figure(figsize=(14.2, 6.2), facecolor="white")
        outer = figure.add_gridspec(1, 2, left=0.05, right=0.925, top=0.9, bottom=0.085, wspace=0.36,
                                    width_ratios=(1.12, 1))  # fmt: skip
        left = outer[0].subgridspec(2, 1, height_ratios=(1.25, 1), hspace=0.09)
        above = figure.add_subplot(left[0])
        below = figure.add_subplot(left[1], sharex=above)
        _one(above, below, one)
        right = figure.add_subplot(outer[1])
        _curves(right, curves)
        for axes, words in ((above, one.title), (right, curves.title)):
            axes.set_title(fitted(words, 11.5, 420, "bold"), fontsize=11.5, weight="bold", loc="left", pad=12)
        for axes in (above, below, right):
            axes.spines[["top", "right"]].set_visible(False)
    return figure


def _one(above: Axes, below: Axes, run: OneRun) -> None:
    step = grid(run.step, "step", (None,))
    loss, D = (
        grid(run.loss, "loss", (len(step),)),
        grid(run.dimensionality, "dimensionality", (len(step), None)),
    )
    if len(run.group) != D.shape[1]:
        raise ConfigError(f"{len(run.group)} groups for {D.shape[1]} features; give one a feature.")
    for i, group in enumerate(run.group):
        style: tuple[str, float, float] = (
            (COLOURS[group % len(COLOURS)], 1.6, 3) if group >= 0 else (ABSENT, 0.8, 2)
        )
        above.plot(step, D[:, i], color=style[0], linewidth=style[1], zorder=style[2], gid=f"D-{i}")
    above.set(ylim=(-0.02, 1.03), ylabel="Feature dimensionality  $D_i$")
    above.tick_params(labelbottom=False)
    for value, words in ((1.0, "dedicated: 1"), (0.5, "digon: 1/2"), (0.0, "not stored: 0")):
        above.axhline(value, color=FRAME, linewidth=0.9, dashes=(4, 3), zorder=1)
        above.text(1.012, value, words, transform=above.get_yaxis_transform(), va="center", color=MUTED)
    below.plot(step, loss, color=INK, linewidth=1.6, zorder=3, gid="loss")
    _levels(below, run.levels)
    least, most = min(run.levels.values()), max(run.levels.values())
    bottom, top = least - 0.15 * (most - least), most + 0.5 * (most - least)
    below.set(ylim=(bottom, top), xlim=(0, step[-1]), ylabel="Exact loss", xlabel="Training step")
    for first, last in run.jumps:
        middle = (step[first] + step[last]) / 2
        for axes in (above, below):
            axes.axvline(middle, color=MUTED, linewidth=0.8, linestyle=":", zorder=0.5)
        tip = loss[first] + 0.04 * (top - bottom)
        if tip < top - 0.1 * (top - bottom):  # else the curve is above the picture there
            arrow = {"arrowstyle": "-|>", "color": COLOURS[1], "linewidth": 1.6}
            below.annotate("", (middle, tip), (middle, tip + 0.17 * (top - bottom)), arrowprops=arrow)


def _curves(axes: Axes, curves: Curves) -> None:
    step = grid(curves.step, "step", (None,))
    loss = grid(curves.loss, "loss", (None, len(step)))
    group = list(curves.group)
    if len(group) != len(loss):
        raise ConfigError(f"{len(group)} groups for {len(loss)} runs; give one a run.")
    for k, name in enumerate(sorted(set(group), key=lambda name: (-group.count(name), name))):
        colour = COLOURS[k % len(COLOURS)]
        for run in (r for r in range(len(loss)) if group[r] == name):
            axes.plot(step, loss[run], color=colour, linewidth=1.2, alpha=0.85, zorder=3)
        axes.plot([], [], color=colour, linewidth=2.2, label=fitted(name, 9, 150))
    _levels(axes, curves.levels)
    values = [*curves.levels.values(), float(loss.min()), float(loss.max())]
    low, high = min(values), max(values)
    axes.set(xscale="log", yscale="log", xlim=(step[0], step[-1]), ylim=(low * 0.93, high * 1.06))
    axes.minorticks_off()
    ticks = [t for t in TICKS if low * 0.93 < t < high * 1.06]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.set(xlabel="Training step", ylabel=curves.ylabel)
    axes.legend(title="Ends as", loc="upper right", alignment="left", framealpha=1, edgecolor="none")


def _levels(axes: Axes, levels: Mapping[str, float]) -> None:
    """Dashed lines, named to the right of the axes."""
    if not levels:
        raise ConfigError("levels is empty; give name -> loss of at least one.")
    for name, value in levels.items():
        axes.axhline(value, color="#9a9a9a", linewidth=0.9, dashes=(5, 3), zorder=1)
        axes.text(
            1.012, value, fitted(name, 9, 130), transform=axes.get_yaxis_transform(), va="center", color=MUTED
        )
