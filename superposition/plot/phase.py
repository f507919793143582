"""Draws phase diagrams: how an extra feature is represented, by its importance and the density."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, to_rgb, to_rgba
from matplotlib.ticker import FixedLocator, NullLocator

from superposition.errors import ConfigError
from superposition.plot.models import grid_of
from superposition.plot.panels import Measured, Panel, Shortfall, Theory
from superposition.plot.style import (
    BLUE,
    DPI,
    GREY,
    INK,
    RED,
    Figure,
    fitted,
    grid,
    hatched,
    place,
    plain,
    quote,
    styled,
    write,
)

SIDE, LEFT, PITCH, DEEP = 2.8, 0.75, 3.8, 3.9  # inches: a panel, the margin, steps right and down
BAR, PHASES, SQUARE = 0.8, 2.3, 2.05  # inches that a colour bar and the two keys take
MARK, ALARM = 0.01, "#d00000"  # shortfalls above and below this are parted by a line of this colour


def phase_colour(norm: np.ndarray, interference: np.ndarray) -> np.ndarray:
    """Return RGBA (..., 4) by the paper's key: grey is absent, blue dedicated, red superposed, clear unknown.

    >>> phase_colour(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])).round(2).tolist()  # absent, dedicated, superposed
    [[0.9, 0.9, 0.9, 1.0], [0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0]]
    """
    w = np.clip(np.asarray(norm, float), 0, 1)[..., None]
    # A feature of norm zero has no direction, so no interference, and is grey all the same.
    s = np.where(w == 0, 0.0, np.clip(np.asarray(interference, float), 0, 1)[..., None])
    grey, blue, red = (np.array(to_rgb(colour)) for colour in (GREY, BLUE, RED))
    colour = (1 - w) * grey + w * ((1 - s) * blue + s * red)
    known = np.isfinite(colour).all(axis=-1, keepdims=True)
    rgba: np.ndarray = np.concatenate([np.where(known, colour, 1.0), known], axis=-1)
    return rgba


def phase_diagram(
    panels: Any, relative_importance: np.ndarray | None = None, density: np.ndarray | None = None
) -> Figure:
    """Draw panels over relative importance (x,) and density (y,), dense on top, with keys (Elhage et al. 2022).

    Args:
        panels: a sweep over density and importance_base or importance, of which the last feature of every best seed is
            drawn; or a sequence of `Theory`, `Measured` and `Shortfall`. A panel with `axes` (x, y) of its own is
            drawn over those, on a grid finer or coarser than the others'.
        relative_importance: importance of the extra feature over the others', (x,), beside panels.
        density: 1 - S, (y,), beside panels.

    Raises:
        ConfigError: shapes that do not fit each other, or a sweep over other axes.

    Example:
        >>> from superposition.plot import TWO_IN_ONE, Theory
        >>> panel = Theory("Which phase is least", classes=np.zeros((2, 2), int), phases=TWO_IN_ONE)
        >>> figure = phase_diagram([panel], relative_importance=np.array([0.1, 1.0]), density=np.array([0.1, 1.0]))
        >>> figure.axes[0].get_xlabel()
        'Relative Feature Importance'
    """
    swept = grid_of(panels)
    if swept is not None:
        panels = [Measured("Trained, best of seeds", swept.norm, swept.interference)]
        relative_importance, density = swept.relative_importance, swept.density
    if relative_importance is None or density is None:
        raise ConfigError(
            "panels need both axes: phase_diagram(panels, relative_importance, density), or give a sweep"
        )
    given = (relative_importance, density)
    edges = [
        (_edges(x, "relative_importance"), _edges(y, "density"))
        for x, y in (panel.axes or given for panel in panels)
    ]
    if not panels:
        raise ConfigError("no panels; give at least one of Theory, Measured, Shortfall.")
    # More than three panels take two rows; the keys stand after the first.
    split = len(panels) if len(panels) < 4 else len(panels) // 2
    spots: list[tuple[float, float]] = []
    extra = PHASES * any(isinstance(panel, Theory) for panel in panels)
    extra += SQUARE * any(isinstance(panel, Measured) for panel in panels)
    keys = width = 0.0
    for row, line in enumerate((panels[:split], panels[split:])):
        left = LEFT
        for panel in line:
            spots.append((left, 0.4 + row * DEEP))
            left += PITCH + (BAR if isinstance(panel, Shortfall) else 0)
        keys = keys or left - 0.25
        width = max(width, left - LEFT + (extra if row == 0 else 0.2))
    with styled():
        figure = Figure(figsize=(width, DEEP * (1 + (split < len(panels)))), dpi=DPI, facecolor="white")
        for panel, (left, top), (x, y) in zip(panels, spots, edges, strict=True):
            axes = _frame(figure, left, top, panel.title, x, y)
            if isinstance(panel, Theory):
                _theory(axes, panel, x, y)
            elif isinstance(panel, Measured):
                _measured(axes, panel, x, y)
            else:
                _shortfall(axes, panel, x, y, figure, (left, top))
        _keys(figure, keys, panels)
    return figure


def _edges(centres: np.ndarray, name: str) -> np.ndarray:
    """Return the borders (k + 1,) of log-spaced cells around centres (k,)."""
    centres = grid(centres, name, (None,))
    steps = np.diff(np.log(centres)) if (centres > 0).all() else np.array([np.nan])
    if not (np.isfinite(steps).all() and ((steps > 0).all() or (steps < 0).all())):
        raise ConfigError(f"{name} must be positive and strictly rising or falling, for a logarithmic axis.")
    # A lone cell reaches a tenth to either side; others meet half-way, and the outer ones reach as far again.
    middles = np.sqrt(centres[1:] * centres[:-1]) if len(centres) > 1 else centres * 0.9
    ends = centres[[0, -1]] ** 2 / middles[[0, -1]]
    edges: np.ndarray = np.concatenate([ends[:1], middles, ends[1:] if len(centres) > 1 else []])
    return edges


def _frame(figure: Figure, left: float, top: float, title: str, x: np.ndarray, y: np.ndarray) -> Axes:
    """Return empty axes with the paper's scales: importance to the right, density from 1 on top down to 0.01."""
    axes = place(figure, left, top, SIDE, SIDE)
    axes.set(xscale="log", yscale="log", xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    axes.spines[:].set(visible=True, linewidth=0.8)
    for axis, low, high, unit in ((axes.xaxis, x.min(), x.max(), "x"), (axes.yaxis, y.min(), y.max(), "")):
        ticks = [10.0**power for power in range(-6, 7) if low <= 10.0**power <= high]
        ticks = ticks if len(ticks) > 1 else [float(low), float(high)]
        names = [("1.0" if tick == 1 else f"{tick:.3g}") + unit for tick in ticks]
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_ticklabels(names)
        axis.set_minor_locator(NullLocator())
        axis.set_tick_params(length=4, color=INK, labelsize=9)
    axes.set_xlabel("Relative Feature Importance", fontsize=9.5, loc="left", labelpad=5)
    axes.set_ylabel("Feature Density (1-S)", fontsize=9.5, loc="bottom", labelpad=1)
    line = fitted(title, 10, 72 * (PITCH - 0.1), "bold")
    quote(figure, left, top - 0.11, line, 10, weight="bold", va="bottom")
    return axes


def _fill(axes: Axes, x: np.ndarray, y: np.ndarray, colours: np.ndarray) -> None:
    """Draw cells of RGBA colours (y, x, 4); where one is clear, hatching shows."""
    if (colours[..., 3] == 0).any():
        hatched(axes)
    axes.pcolormesh(x, y, colours, rasterized=True, zorder=1)


def _outline(axes: Axes, labels: np.ndarray, x: np.ndarray, y: np.ndarray, colour: str, width: float) -> None:
    """Draw a thin line, on a light one, along every border of cells across which labels (y, x) change."""
    upright = [
        [(x[j + 1], y[i]), (x[j + 1], y[i + 1])] for i, j in np.argwhere(labels[:, 1:] != labels[:, :-1])
    ]
    level = [[(x[j], y[i + 1]), (x[j + 1], y[i + 1])] for i, j in np.argwhere(labels[1:] != labels[:-1])]
    for shade, extra, order in (("white", 1.2 * width, 2.0), (colour, 0.0, 2.1)):
        lines = LineCollection(upright + level, colors=shade, linewidths=width + extra, capstyle="projecting",
                               zorder=order, gid="borders" if shade == colour else "halo")  # fmt: skip
        axes.add_collection(lines, autolim=False)


def _theory(axes: Axes, panel: Theory, x: np.ndarray, y: np.ndarray) -> None:
    classes = grid(panel.classes, "classes", (len(y) - 1, len(x) - 1))
    if classes.max(initial=-1) >= len(panel.phases):
        raise ConfigError(
            f"class {classes.max():g} has no phase; give {len(panel.phases)} classes counted from 0."
        )
    palette = np.array([to_rgba(phase.colour) for phase in panel.phases] + [(1.0, 1.0, 1.0, 0.0)])
    known = np.where(np.isfinite(classes) & (classes >= 0), classes, -1).astype(int)
    _fill(axes, x, y, palette[known])


def _measured(axes: Axes, panel: Measured, x: np.ndarray, y: np.ndarray) -> None:
    shape = (len(y) - 1, len(x) - 1)
    _fill(
        axes,
        x,
        y,
        phase_colour(grid(panel.norm, "norm", shape), grid(panel.interference, "interference", shape)),
    )
    if panel.borders is not None:
        _outline(axes, np.nan_to_num(grid(panel.borders, "borders", shape), nan=-1.0), x, y, "black", 0.9)


def _shortfall(
    axes: Axes, panel: Shortfall, x: np.ndarray, y: np.ndarray, figure: Figure, corner: tuple[float, float]
) -> None:
    left, top = corner
    excess = grid(panel.excess, "excess", (len(y) - 1, len(x) - 1))
    known = ~np.isnan(excess)
    # A ramp of brightness, whatever hues an eye can tell; an excess at or below its foot is as good as none.
    scale, colours = LogNorm(1e-4, 1), colormaps["YlGnBu"]
    shown = colours(scale(np.clip(np.where(known, excess, 1.0), 1e-4, 1)))
    shown[~known] = 0.0
    _fill(axes, x, y, shown)
    above = known & (excess > MARK)
    # Where cells are small the outline is finer, so as not to bury a lone one.
    _outline(axes, above, x, y, ALARM, min(1.1, 0.35 * 72 * SIDE / max(above.shape)))
    note = f"Red line at {MARK:.0%}; above it {above.sum()} of {known.sum()} cells"
    # No training beats an exact minimum: where one seems to, the minimum was not one, and the reader is told.
    if (below := int((excess < -1e-4).sum())) > 0:
        note += f"; {below} below the minimum"
    write(figure, left, top + SIDE + 0.66, note, 8.5, color=ALARM, va="bottom")
    bar = place(figure, left + SIDE + 0.12, top, 0.13, SIDE)
    figure.colorbar(ScalarMappable(scale, colours), cax=bar)
    bar.set_yticks([1e-4, 1e-3, 1e-2, 1e-1, 1], ["≤0.01%", "0.1%", "1%", "10%", "≥100%"], fontsize=8.5)
    bar.minorticks_off()
    bar.axhline(MARK, color=ALARM, linewidth=1.5)
    bar.set_ylabel(plain(panel.label), fontsize=8.5, parse_math=False)


def _keys(figure: Figure, left: float, panels: Sequence[Panel]) -> None:
    """Draw the keys: the theory's phases, then the square of norm and interference."""
    theory = next((panel for panel in panels if isinstance(panel, Theory)), None)
    y = 0.4
    for phase in theory.phases if theory else ():
        name = [plain(line, 40) for line in phase.name.split("\n")]
        given = [(r"W =", phase.W), (r"W \perp", phase.perp)]
        rows = [rf"${symbol}\,[\,{_row(numbers)}\,]$" for symbol, numbers in given if numbers]
        top = y + 0.185 * len(name)
        quote(figure, left + 0.15, y, "\n".join(name), 9, va="top", linespacing=1.25)
        for number, row in enumerate(rows):
            write(figure, left + 0.15, top + 0.2 * number + 0.16, row, 10)
        depth = top + 0.2 * len(rows) + 0.03 - y
        place(figure, left, y, 0.06, depth).set(facecolor=phase.colour)
        y += depth + 0.19
    if not any(isinstance(panel, Measured) for panel in panels):
        return
    left += PHASES if theory else 0.1
    words = "Colour: norm and\nsuperposition of\nthe extra feature"
    write(figure, left, 0.4, words, 9, va="top", linespacing=1.25)
    write(figure, left, 1.05, r"$\sum_{j \neq i}\,(\hat{W}_i \cdot W_j)^2$", 10.5, va="top")
    square = place(figure, left, 1.7, 0.9, 0.9)
    ramp = np.linspace(0, 1, 64)
    square.imshow(phase_colour(ramp[:, None], ramp[None]), origin="lower", extent=(0, 1, 0, 1), aspect="auto")
    square.xaxis.tick_top()
    square.yaxis.tick_right()
    square.set_xticks([0, 1], ["0", "≥1"], fontsize=8.5)
    square.set_yticks([0, 0.5, 1], ["0", r"$\|W_i\|$", "≥1"], fontsize=8.5)


def _row(numbers: Sequence[int]) -> str:
    return r"\;\;".join(f"{{{number}}}" for number in numbers)
