"""Draws feature dimensionalities: over sparsity, with the polytopes they belong to, and over training, beside the loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from superposition.errors import ConfigError
from superposition.geometry import dimensionality, norms
from superposition.plot.models import dataset_of
from superposition.plot.style import DPI, FRAME, INK, MUTED, Figure, fitted, grid, styled

BODY, HEADING = 12.0, 14.5
REPRESENTED = 0.5
POLYTOPES = {"dedicated": 1.0, "tetrahedron": 3 / 4, "triangle": 2 / 3, "digon": 1 / 2, "pentagon": 2 / 5,
             "square antiprism": 3 / 8}  # fmt: skip
NEAR = 0.02
LIFT = {"pentagon": 0.014, "square antiprism": -0.014}  # two names that would overlap


def dimensionalities(toys: Any, *, title: str | None = None) -> Figure:
    """Draw D_i = ||W_i||^2 / sum_j (What_i . W_j)^2 of represented features over 1/(1-S) (Elhage et al. 2022).

    A dot is a feature of norm over 1/2; the line is D* = m / ||W||_F^2, the dimensions there are for a feature, of the
    seed of lowest loss. Dashed lines are the dimensionalities of polytopes.

    Args:
        toys: a sweep of toy models over density (and seeds).
        title: the default says where most features are at 1/2.

    Raises:
        ConfigError: a sweep over other axes.

    >>> import superposition as sp
    >>> run = sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64)
    >>> figure = dimensionalities(sp.sweep(run, {"density": (1.0, 0.1), "seed": range(2)}))
    """
    data = dataset_of(toys)
    if (
        data is None
        or "W" not in data
        or set(data["loss"].dims) - {"density", "seed"}
        or "density" not in data["loss"].dims
    ):
        raise ConfigError("dimensionalities are drawn of a sweep of toy models over density (and seed)")
    if "seed" not in data["loss"].dims:
        data = data.expand_dims("seed")
    data = data.sortby("density", ascending=False)
    W = data["W"].transpose("density", "seed", "n_hidden", "n_features").values
    x = 1 / data["density"].values
    D, shown = dimensionality(W), norms(W) > REPRESENTED
    lowest = data["loss"].transpose("density", "seed").values.argmin(1)
    square = (W[np.arange(len(W)), lowest] ** 2).sum((1, 2))
    if title is None:
        title = _plateau(x, D, shown)
    with styled():
        figure = Figure(figsize=(11.0, 5.8), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        for name, value in POLYTOPES.items():
            axes.axhline(value, color=FRAME, linewidth=1.0, dashes=(4, 3), zorder=1)
            axes.text(
                1.01,
                value + LIFT.get(name, 0.0),
                f"{name} {value:.3g}",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=11,
            )
        jitter = np.exp(0.02 * np.random.default_rng(0).standard_normal(D.shape))
        across = np.broadcast_to(x[:, None, None], D.shape) * jitter
        axes.scatter(
            across[shown], D[shown], s=9, color="#1b3a8c", alpha=0.45, linewidths=0, zorder=3, gid="features"
        )
        label = "$D^* = m / \\|W\\|_F^2$"
        axes.plot(
            x,
            W.shape[2] / np.maximum(square, 1e-9),
            color="#c25700",
            linewidth=2,
            zorder=4,
            label=label,
            gid="D-star",
        )
        axes.set(xscale="log", ylim=(0, 1.08))
        ticks = [t for t in (1, 2, 3, 5, 10, 20, 50, 100, 1000) if x.min() * 0.9 <= t <= x.max() * 1.1]
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.minorticks_off()
        axes.set_xlabel("1 / (1 − S): sparser to the right", fontsize=BODY)
        axes.set_ylabel("Feature dimensionality $D_i$", fontsize=BODY)
        axes.tick_params(labelsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=BODY, loc=(0.72, 0.8))
        _headline(axes, title)
    return figure


def training_path(path: Any, levels: Sequence[float], *, title: str | None = None) -> Figure:
    """Draw every feature's dimensionality over training, above the exact loss with the losses it may stop at.

    Args:
        path: a sweep with `at_steps` over one seed.
        levels: losses with 0, 1, 2 ... features stored (`theory.kgons.digon_levels`), dashed where the path comes near.
        title: the default says where it starts and ends.

    Raises:
        ConfigError: a sweep without steps, or with several seeds.

    >>> import superposition as sp
    >>> run = sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64)
    >>> figure = training_path(sp.sweep(run, {"seed": (0,)}, at_steps=(0, 10, 20)), [0.5])
    """
    data = dataset_of(path)
    if data is None or "step" not in data["loss"].dims or data.sizes.get("seed", 1) != 1:
        raise ConfigError(
            "a training path is a sweep with at_steps over one seed: sweep(run, {'seed': (0,)}, at_steps=...)"
        )
    data = data.squeeze("seed", drop=True) if "seed" in data["loss"].dims else data
    step, loss = data["step"].values, grid(data["loss"].values, "loss", (None,))
    D = dimensionality(data["W"].transpose("step", "n_hidden", "n_features").values)
    low = float(loss.min())
    shown = {k: float(level) for k, level in enumerate(levels) if 0.98 * low <= level <= 1.2 * low}
    if title is None:
        title = f"The loss falls in steps, from one exact level to the next, and ends at {loss[-1]:.3f}"
    with styled():
        figure = Figure(figsize=(11.0, 6.2), dpi=DPI, facecolor="white", layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        for i, row in enumerate(D.T):
            above.plot(step, row, color="#1b3a8c", alpha=0.6, linewidth=1.3, gid=f"D-{i}")
        for value, word in ((1.0, "dedicated: 1"), (0.5, "digon: 1/2")):
            above.axhline(value, color=FRAME, linewidth=1.0, dashes=(4, 3), zorder=1)
            above.text(1.01, value, word, transform=above.get_yaxis_transform(), va="center", fontsize=11)
        above.set_ylim(-0.02, 1.08)
        above.set_ylabel("Dimensionality $D_i$", fontsize=BODY)
        below.plot(step, loss, color=INK, linewidth=2, gid="loss")
        for k, level in shown.items():
            below.axhline(level, color=MUTED, linewidth=1.0, dashes=(4, 3), zorder=1)
            below.text(
                1.01, level, f"{k} stored", transform=below.get_yaxis_transform(), va="center", fontsize=11
            )
        top = max([*shown.values(), 1.02 * low])
        below.set(ylim=(low - 0.15 * (top - low), top + 0.15 * (top - low) + 1e-12), xlim=(step[0], step[-1]))
        below.set_ylabel("Exact loss", fontsize=BODY)
        below.set_xlabel("Training step", fontsize=BODY)
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=11)
        _headline(above, title)
    return figure


def _plateau(x: np.ndarray, D: np.ndarray, shown: np.ndarray) -> str:
    """Where on the axis x most of the represented features stand in antipodal pairs, in words."""
    paired = [
        float((np.abs(d[s] - 0.5) < NEAR).mean()) if s.any() else 0.0 for d, s in zip(D, shown, strict=True)
    ]
    where = x[np.array(paired) > 0.5]
    if not len(where):
        return "Nowhere do most features stand in antipodal pairs (D = 1/2)"
    return f"From 1/(1−S) = {where.min():.2g} to {where.max():.2g} most features stand in antipodal pairs (D = 1/2)"


def _headline(axes: Any, title: str) -> None:
    line = fitted(title, HEADING, 72 * 9.8, "bold")
    axes.set_title(line, fontsize=HEADING, weight="bold", loc="left", pad=12, parse_math=False)
