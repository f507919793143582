"""Every feature's dimensionality against sparsity, by the polytope that it belongs to."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import NullFormatter

from experiments.lab.claim import Result
from experiments.toy_models.feature_dimensionality.config import CLUSTER, EDGE
from experiments.toy_models.feature_dimensionality.kinds import COLOURS, KINDS, kinds_of
from experiments.toy_models.shared.sparsity_axis import log_axis, positive
from experiments.toy_models.shared.uniform import recipes
from superposition import geometry
from superposition.errors import ConfigError
from superposition.plot.style import (
    CREAM,
    DPI,
    FRAME,
    INK,
    MUTED,
    Figure,
    fitted,
    grid,
    place,
    quote,
    styled,
    write,
)

LABELS = (
    (1.0, "1: dedicated"), (3 / 4, "3/4: tetrahedron"), (2 / 3, "2/3: triangle"), (1 / 2, "1/2: digon"),
    (2 / 5, "2/5: pentagon"), (3 / 8, "3/8: square antiprism"), (0.0, "0: not learned"),
)  # fmt: skip
STRONG = 0.4  # features whose cosine is more are drawn side by side
WIDE, LEFT, RIGHT, INSET = 11.9, 0.75, 2.0, 1.42  # inches
EDGES, WEAKEST = 500, 0.1  # a graph shows its strongest edges, |W_i . W_j|


class Graph(NamedTuple):
    """An interference graph: title, W (m, k), columns to draw side by side, and every column's index in `KINDS`."""

    title: str
    W: np.ndarray
    groups: Sequence[Sequence[int]]
    kinds: np.ndarray


def draw(result: Result) -> Figure:
    """Every D_i of the best seeds, interference graphs above, kinds of components below."""
    a = result.arrays
    graphs = []
    for k in result.numbers["insets"]:
        W = a[f"W{k}"]
        if not W.size:
            continue  # no norm above 1/2: there is no graph
        groups = [c.features for c in geometry.recognise(W, edge=STRONG).components]
        title = f"$1/(1-S) = {a['inverse_density'][k]:.1f}$"
        graphs.append(Graph(title, W, groups, kinds_of(geometry.recognise(W, edge=EDGE), W.shape[1])))
    return feature_dimensionality(
        a["inverse_density"],
        a["dimensionality"],
        a["kinds"],
        a["shares"],
        LABELS,
        graphs,
        (*CLUSTER, "4/9, as nine in four dimensions would have"),
        a["dimensions"].mean(1) if "dimensions" in a else None,
        f"Components: |cos| > {EDGE:g}. {recipes(result.config.uniform)}",
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    census = result.numbers["census"]
    parts = []
    for k in result.numbers["insets"]:
        named = [f"{count} in {name}" for name, count in census[k].items()][:3]
        parts.append(f"{result.arrays['inverse_density'][k]:.1f}: {', '.join(named)}")
    return (
        "Dimensionality of every feature against 1 / (1 - S), with interference graphs above and the kinds of components "
        "below; features by component, all seeds, at 1 / (1 - S) = " + "; ".join(parts) + "."
    )


def feature_dimensionality(
    inverse_density: np.ndarray,
    dimensionality: np.ndarray,
    kinds: np.ndarray,
    shares: np.ndarray,
    guides: Sequence[tuple[float, str]],
    graphs: Sequence[Graph] = (),
    marked: tuple[float, float, str] | None = None,
    dimensions: np.ndarray | None = None,
    caption: str = "",
) -> Figure:
    """Every D_i (density, n) against 1 / (1 - S), graphs above, shares of components below.

    kinds (density, n): index into `KINDS` of the component a feature is in, -1 if not represented. shares
    (density, kind): parts of the represented features, NaN where there are none. guides: (value, label).
    marked: (low, high, words), a band of dimensionalities to point out. dimensions: m / ||W||_F^2 (density,), a line.
    caption: what components are, and how models were trained.
    """
    x = positive(inverse_density)
    D = grid(dimensionality, "dimensionality", (len(x), None))
    shares = grid(shares, "shares", (len(x), len(KINDS)))
    kinds = np.asarray(kinds)
    if kinds.shape != D.shape:
        raise ConfigError(f"kinds has shape {kinds.shape}; give one a feature, {D.shape}")
    top = 0.5 + (INSET + 0.45 if graphs else 0.0)
    with styled():
        figure = Figure(figsize=(WIDE, top + 4.6 + 1.5 + 0.7), dpi=DPI, facecolor="white")
        write(figure, LEFT, 0.3, "Sparser features share dimensions in pairs, then in pentagons, then in large tangles",
              12.5, weight="bold")  # fmt: skip
        if graphs:
            write(
                figure,
                WIDE - 0.1,
                0.3,
                rf"edges: $|W_i \cdot W_j| > {WEAKEST}$",
                9.5,
                ha="right",
                color=MUTED,
            )
        write(figure, LEFT, top + 4.6 + 1.5 + 0.62, caption, 7.5, color=MUTED)
        pitch = (WIDE - LEFT - 0.1) / max(len(graphs), 1)
        for k, graph in enumerate(graphs):
            _graph(figure, LEFT + k * pitch, 0.5, min(INSET, pitch - 0.05), graph)
        span = WIDE - LEFT - RIGHT
        axes = place(figure, LEFT, top, span, 4.45)
        log_axis(axes, x)
        axes.set_xlabel("")
        axes.xaxis.set_major_formatter(NullFormatter())
        axes.set(ylim=(-0.03, 1.06), yticks=np.linspace(0, 1, 6))
        axes.set_ylabel(r"Dimensionality  $D_i$", fontsize=11)
        found = {name for k, name in enumerate(KINDS) if (kinds == k).any() or np.nansum(shares[:, k]) > 0}
        _guides(figure, axes, guides, found, top, span)
        if marked:
            axes.axhspan(marked[0], marked[1], color="#fff2b8", linewidth=0, zorder=0.4)
            axes.text(x.max() * 1.03, np.mean(marked[:2]), marked[2], fontsize=9, ha="right", va="center")
        if dimensions is not None:
            axes.plot(
                x,
                dimensions,
                color=INK,
                linewidth=1.5,
                zorder=6,
                label=r"$D^* = m\,/\,\|W\|_F^2$, mean over seeds",
            )
            axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.93), frameon=False, fontsize=9.5)
        _dots(axes, x, D, kinds)
        below = place(figure, LEFT, top + 4.6, span, 1.5)
        log_axis(below, x)
        _stack(below, x, shares)
        _key(figure, LEFT + span + 0.15, top + 4.6, [name for name in KINDS if name in found])
    return figure


