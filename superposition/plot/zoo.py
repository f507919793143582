"""SAEs compared: dots with intervals, curves with bands, and latents that split as SAEs widen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from superposition.plot.style import DPI, INK, MUTED, grid, styled

# Okabe and Ito's palette without its yellow, which is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = "osD^vP*X"


def half_interval(values: np.ndarray) -> np.ndarray:
    """Half of the 95 % confidence interval of the mean over the last axis (Student's t); 0 for one value."""
    n = values.shape[-1]
    if n < 2:
        return np.zeros(values.shape[:-1])
    return np.asarray(stats.t.ppf(0.975, n - 1) * values.std(-1, ddof=1) / np.sqrt(n))


def dots(
    values: np.ndarray, rows: Sequence[str], panels: Sequence[str], published: np.ndarray | None = None
) -> Figure:
    """A panel a metric, a row an SAE: every seed, mean with 95 % interval, and a published value where given.

    values (rows, seeds, panels); published (rows, panels), NaN for none.
    """
    shown = grid(values, "values", (len(rows), None, len(panels)))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    place = -np.arange(len(rows))
    with styled():
        figure = Figure(
            figsize=(10.4, lines * (0.9 + 0.27 * len(rows))), dpi=DPI, facecolor="white", layout="constrained"
        )
        axes_grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for p, (axes, name) in enumerate(zip(axes_grid, panels, strict=False)):
            seeds = shown[:, :, p]
            mean, half = seeds.mean(1), half_interval(seeds)
            axes.hlines(place, mean - half, mean + half, color=COLOURS[0], linewidth=1.6, zorder=2)
            axes.plot(mean, place, "o", color=COLOURS[0], markersize=5.5, zorder=3)
            axes.plot(seeds.T, np.tile(place, (seeds.shape[1], 1)), "|", color=INK, markersize=8, zorder=4)
            if published is not None:
                axes.plot(published[:, p], place, "D", color=COLOURS[1], markerfacecolor="white", markersize=5.5,
                          zorder=1, gid="published")  # fmt: skip
            axes.set_title(name, fontsize=10.5, loc="left", color=INK)
            axes.set_yticks(place, rows)
            axes.set_ylim(place[-1] - 0.6, 0.6)
            axes.margins(x=0.08)
            if not seeds.any():
                axes.set_xlim(-0.005, 0.1)
            quiet(axes, "both")
        for axes in axes_grid[len(panels) :]:
            axes.set_visible(False)
        handles = [
            Line2D([], [], color=COLOURS[0], marker="o", label="mean and 95 % interval"),
            Line2D([], [], color=INK, marker="|", linestyle="", markersize=8, label="one seed"),
        ]
        if published is not None:
            handles.append(Line2D([], [], color=COLOURS[1], marker="D", markerfacecolor="white", linestyle="",
                                  label="published, at full size"))  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    return figure


def curve(axes: Axes, x: Sequence[float], values: np.ndarray, number: int, label: str, **style: Any) -> None:
    """Mean over the last axis with its 95 % interval as a band; values (x, seeds)."""
    mean, half = values.mean(-1), half_interval(values)
    colour = COLOURS[number % len(COLOURS)]
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        x, mean, color=colour, marker=MARKERS[number % len(MARKERS)], markersize=5, label=label, **style
    )


