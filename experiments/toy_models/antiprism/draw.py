"""Two sets of three features in space while they learn: snapshots, measures over training, and a movie."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.animation import Animation, FuncAnimation
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from experiments.toy_models.antiprism.config import HALF
from superposition.errors import ConfigError
from superposition.geometry.triangles import two_triangles
from superposition.plot.style import CREAM, FRAME, INK, MUTED, Figure, fitted, grid, styled

SETS = ("#0072B2", "#D55E00")
LOSS = "#444444"
LIMIT = 1.3
TILT = 22.0  # degrees the axis leans towards the viewer


class Measure(NamedTuple):
    """A curve under the snapshots: name, values (frame,), colour."""

    name: str
    values: np.ndarray
    colour: str


def draw(result: Result) -> Figure:
    """Snapshots of every stage, and the measures they are read from."""
    a = result.arrays
    shape = two_triangles(a["W"])
    parted, opened, turned = (max(0, int(k)) for k in a["stages"][1:])
    last = len(a["step"]) - 1
    between = (opened + max(opened, turned)) // 2
    shots = {"near zero": 0, "sets parted": (parted + opened) // 2, "opening": opened, "triangles": between,
             "turned: octahedron": last}  # fmt: skip
    mean = shape.centre.mean(1) / max(float(shape.centre[-1].mean()), 1e-12)
    width = shape.width.min(1) / max(float(shape.width[-1].min()), 1e-12)
    measures = [
        Measure("distance of the sets' means from 0 (of the final)", mean, SETS[0]),
        Measure("width of the narrower set (of the final)", width, SETS[1]),
        Measure(
            "twist of the triangles (of 60 degrees)",
            np.where(width > HALF, shape.twist / 60, np.nan),
            "#009E73",
        ),
        Measure("cosine of the sets' means", shape.facing, "#CC79A7"),
    ]
    return stages(a["step"], a["W"], shots, measures, a["loss"], ticks={-1: "-1", 0: "0", 0.5: "1/2", 1: "1"})


def animate(result: Result) -> Animation:
    """The run of the picture, frame by frame."""
    a = result.arrays
    bounds = [int(k) if k >= 0 else len(a["step"]) for k in a["stages"]]
    words = ("Near zero", "The sets part, then open", "Triangles, turning", "Turned: an octahedron")
    frames = range(len(a["step"]))
    return movie(
        a["step"], a["W"], a["loss"], [words[max(i for i, b in enumerate(bounds) if k >= b)] for k in frames]
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    steps = [int(a["step"][k]) for k in a["stages"] if k >= 0]
    return (
        "Two sets of three correlated features in space, in two colours: near zero, then one direction a set, then triangles, "
        f"then an octahedron whose opposite corners belong to different sets; stages begin at steps {steps}. Below, distance, "
        f"width, twist and cosine of the two sets over training, and the loss, from {a['loss'][0]:.4f} to {a['loss'][-1]:.4f}."
    )


def stages(
    step: np.ndarray,
    W: np.ndarray,
    snapshots: Mapping[str, int],
    measures: Sequence[Measure],
    loss: np.ndarray,
    *,
    ticks: Mapping[float, str],
) -> Figure:
    """Snapshots of W (frame, 3, 6) in a row, the measures and the loss (frame,) over logarithmic steps (frame,) below.

    snapshots: title -> frame; ticks: of the measures' axis, value -> words.
    """
    step, W, loss = _checked(step, W, loss)
    if not snapshots:
        raise ConfigError("snapshots is empty; give title -> frame of at least one.")
    frame = _frame(W[-1])
    with styled():
        figure = Figure(figsize=(2.55 * len(snapshots) + 0.9, 6.3), facecolor="white")
        outer = figure.add_gridspec(2, 1, left=0.075, right=0.925, top=0.93, bottom=0.085, hspace=0.16,
                                    height_ratios=(1, 1.25))  # fmt: skip
        row = outer[0].subgridspec(1, len(snapshots), wspace=0.06)
        below = figure.add_subplot(outer[1])
        for k, (title, at) in enumerate(snapshots.items()):
            axes = figure.add_subplot(row[k])
            _panel(axes)
            _solid(axes, frame @ W[at], 25.0)
            letter = "ABCDEFGH"[k % 8]
            axes.set_title(fitted(f"{letter}  {title}", 10, 175, "bold"), fontsize=10, weight="bold", pad=5)
            axes.text(
                0.04, 0.03, f"step {int(step[at])}", transform=axes.transAxes, color=MUTED, fontsize=8.5
            )
            x = max(float(step[at]), float(step[0]))
            below.axvline(x, color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
            below.text(x, 1.015, letter, transform=below.get_xaxis_transform(), ha="center", weight="bold")
        for measure in measures:
            below.plot(
                step, measure.values, color=measure.colour, linewidth=1.9, label=measure.name, zorder=3
            )
        below.set(xscale="log", xlim=(step[0], step[-1]), xlabel="Training step")
        below.set_yticks(list(ticks), list(ticks.values()))
        other = below.twinx()
        other.plot(step, loss, color=LOSS, linewidth=1.3, dashes=(4, 2), zorder=2)
        other.set(yscale="log", ylabel="Loss (dashed)")
        other.minorticks_off()
        marks = [
            t for t in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if loss.min() * 0.9 < t < loss.max() * 1.1
        ]
        other.set_yticks(marks, [f"{t:g}" for t in marks])
        below.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.01, 0.02))
        for axes in (below, other):
            axes.spines["top"].set_visible(False)
    return figure


def movie(step: np.ndarray, W: np.ndarray, loss: np.ndarray, captions: Sequence[str]) -> FuncAnimation:
    """The same features frame by frame, slowly turning, a caption (frame,) above and the loss beside. W (frame, 3, 6)."""
    step, W, loss = _checked(step, W, loss)
    if len(captions) != len(step):
        raise ConfigError(f"{len(captions)} captions for {len(step)} frames; give one a frame.")
    frame = _frame(W[-1])
    with styled():
        figure = Figure(figsize=(7.6, 4.4), facecolor="white")
        axes = figure.add_axes((0.02, 0.04, 0.53, 0.86))
        curve = figure.add_axes((0.66, 0.15, 0.31, 0.68))
        curve.plot(step, loss, color=LOSS, linewidth=1.4)
        (dot,) = curve.plot([], [], "o", color=SETS[1], markersize=7, clip_on=False, zorder=5)
        curve.set(xscale="log", yscale="log", xlim=(step[0], step[-1]), xlabel="Training step", ylabel="Loss")
        curve.minorticks_off()
        marks = [
            t for t in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if loss.min() * 0.9 < t < loss.max() * 1.1
        ]
        curve.set_yticks(marks, [f"{t:g}" for t in marks])
        curve.spines[["top", "right"]].set_visible(False)
        caption = figure.text(0.03, 0.93, "", fontsize=11.5, weight="bold")
        count = figure.text(0.97, 0.93, "", fontsize=10, color=MUTED, ha="right")

    def update(k: int) -> list[object]:
        axes.clear()
        _panel(axes)
        _solid(axes, frame @ W[k], 25.0 + 60.0 * k / max(1, len(step) - 1))
        dot.set_data([step[k]], [loss[k]])
        caption.set_text(fitted(captions[k], 11.5, 400, "bold"))
        count.set_text(f"step {int(step[k])}")
        return []

    return FuncAnimation(figure, update, frames=len(step))  # type: ignore[arg-type]


def _checked(step: object, W: object, loss: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steps = grid(step, "step", (None,))
    return steps, grid(W, "W", (len(steps), 3, 6)), grid(loss, "loss", (len(steps),))


def _frame(W: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) that stands the axis through both sets' means upright, set a on top. W (3, 6)."""
    up = W[:, :3].mean(1) - W[:, 3:].mean(1)
    up = up / max(float(np.linalg.norm(up)), 1e-12)
    across = W[:, 0] - (W[:, 0] @ up) * up
    if np.linalg.norm(across) < 1e-9:
        across = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    across = across / np.linalg.norm(across)
    return np.stack([across, np.cross(up, across), up])