def _guides(
    figure: Figure, axes: Axes, guides: Sequence[tuple[float, str]], found: set[str], top: float, span: float
) -> None:
    """Dashed lines, their labels on the right moved apart where they would touch; pale for shapes that are not there."""
    height = np.array([value for value, _ in guides])
    y = height.copy()
    order = np.argsort(y)
    least = 0.06
    for _ in range(200):  # neighbours closer than a line of text push each other off
        gap = np.diff(y[order])
        short = np.clip(least - gap, 0, None) / 2
        y[order[:-1]] -= short
        y[order[1:]] += short
    for (value, label), at in zip(guides, y, strict=True):
        name = label.split(": ")[-1]
        missing = name in KINDS and name not in found
        axes.axhline(value, color="#e2e2e2" if missing else "#c4c4c4", linewidth=0.8, dashes=(4, 3), zorder=1)
        down = top + 4.45 * (1.06 - at) / 1.09
        words = fitted(f"{label} (none)" if missing else label, 9.5, 72 * (RIGHT - 0.2))
        quote(figure, LEFT + span + 0.15, down, words, 9.5, va="center", color=MUTED if missing else INK)


def _dots(axes: Axes, x: np.ndarray, D: np.ndarray, kinds: np.ndarray) -> None:
    """A dot a feature, spread a little about its density, coloured by the component it is in."""
    spread = np.random.default_rng(0).uniform(-0.35, 0.35, D.shape)
    step = np.diff(np.log(np.sort(x))).min() if len(x) > 1 else 0.1
    across = x[:, None] * np.exp(spread * step)
    colours = ["#b5b5b5", *COLOURS.values()]
    for kind in range(-1, len(KINDS)):
        here = kinds == kind
        colour = "#8f8f8f" if kind == len(KINDS) - 1 else colours[kind + 1]
        axes.plot(across[here], D[here], "o", color=colour, markersize=2.6 if kind >= 0 else 1.8, mew=0,
                  alpha=0.75 if kind >= 0 else 0.35, zorder=3 + (kind >= 0))  # fmt: skip