def quiet(axes: Axes, which: str = "y") -> None:
    """Axes with two spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, length=3)
    axes.grid(axis=which, color="#eeeeee", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def absorbed_and_hedged(
    names: Sequence[str],
    rate: np.ndarray,
    cosines: np.ndarray,
    widths: Sequence[int],
    hedging: np.ndarray,
    references: Mapping[str, np.ndarray],
) -> Figure:
    """Absorption rate by SAE, cosines of parents' latents, and hedging against width.

    rate (SAEs, seeds); cosines (SAEs, seeds, 5): decoder with parent, with child, encoder the same, and the child's
    decoder row with the parent; hedging (widths, seeds); references: name -> (seeds,), drawn as levels.
    """
    place = -np.arange(len(names))
    with styled():
        figure = Figure(figsize=(12.4, 4.6), dpi=DPI, facecolor="white", layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1.1))
        mean, half = rate.mean(1), half_interval(rate)
        left.hlines(place, mean - half, mean + half, color=COLOURS[0], linewidth=1.8)
        left.plot(mean, place, "o", color=COLOURS[0], label="mean and 95 % interval")
        left.plot(rate.T, np.tile(place, (rate.shape[1], 1)), "|", color=INK, markersize=9)
        left.axvline(0, color=MUTED, linewidth=0.8)
        left.set_title("Absorption rate", fontsize=10.5, loc="left")
        left.set(
            xlabel="how much more often the parent's latent is\nsilent where a child fires  (ticks: seeds)"
        )
        labels = ("parent's decoder · parent", "parent's decoder · child", "parent's encoder · parent",
                  "parent's encoder · child", "child's decoder · parent")  # fmt: skip
        for c, label in enumerate(labels):
            value, spread = cosines[:, :, c].mean(1), half_interval(cosines[:, :, c])
            middle.errorbar(value, place + 0.24 - 0.12 * c, xerr=spread, fmt=MARKERS[c], color=COLOURS[c], markersize=5,
                            linewidth=1.2, label=label)  # fmt: skip
        middle.axvline(0, color=MUTED, linewidth=0.8)
        middle.set_title("Cosines with the true directions", fontsize=10.5, loc="left")
        middle.set(xlabel="mean cosine")
        middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=7.5, frameon=False, ncols=2)
        for axes in (left, middle):
            axes.set_ylim(place[-1] - 0.6, 0.6)
            axes.set_yticks(place, names if axes is left else [""] * len(names))
            quiet(axes, "both")
        curve(right, widths, hedging, 0, "ReLU + L1, by width")
        for i, (name, seeds) in enumerate(references.items(), 1):
            right.axhline(
                seeds.mean(), color=COLOURS[i], linestyle=("--", ":")[i % 2], linewidth=1.5, label=name
            )
        right.axhline(0, color=MUTED, linewidth=0.8)
        right.set_title("Hedging", fontsize=10.5, loc="left")
        right.set(xlabel="latents of the SAE (32 features)", xticks=list(widths))
        right.set_ylabel("share along correlated features, above chance")
        right.legend(fontsize=8, frameon=False)
        quiet(right)
    return figure


def splitting(
    widths: Sequence[int],
    labels: Sequence[np.ndarray],
    parents: Sequence[np.ndarray],
    forest: np.ndarray,
    curves: Mapping[str, np.ndarray],
    universality: np.ndarray,
    *,
    trees: int = 3,
) -> Figure:
    """Latents that descend from each other, labelled by the true node each detects, and curves against width.

    labels: per width the node of each latent; parents: per widening the narrow latent of each wide one, -1 for
    none; forest: the parent of every node. curves: "split" and "novel" (widenings, seeds) from each width to the next,
    "from_first" from the narrowest. universality (widths, 4, seeds): found by another seed, by chance, by another
    architecture, by chance.
    """
    with styled():
        figure = Figure(figsize=(13.0, 8.4), dpi=DPI, facecolor="white", layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))  # type: ignore[misc]
        _families(left.subplots(), widths, labels, parents, forest, trees)
        upper, lower = right.subplots(2, 1)
        steps = np.arange(1, len(widths))
        curve(upper, list(steps), curves["from_first"], 0, f"split, from {widths[0]} latents")
        curve(upper, list(steps), curves["split"], 1, "split, from the width before")
        curve(upper, list(steps), curves["novel"], 2, "novel: no parent there", linestyle="--")
        upper.set_title("Splitting", fontsize=10.5, loc="left")
        upper.set_ylabel("fraction of latents")
        for c, (name, line) in enumerate((("another seed", "-"), ("another seed, by chance", ":"),
                                          ("another architecture", "-"), ("another architecture, by chance", ":"))):  # fmt: skip
            curve(lower, list(range(len(widths))), universality[:, c], (0, 0, 1, 1)[c], name, linestyle=line)
        lower.set_title("Universality", fontsize=10.5, loc="left")
        lower.set_ylabel("fraction of latents found again")
        for axes in (upper, lower):
            axes.set_xticks(range(len(widths)), [str(w) for w in widths])
            axes.set(xlim=(-0.2, len(widths) - 0.8), ylim=(-0.04, 1.08), xlabel="latents")
            axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.14), ncols=2)
            quiet(axes)
    return figure


def _families(
    axes: Axes,
    widths: Sequence[int],
    labels: Sequence[np.ndarray],
    parents: Sequence[np.ndarray],
    forest: np.ndarray,
    trees: int,
) -> None:
    """The latents of the first true trees, a column a width, children beside their parents."""
    lines = [_line(node, forest) for node in range(len(forest))]
    shown = sorted({lines[int(node)][0] for node in labels[0] if node >= 0})[:trees]
    order: list[list[int]] = []
    for w, nodes in enumerate(labels):
        members = [j for j, node in enumerate(nodes) if node >= 0 and lines[int(node)][0] in shown]
        order.append(sorted(members, key=lambda j: (lines[int(nodes[j])], w, j)))
    tallest = max(len(column) for column in order)
    height = [
        {j: (tallest - 1) * (1 - (i + 0.5) / len(column)) for i, j in enumerate(column)} for column in order
    ]
    for w in range(1, len(widths)):
        for j in order[w]:
            parent = int(parents[w - 1][j])
            if parent in height[w - 1]:
                colour = COLOURS[shown.index(lines[int(labels[w][j])][0])]
                axes.plot((w - 1 + 0.13, w - 0.13), (height[w - 1][parent], height[w][j]), color=colour, alpha=0.55,
                          linewidth=1.0, zorder=1)  # fmt: skip
    for w, column in enumerate(order):
        for j in column:
            line = lines[int(labels[w][j])]
            born = w == 0 or int(parents[w - 1][j]) >= 0
            axes.text(w, height[w][j], ".".join(str(part) for part in _numbered(line, forest)), ha="center", va="center",
                      fontsize=6.8, color=COLOURS[shown.index(line[0])], fontweight="bold" if len(line) == 1 else "normal",
                      bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none" if born else INK,
                            "linewidth": 0.7})  # fmt: skip
    axes.set_xticks(range(len(widths)), [f"{w} latents" for w in widths])
    axes.set(xlim=(-0.35, len(widths) - 0.65), ylim=(-1, tallest), yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    axes.set_title("Latents of three trees, named by the true feature each detects (tree.child.grandchild);\n"
                   "lines: descent; framed: no parent in the width before", fontsize=10, loc="left")  # fmt: skip


def _line(node: int, forest: np.ndarray) -> tuple[int, ...]:
    """The nodes from the root to this one."""
    above = int(forest[node])
    return (*(_line(above, forest) if above >= 0 else ()), node)


def _numbered(line: tuple[int, ...], forest: np.ndarray) -> list[int]:
    """A node's number among its siblings, from 1, on every level."""
    return [int((forest[:node] == forest[node]).sum()) + 1 for node in line]