def _panel(axes: Axes) -> None:
    axes.set(
        xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), facecolor=CREAM, aspect="equal", xticks=[], yticks=[]
    )
    axes.spines[:].set(visible=True, color=FRAME, linewidth=1.0)


def _solid(axes: Axes, points: np.ndarray, turn: float) -> None:
    """Features (3, 6) as lines with dots, each set's triangle filled, seen by an orthographic eye."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    x, y, z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ points
    a, b = np.cos(np.radians(TILT)), np.sin(np.radians(TILT))
    flat, depth = np.stack([x, a * z - b * y]), -(a * y + b * z)  # depth: towards the viewer
    for k, colour in enumerate(SETS):
        three = flat[:, 3 * k : 3 * k + 3]
        axes.fill(*three, facecolor=colour, alpha=0.22, edgecolor=colour, linewidth=1.1, zorder=3)
    for i in np.argsort(depth):
        colour = SETS[i // 3]
        near = 0.5 + 0.5 * np.clip((depth[i] + 1) / 2, 0, 1)
        axes.plot([0, flat[0, i]], [0, flat[1, i]], color=colour, linewidth=1.2 + 1.6 * near, alpha=0.45 + 0.55 * near,
                  solid_capstyle="round", zorder=4 + depth[i] / 10, gid=f"feature-{i}")  # fmt: skip
        axes.plot(flat[0, i], flat[1, i], "o", color=colour, markersize=4 + 5 * near, markeredgecolor="white",
                  markeredgewidth=0.6, zorder=5 + depth[i] / 10)  # fmt: skip
    axes.plot(0, 0, "o", color=INK, markersize=3, zorder=6)
