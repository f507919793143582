"""Latents of several widths as a tree that grows to the right, each named."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from superposition.errors import ConfigError
from superposition.plot.style import INK, MUTED, fitted


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
    """A latent in its place: column, height, and whether it stands for several that are not shown."""

    column: int
    latent: int
    height: float
    parent: int  # place in the list, -1 for a root
    hidden: int


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
        nodes.append(Node(column, latent, 0.0, parent, 0))
        own: list[int] = []
        if column + 1 < n:
            children = np.flatnonzero(np.asarray(tree.parents[column]) == latent)
            rates = np.asarray(tree.rates[column + 1])[children]
            own = [int(c) for c in children[np.argsort(-rates, kind="stable")]]
        heights = [grow(column + 1, child, place) for child in own[:most]]
        if not heights:
            heights = [line]
            line += 1
        height = (heights[0] + heights[-1]) / 2
        nodes[place] = Node(column, latent, height, parent, max(len(own) - most, 0))
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
        if node.parent >= 0:
            above = nodes[node.parent]
            colour = colours[tree.groups[node.column][node.latent]]
            bend = node.column - 0.30
            axes.plot((above.column + 0.14, bend, node.column - 0.16), (above.height, node.height, node.height),
                      color=colour, linewidth=1.3, alpha=0.75, zorder=1, solid_joinstyle="round")  # fmt: skip
    for node in nodes:
        text = fitted(tree.labels[node.column][node.latent], size, 105)
        more = f"  +{node.hidden}" if node.hidden else ""
        axes.text(node.column - (0.15 if node.column else 0.0), node.height, text, fontsize=size, va="center",
                  ha="left" if node.column else "right", parse_math=False, zorder=2,
                  color=colours[tree.groups[node.column][node.latent]])  # fmt: skip
        if more:
            axes.text(
                node.column + 0.1, node.height + 0.42, more, fontsize=size - 2, color=MUTED, va="center"
            )
    for column, width in enumerate(tree.widths):
        axes.text(
            column, -1.3, f"{width} latents", fontsize=size, color=INK, ha="left" if column else "right"
        )
    axes.set(xlim=(-0.45, last + 0.45), ylim=(bottom + 0.7, -1.8), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
