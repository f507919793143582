"""Polytopes as solids, coloured by tegum factor, and a table of the shapes that energies lead to."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from scipy.spatial import ConvexHull

from experiments.lab.claim import Result
from experiments.toy_models.thomson.config import PAPER
from superposition import geometry
from superposition.errors import ConfigError
from superposition.plot.style import DPI, FRAME, INK, MUTED, Figure, fitted, grid, place, quote, styled, write

_SOLIDS = (
    ("5 in 2", "interference", "pentagon", r"$5 \times 2/5$"),
    ("4 in 3", "coulomb", "tetrahedron", r"$4 \times 3/4$"),
    ("5 in 3", "coulomb", "triangular bipyramid", "triangle + digon\n" + r"$3 \times 2/3 + 2 \times 1/2$"),
    ("6 in 3", "interference", "octahedron", "3 digons\n" + r"$6 \times 1/2$"),
    (
        "7 in 3",
        "interference",
        "pentagonal bipyramid",
        "pentagon + digon\n" + r"$5 \times 2/5 + 2 \times 1/2$",
    ),
    ("8 in 3", "interference", "square antiprism", r"$8 \times 3/8$"),
    ("7 in 3", "trained", "seven, irregular", ""),
    ("12 in 3", "trained", "icosahedron", ""),
)
FACTORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
SIDE, GAP, LEFT, CAPTION = 1.75, 0.2, 0.2, 0.72  # inches
TOP = 0.4
ROW, CELL = 0.34, 2.95
BODY = 10.5  # points, of the table
FLAT = 1e-6
AGREES, DIFFERS, PLAIN = "#dcefe6", "#fbe3d6", "#f4f4f2"


class Solid(NamedTuple):
    """Unit vectors W (2 or 3, k), what to call them, and their factors as lists of columns."""

    title: str
    caption: str
    W: np.ndarray
    factors: Sequence[Sequence[int]]


class Row(NamedTuple):
    """One case of the table: its label, and a cell (words, whether it agrees; None if there is no saying)."""

    label: str
    cells: Sequence[tuple[str, bool | None]]


def draw(result: Result) -> Figure:
    """The solids as minimised, coloured by tegum factor; what each energy leads to, in a table."""
    return polytopes(
        [_drawn(result, *solid) for solid in _SOLIDS if solid[0] in result.numbers["table"]],
        ["least interference E", "least 1/r (Thomson)", "least one-feature loss, b free"],
        [_row(case, row) for case, row in result.numbers["table"].items()],
        "Shape of most starts, and how many of them. Green: the shape the paper names for so many vectors; orange: another.\n"
        "Irregular: a shape without a name. Below 2d + 1 vectors E = 0 for every arrangement without an acute angle.",
        "A stick is a feature's vector, a grey line an edge of the hull. Sticks of one colour make\n"
        "one factor; factors of other colours stand at right angles to it, and do not interfere.",
        _headline(result),
    )


def _headline(result: Result) -> str:
    """How many of the shapes that the paper names are the commonest minimum of the interference."""
    named = [case for case in result.numbers["table"] if tuple(map(int, case.split(" in "))) in PAPER]
    right = [c for c in named if _row(c, result.numbers["table"][c]).cells[0][1]]
    return f"Interference alone leads to {len(right)} of the paper's {len(named)} shapes; the others tie with irregular ones"


def _drawn(result: Result, case: str, kind: str, title: str, caption: str) -> Solid:
    W = result.arrays[f"{kind} {case}"]
    row = result.numbers["table"][case][kind]
    low, high = (f"{row['dimensionality'][i]:.2f}" for i in (0, -1))
    caption = caption or f"least loss, b free\n$D$ = {low}" + (f" to {high}" if high != low else "")
    parts = geometry.recognise(W, represented=0.1).components
    return Solid(title, caption, W / np.linalg.norm(W, axis=0), [c.features for c in parts])


def _row(case: str, row: dict[str, Any]) -> Row:
    k, d = (int(part) for part in case.split(" in "))
    paper = PAPER.get((k, d), ("",))[0]
    cells: list[tuple[str, bool | None]] = []
    for kind in ("interference", "coulomb", "trained"):
        (name, count), *others = row[kind]["names"].items()
        share = 100 * count / sum(row[kind]["names"].values())
        tail = (
            f", {len(others)} others"
            if len(others) > 1
            else f", {_called(next(iter(others))[0], case)}"
            if others
            else ""
        )
        words = f"{_called(name, case)} {share:.0f} %{tail}" if share < 99.5 else _called(name, case)
        cells.append((words, name == paper if paper else None))
    return Row(case, cells)


def _called(name: str, case: str) -> str:
    """A shape's name for the reader: vectors without a named shape, "k in d" to `geometry.recognise`, are irregular."""
    return "irregular" if name == case else re.sub(r"(\d+) in \d+", r"irregular \1", name)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    table = result.numbers["table"]
    parts = [
        f"{case}: {row['interference']['best']}, {row['trained']['best']}" for case, row in table.items()
    ]
    return (
        "Polytopes drawn as vectors in the plane and in space, coloured by tegum factor, beside a table of the shape "
        "with the least interference and the shape of least trained loss for k vectors in d dimensions: "
        + "; ".join(parts)
        + "."
    )


