"""Latents of several widths as a tree that grows to the right, each named."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from superposition.errors import ConfigError
from superposition.plot.style import INK, MUTED, fitted

WIDTH = 125.0  # points of a label


class Tree(NamedTuple):
    """What is drawn: for every width its latents' labels and groups, and (from the second on) parents and rates.

    labels, groups: per width (d_sae,); parents: per width after the first (d_sae,), -1 for none; rates: per width, how
    often each fires (the most frequent children are shown); roots: latents of the first width.
    """

    widths: Sequence[int]
    labels: Sequence[Sequence[str]]
    groups: Sequence[Sequence[int]]
    parents: Sequence[Any]
    rates: Sequence[Any]
    roots: Sequence[int]


class Node(NamedTuple):
    """A latent in its place, or (latent -1) a line that says how many of the parent's children are not shown."""

    column: int
    latent: int
    height: float
    parent: int  # place in the list, -1 for a root
    hidden: int = 0


def placed(tree: Tree, most: int = 3) -> list[Node]:
    """Every node shown, parents before children: leaves one line apart, a parent amid its `most` most frequent children.

    ConfigError where labels, groups, rates or parents do not fit the widths.
    """
    n = len(tree.widths)
    if not len(tree.labels) == len(tree.groups) == len(tree.rates) == len(tree.parents) + 1 == n:
        raise ConfigError(
            f"a tree of {n} widths has {n} lists of labels, groups and rates, and {n - 1} of parents"
        )
    nodes: list[Node] = []
    line = 0.0

    def grow(column: int, latent: int, parent: int) -> float:
        nonlocal line
        place = len(nodes)
        nodes.append(Node(column, latent, 0.0, parent))
        own: list[int] = []
        if column + 1 < n:
            children = np.flatnonzero(np.asarray(tree.parents[column]) == latent)
            rates = np.asarray(tree.rates[column + 1])[children]
            own = [int(c) for c in children[np.argsort(-rates, kind="stable")]]
        heights = [grow(column + 1, child, place) for child in own[:most]]
        if len(own) > most:
            nodes.append(Node(column + 1, -1, line, place, len(own) - most))
            heights.append(line)
        if len(own) > most or not own:
            line += 1
        height = (heights[0] + heights[-1]) / 2 if heights else line - 1
        nodes[place] = nodes[place]._replace(height=height)
        return height

    for root in tree.roots:
        grow(0, int(root), -1)
        line += 0.6  # a gap between trees
    return nodes


def feature_tree(
    axes: Axes, tree: Tree, colours: Mapping[int, str], *, most: int = 3, size: float = 9.0
) -> None:
    """Draw on bare axes: a column a width, a line from parent to child, labels in the colour of their group."""
    nodes = placed(tree, most)
    last = len(tree.widths) - 1
    bottom = max(node.height for node in nodes)
    for node in nodes:
        text, colour = f"+ {node.hidden} more", MUTED
        if node.latent >= 0:
            text = fitted(tree.labels[node.column][node.latent], size, WIDTH)
            colour = colours[tree.groups[node.column][node.latent]]
        if node.parent >= 0:
            above = nodes[node.parent]
            begin = above.column + (0.03 if above.column == 0 else 0.36)
            axes.plot((begin, node.column - 0.24, node.column - 0.16), (above.height, node.height, node.height),
                      color=colour, linewidth=1.3, alpha=0.75, zorder=1, solid_joinstyle="round")  # fmt: skip
        axes.text(node.column - (0.15 if node.column else 0.0), node.height, text, fontsize=size, va="center",
                  ha="left" if node.column else "right", parse_math=False, zorder=2, color=colour)  # fmt: skip
    for column, width in enumerate(tree.widths):
        axes.text(column - (0.15 if column else 0.0), -1.3, f"{width} latents", fontsize=size + 1, color=INK,
                  ha="left" if column else "right")  # fmt: skip
    axes.set(xlim=(-0.45, last + 0.35), ylim=(bottom + 0.7, -1.8), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
