"""The expected loss by how many features are active, and what keeping a feature gains and costs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from experiments.lab.claim import Result
from experiments.toy_models.loss_decomposition.config import SHOWN, TINY
from superposition.errors import ConfigError
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, styled

SHADES = colormaps["cividis_r"]
GAIN, COST = "#22577a", "#c1440e"


class Shares(NamedTuple):
    """Shares (density, count) of the loss, by number of active features; a row sums to 1."""

    title: str
    density: np.ndarray
    shares: np.ndarray
    counts: Sequence[str]


class Balance(NamedTuple):
    """What keeping one feature gains its own output and costs the others, (density,), and whether it is kept."""

    density: np.ndarray
    gain: np.ndarray
    cost: np.ndarray
    kept: np.ndarray


def draw(result: Result) -> Figure:
    """Who pays when one feature is active; shares by count; gain against cost; the remainder."""
    a, densities = result.arrays, np.array(result.config.densities)
    at = [result.config.densities.index(p) for p in SHOWN]
    titles = [f"{100 * (1 - p):.0f} % sparsity" for p in SHOWN]
    shares = [
        Shares("n = 5, m = 2", densities, a["shares"], ("0", "1", "2", "3", "4", "5")),
        Shares(
            "n = {}, m = {}".format(*result.config.larger),
            np.array(result.config.larger_densities),
            a["larger_shares"],
            ("0", "1", "2", "3 or more"),
        ),
    ]
    gain, cost, norm = a["balance"].T
    balance = Balance(densities, gain, cost, norm > 0.5)
    return loss_terms(
        a["alone"][at], titles, shares, balance, (TINY, a["remainder"], float(a["terms"][-1, 2]))
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    shares = result.arrays["shares"]
    one = 100 * shares[:, :2].sum(1)
    kept = int((result.arrays["balance"][:, 2] > 0.5).sum())
    return (
        "Squared error of every output when one feature is active, as three grids; shares of the loss by number of "
        f"active features, of which none or one make {one[0]:.0f} % when dense and {one[-1]:.0f} % when sparsest; the "
        f"gain and cost of keeping the least important feature, which is kept at {kept} of {len(shares)} densities; "
        "and what the first two terms leave out, falling as the square of the density."
    )


def loss_terms(
    alone: np.ndarray,
    titles: Sequence[str],
    shares: Sequence[Shares],
    balance: Balance,
    remainder: tuple[np.ndarray, np.ndarray, float],
) -> Figure:
    """Grids (panel, output, active feature) over shares, a balance, and what L_0 and L_1 leave.

    alone: squared error of each output while one feature is active, 1 where nothing is stored. remainder:
    density, L - L_0 and L_1 terms, and L_2. Elhage et al. 2022, "Mathematical Understanding".
    """
    alone = np.asarray(alone, float)
    if alone.ndim != 3 or len(alone) != len(titles) or len(titles) == 0 or len(shares) == 0:
        raise ConfigError(
            "alone must be (panel, output, active feature) with a title each, and shares not empty."
        )
    with styled():
        figure = Figure(figsize=(13.2, 7.6), dpi=DPI, facecolor="white", layout="constrained")
        halves = figure.subfigures(2, 1, squeeze=False, hspace=0.03)
        top, bottom = halves[0, 0], halves[1, 0]
        panels = top.subplots(1, len(alone) + 1, width_ratios=(*[1] * len(alone), 1.25))
        images = [_alone(*one) for one in zip(panels, alone, titles, strict=False)]
        words = "One feature active: framed, what its own output misses (feature benefit); elsewhere, interference"
        top.suptitle(words, x=0.01, ha="left", fontsize=9.5, color=INK)
        bar = top.colorbar(images[0], ax=panels[:-1], shrink=0.75, pad=0.015, ticks=[0, 0.5, 1])
        bar.set_label("squared error / importance, ×3")
        bar.outline.set_visible(False)
        _remainder_panel(panels[-1], *remainder)
        rows = bottom.subplots(1, len(shares) + 1)
        for axes, one in zip(rows, shares, strict=False):
            _shares(axes, one)
        _balance_panel(rows[-1], balance)
    return figure


def _alone(axes: Axes, values: np.ndarray, title: str) -> AxesImage:
    n = len(values)
    image = axes.imshow(np.clip(values, 0, 1), cmap=SHADES, vmin=0, vmax=1, interpolation="nearest")
    for i, j in np.ndindex(n, n):
        text = f"{values[i, j]:.2f}".lstrip("0") if values[i, j] >= 0.005 else "0"
        axes.text(
            j, i, text, ha="center", va="center", fontsize=8, color="white" if values[i, j] > 0.55 else INK
        )
        if i == j:
            axes.add_patch(
                Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, edgecolor=GAIN, linewidth=1.8)
            )
    axes.set_title(
        fitted(title, 10.5, 200, "bold"), loc="left", fontsize=10.5, weight="bold", parse_math=False
    )
    axes.set_xticks(range(n))
    axes.set_yticks(range(n))
    axes.set(xlabel="active feature", ylabel="output")
    axes.tick_params(length=0, labelsize=8.5)
    axes.spines[:].set_visible(False)
    return image


def _remainder_panel(axes: Axes, density: np.ndarray, left: np.ndarray, second: float) -> None:
    axes.plot(density, second * density**2, color=MUTED, linewidth=1, dashes=(3, 2))
    axes.plot(density, left, "o", color=GAIN, markersize=5)
    axes.set(xscale="log", yscale="log", xlabel="density $p$", ylabel="$L - (1-p)^n L_0 - p(1-p)^{n-1} L_1$")
    axes.text(0.05, 0.93, "dashed: $p^2 L_2$", transform=axes.transAxes, va="top", color=MUTED)
    _frame(axes, "What $L_0$ and $L_1$ leave is $O(p^2)$")


def _shares(axes: Axes, one: Shares) -> None:
    density = grid(one.density, "density", (None,))
    values = grid(one.shares, "shares", (len(density), len(one.counts)))
    colours = colormaps["viridis"](np.linspace(0, 0.95, len(one.counts)))
    below = np.zeros(len(density))
    for k, name in enumerate(one.counts):
        axes.bar(range(len(density)), values[:, k], 0.86, below, color=colours[k], label=name)
        below = below + values[:, k]
    axes.set_xticks(range(len(density)), [f"{p:g}" for p in density])
    axes.set(xlabel="density $1-S$", ylabel="share of the loss", ylim=(0, 1), xlim=(-0.6, len(density) - 0.4))
    _frame(axes, fitted(f"Loss by active features: {one.title}", 10.5, 300, "bold"))
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.17), ncols=len(one.counts), frameon=False, fontsize=8.5,
        handlelength=1, columnspacing=1, handletextpad=0.4,
    )  # fmt: skip


def _balance_panel(axes: Axes, balance: Balance) -> None:
    p = grid(balance.density, "density", (None,))
    gain, cost = grid(balance.gain, "gain", p.shape), grid(balance.cost, "cost", p.shape)
    kept = np.asarray(balance.kept, bool)
    scale = p / 3
    for values, colour, name in ((gain, GAIN, "gains its own output"), (cost, COST, "costs the others")):
        axes.plot(p, values / scale, color=colour, linewidth=1.6, label=name)
        axes.plot(p[kept], (values / scale)[kept], "o", color=colour, markersize=5)
        axes.plot(p[~kept], (values / scale)[~kept], "o", color=colour, markersize=5, markerfacecolor="white")
    axes.set(xscale="log", xlabel="density $1-S$  (● kept, ○ dropped)", ylabel="loss / $E x_i^2$")
    axes.set_xlim(p.max() * 1.1, p.min() / 1.1)
    axes.set_ylim(bottom=min(0.0, float((cost / scale).min()) * 1.05))
    axes.legend(frameon=False, fontsize=8.5, loc="best")
    _frame(axes, "Keeping the least important feature")


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, weight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
