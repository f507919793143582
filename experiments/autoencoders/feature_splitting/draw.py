"""Latents that split as SAEs widen, and how often they are found again."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from experiments.autoencoders.feature_splitting.config import LAW, WORLD
from experiments.lab.claim import Result
from experiments.lab.curves import COLOURS, curve, quiet
from superposition.plot.style import DPI, INK, Figure, styled


def draw(result: Result) -> Figure:
    """Three trees of latents labelled with the truth, and curves against width."""
    widths, a = result.config.widths, result.arrays
    labels = [a[f"label_{w}"] for w in widths]
    parents = [a[f"parent_{w}"] for w in widths[1:]]
    forest = LAW.forest.parents(WORLD.n_features)
    curves = {name: a[name] for name in ("split", "novel", "from_first")}
    return splitting(widths, labels, parents, forest, curves, a["universality"])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, widths = result.arrays, result.config.widths
    born = ", ".join(f"{v:.1f} at {w}" for w, v in zip(widths[1:], a["children"].mean(1), strict=True))
    return (f"Latents of SAEs of {widths} latents as trees, labelled with the true feature each detects. "
            f"Descendants of each of the first {widths[0]} latents: {born}.")  # fmt: skip


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