def polytopes(
    solids: Sequence[Solid],
    heads: Sequence[str],
    rows: Sequence[Row],
    note: str = "",
    legend: str = "",
    headline: str = "",
    across: int = 4,
) -> Figure:
    """Solids above one another on the left, `across` to a line; on the right, rows of cells under `heads`.

    Columns of each W are drawn as vectors from the origin, one colour a factor, over the edges of their hull;
    `note` stands below the table, `legend` below the solids, `headline` above all.
    Raises ConfigError for a W that is not (2 or 3, k), or a row with another
    number of cells than heads.
    """
    if any(len(row.cells) != len(heads) for row in rows):
        raise ConfigError(f"every row needs {len(heads)} cells, one for each of {list(heads)}")
    lines = -(-len(solids) // across)
    left = LEFT + across * (SIDE + GAP)
    height = TOP + 0.45 + max(lines * (SIDE + CAPTION + GAP) + 0.35, len(rows) * ROW + 0.9)
    with styled():
        size = (left + 0.95 + len(heads) * CELL + 0.2, height)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        write(figure, LEFT + 0.1, 0.32, headline, 13, weight="bold")
        for k, solid in enumerate(solids):
            line, column = divmod(k, across)
            x, y = LEFT + column * (SIDE + GAP), TOP + 0.3 + line * (SIDE + CAPTION + GAP)
            _solid(place(figure, x, y, SIDE, SIDE), solid)
            middle = x + SIDE / 2
            title = fitted(solid.title, 10.5, 72 * (SIDE + GAP))
            quote(figure, middle, y + SIDE + 0.2, title, 10.5, ha="center", weight="bold")
            for number, words in enumerate(solid.caption.split("\n")):
                write(figure, middle, y + SIDE + 0.38 + 0.17 * number, words, 9, ha="center", color=MUTED)
        for number, words in enumerate(legend.split("\n")):
            below = TOP + 0.35 + lines * (SIDE + CAPTION + GAP) + 0.18 * number
            write(figure, LEFT + 0.1, below, words, 9.5, color=MUTED)
        _table(figure, left + 0.1, TOP + 0.4, heads, rows)
        for number, words in enumerate(note.split("\n")):
            below = TOP + 0.52 + len(rows) * ROW + 0.25 + 0.18 * number
            write(figure, left + 1.0, below, words, 9.5, color=MUTED)
    return figure


def _solid(axes: Axes, solid: Solid) -> None:
    W = grid(solid.W, f"W of {solid.title}", (None, None))
    if W.shape[0] not in (2, 3):
        raise ConfigError(f"a solid has 2 or 3 dimensions; {solid.title} has {W.shape[0]}")
    points, depth = _seen(W)
    axes.set(xlim=(-1.22, 1.22), ylim=(-1.22, 1.22), aspect="equal")
    edges = _edges(W)
    back = [bool(depth[[i, j]].mean() < -0.1) for i, j in edges]
    segments = [points[:, [i, j]].T for i, j in edges]
    for hidden, colour, width in ((True, "#dddddd", 0.9), (False, "#a9a9a9", 1.2)):
        chosen = [s for s, b in zip(segments, back, strict=True) if b == hidden]
        axes.add_collection(LineCollection(chosen, colors=colour, linewidths=width, zorder=1 + (not hidden)))
    for colour, factor in zip(
        FACTORS * (1 + len(solid.factors) // len(FACTORS)), solid.factors, strict=False
    ):
        for i in factor:
            near = 0.5 + 0.5 * (depth[i] + 1) / 2
            order = 3 + depth[i]
            axes.plot(
                [0, points[0, i]], [0, points[1, i]], color=colour, alpha=near, linewidth=2.2, zorder=order
            )
            axes.plot(*points[:, i], "o", color=colour, alpha=near, markersize=6.5, zorder=order + 0.1)
    axes.plot(0, 0, "o", color="#555555", markersize=3, zorder=6)


def _seen(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (2, k) on the page and their depth towards the reader (k,), in a standard pose.

    The factor of most vectors, or the flattest circle of them, lies nearly level: the poles stand upright.
    """
    if len(W) == 2:
        return W, np.zeros(W.shape[1])
    axis, across = _pose(W)
    frame = np.stack([across, np.cross(axis, across), axis])
    tilt, turn = np.radians(20), np.radians(17)
    turned = (
        np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ frame @ W
    )
    x, y, z = turned
    return np.stack([x, np.cos(tilt) * z + np.sin(tilt) * y]), np.sin(tilt) * z - np.cos(tilt) * y


def _pose(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction to hold upright, about which the points lie in fewest levels, and one across it."""
    i, j = np.triu_indices(W.shape[1], 1)
    middles = W[:, i] + W[:, j]
    candidates = np.concatenate([W, np.cross(W[:, i].T, W[:, j].T).T, middles], 1)
    length = np.linalg.norm(candidates, axis=0)
    candidates = candidates[:, length > 1e-3] / length[length > 1e-3]
    heights = np.abs(candidates.T @ W)
    levels = 1 + (np.diff(np.sort(heights, axis=1), axis=1) > 0.05).sum(1)
    levels[W.shape[1] :] += 1  # upright on a vertex, unless a direction between them has fewer levels
    axis = candidates[:, levels.argmin()]
    side = W - np.outer(axis, axis @ W)
    across = side[:, np.linalg.norm(side, axis=0).argmax()]
    return axis, across / np.linalg.norm(across)


def _edges(W: np.ndarray) -> list[tuple[int, int]]:
    """Edges of the convex hull, those inside a flat face left out."""
    hull = ConvexHull(W.T)
    if len(W) == 2:
        return [(int(i), int(j)) for i, j in hull.simplices]
    faces: dict[tuple[int, int], list[np.ndarray]] = {}
    for face, plane in zip(hull.simplices, hull.equations, strict=True):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            a, b = sorted((int(face[i]), int(face[j])))
            faces.setdefault((a, b), []).append(plane[:3])
    return [edge for edge, normals in faces.items() if np.dot(*normals) < 1 - FLAT]


def _table(figure: Figure, x: float, y: float, heads: Sequence[str], rows: Sequence[Row]) -> None:
    for column, head in enumerate(heads):
        quote(figure, x + 0.9 + (column + 0.5) * CELL, y, head, BODY, ha="center", weight="bold")
    axes = place(figure, x, y + 0.12, 0.9 + len(heads) * CELL, len(rows) * ROW)
    axes.set(xlim=(0, 0.9 + len(heads) * CELL), ylim=(len(rows) * ROW, 0))
    for line, row in enumerate(rows):
        middle = y + 0.12 + (line + 0.5) * ROW
        quote(figure, x + 0.8, middle, row.label, BODY, ha="right", va="center", color=INK)
        for column, (words, agrees) in enumerate(row.cells):
            colour = PLAIN if agrees is None else AGREES if agrees else DIFFERS
            corner = (0.9 + column * CELL + 0.02, line * ROW + 0.02)
            box = Rectangle(corner, CELL - 0.04, ROW - 0.04, facecolor=colour, edgecolor=FRAME, linewidth=0.6)
            axes.add_patch(box)
            cut = fitted(words, BODY, 72 * (CELL - 0.12))
            quote(figure, x + 0.9 + (column + 0.5) * CELL, middle, cut, BODY, ha="center", va="center")