def _stack(axes: Axes, x: np.ndarray, shares: np.ndarray) -> None:
    step = np.sqrt(x[1:] / x[:-1]) if len(x) > 1 else np.array([1.1])
    low = x / np.concatenate([step[:1], step])
    high = x * np.concatenate([step, step[-1:]])
    bottom = np.zeros(len(x))
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.set_ylabel("Part of the\nrepresented", fontsize=10)
    for kind, colour in enumerate(COLOURS.values()):
        part = np.nan_to_num(shares[:, kind])
        axes.bar(low, part, high - low, bottom, align="edge", color=colour, linewidth=0)
        bottom += part
    for k in np.flatnonzero(np.isnan(shares).any(1)):
        axes.axvspan(low[k], high[k], facecolor="white", edgecolor="#999999", hatch="//////", linewidth=0)


def _key(figure: Figure, x: float, y: float, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        box = place(figure, x, y + 0.175 * number, 0.12, 0.12)
        box.set_facecolor(COLOURS[name])
        quote(figure, x + 0.2, y + 0.175 * number + 0.06, name, 9, va="center")
    for number, words in enumerate(("hatched: no norm above 1/2", "small pale dots: norm below 1/2")):
        quote(figure, x, y + 0.175 * (len(names) + number) + 0.1, words, 8, va="center", color=MUTED)


def _graph(figure: Figure, x: float, y: float, side: float, graph: Graph) -> None:
    axes = place(figure, x, y + 0.2, side, side)
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), facecolor=CREAM)
    axes.spines[:].set(visible=True, color=FRAME)
    write(figure, x + side / 2, y + 0.12, graph.title, 9.5, ha="center")
    if not len(graph.groups):
        axes.text(0.5, 0.5, "no norm\nabove 1/2", fontsize=8.5, ha="center", va="center", color=MUTED)
        return
    W = grid(graph.W, f"W of {graph.title}", (None, None))
    places = packed(W, graph.groups)
    weight = np.abs(W.T @ W)
    i, j = np.triu_indices(len(places), 1)
    strong = np.argsort(-weight[i, j], kind="stable")[:EDGES]
    strong = strong[weight[i[strong], j[strong]] > WEAKEST]
    ends = np.stack([places[i[strong]], places[j[strong]]], 1)
    shade: Any = [(0.25, 0.25, 0.25, float(a)) for a in weight[i[strong], j[strong]].clip(0, 1)]
    axes.add_collection(LineCollection(list(ends), colors=shade, linewidths=0.8, zorder=1))
    for kind in range(len(KINDS)):
        here = np.asarray(graph.kinds) == kind
        colour = "#8f8f8f" if kind == len(KINDS) - 1 else COLOURS[KINDS[kind]]
        axes.plot(*places[here].T, "o", color=colour, markersize=2.8, mew=0, zorder=2)


def packed(W: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Places (k, 2) in the unit square: every group seen along its two widest directions, in rows of boxes."""
    sides = np.array([np.sqrt(len(c)) if len(c) > 2 else 1.3 for c in groups])
    widths = np.linspace(sides.max(), max(sides.max(), sides.sum()), 60)
    corners, extent = min((_shelves(sides, width) for width in widths), key=lambda found: found[1])
    places = np.full((W.shape[1], 2), np.nan)
    for members, corner, side in zip(groups, corners, sides, strict=True):
        vectors = W[:, list(members)]
        axes, _, _ = np.linalg.svd(vectors, full_matrices=False)
        flat = (axes[:, :2].T @ vectors).T
        flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
        flat = flat / (np.abs(flat).max() or 1.0)
        if len(members) < 3:  # one after the other, so that pairs of any length look alike
            flat = np.array([[0.0, -0.7], [0.0, 0.7]])[: len(members)] * (len(members) - 1)
        places[list(members)] = (corner + side * (0.5 + 0.34 * flat)) / extent
    return places


def _shelves(sides: np.ndarray, width: float) -> tuple[np.ndarray, float]:
    """Corners of boxes put in rows no wider than `width`, and the side of the square that holds them."""
    corners, x, y, row, widest = [], 0.0, 0.0, 0.0, 0.0
    for side in sides:
        if x and x + side > width + 1e-9:
            x, y, row = 0.0, y + row, 0.0
        corners.append((x, y))
        x, row = x + side, max(row, side)
        widest = max(widest, x)
    return np.array(corners), max(widest, y + row)
