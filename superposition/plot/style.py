"""The papers' palette, the one style every drawing is made under, figures that show themselves in notebooks, and text."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib.figure
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from superposition.errors import ConfigError
from superposition.plot import slide

CREAM, FRAME, DASHES = "#FCFBF8", "#c8c8c8", "#cfcfcf"
INK, MUTED, TRACK = "#444444", "#777777", "#eeeeee"
BLUE, RED, GREY = "#0000ff", "#ff0000", "#e5e5e5"
SUPERPOSITION_SWATCHES = ("#111e25", "#434083", "#2b8f8c", "#a8da45", "#ffff54")

WEIGHTS = LinearSegmentedColormap.from_list("weights", [BLUE, "#f2f2f2", RED])
SUPERPOSITION = LinearSegmentedColormap.from_list("superposition", list(SUPERPOSITION_SWATCHES))

DPI = 125
FONT = "DejaVu Sans"  # ships with matplotlib, so a figure has the same letters on every machine
RC: dict[str, Any] = {
    "figure.dpi": DPI,
    "font.family": FONT,
    "font.size": 9.0,
    "mathtext.fontset": "cm",
    "text.hinting": "no_hinting",  # hinted, a minus sign looks bold at this size
    "text.color": INK,
    "axes.edgecolor": FRAME,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.color": "#999999",
    "hatch.linewidth": 0.5,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house style whatever the caller's rcParams are, and leave those as they were."""
    with matplotlib.style.context(["default", RC | slide.rc()]), slide.slides():
        yield


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that a notebook shows as it stands, with whatever backend and without `%matplotlib inline`.

    It belongs to no pyplot window, so that with the inline backend too it is shown once.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        slide.register(self)

    def savefig(self, fname: Any, *, transparent: bool | None = None, **settings: Any) -> None:
        """Save at the dpi that the figure has now: matplotlib takes the one that it was made with."""
        super().savefig(fname, transparent=transparent, **({"dpi": self.dpi} | settings))

    def _repr_png_(self) -> bytes:
        """Return the picture as IPython asks for it: the PNG that `plot.save` would write, without its alt text."""
        buffer = BytesIO()
        with styled():
            self.savefig(buffer, format="png")
        return buffer.getvalue()


def plain(text: object, limit: int = 200) -> str:
    """Return a user's text as it may safely be drawn: one line, printable, at most `limit` characters."""
    line = " ".join(str(text).encode("utf-8", "replace").decode("utf-8").split())
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of `text` in points, as drawn: neither this nor the house style hints its letters."""
    font = FontProperties(family=FONT, size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def fitted(text: object, size: float, points: float, weight: str = "normal") -> str:
    """Return `text`, cut with an ellipsis where it would be wider than `points`."""
    line = plain(text)
    while len(line) > 1 and text_width(line, size, weight) > points:
        line = line[:-2].rstrip() + "…"
    return line


def wrapped(text: str, size: float, points: float) -> list[list[tuple[str, str, float]]]:
    """Return lines of (words, weight, x in points) of prose in which **two stars** mark what is bold."""
    space = text_width("a a", size) - text_width("aa", size)
    lines: list[list[tuple[str, str, float]]] = [[]]
    for number, run in enumerate(plain(text, 2000).split("**")):
        weight = "bold" if number % 2 else "normal"
        for word in run.split():
            last, before, x = lines[-1][-1] if lines[-1] else ("", weight, 0.0)
            if before == weight:  # one run of one weight is one string, spaced as the font has it
                joined, start = f"{last} {word}".strip(), x
            else:  # punctuation after a bold word stays with it
                joined, start = (
                    word,
                    x + text_width(last, size, before) + (0 if word[0] in ".,;:)" else space),
                )
            if lines[-1] and start + text_width(joined, size, weight) > points:
                lines.append([(fitted(word, size, points, weight), weight, 0.0)])
            elif before == weight and lines[-1]:
                lines[-1][-1] = (joined, weight, start)
            else:
                lines[-1].append((joined, weight, start))
    return lines


def write(figure: Figure, x: float, y: float, text: str, size: float, **style: Any) -> Text:
    """Write our own text, which may hold mathtext, at (x, y) inches from a figure's top left corner."""
    width, height = figure.get_size_inches()
    return figure.text(x / width, 1 - y / height, text, fontsize=size, **style)


def quote(figure: Figure, x: float, y: float, text: str, size: float, **style: Any) -> Text:
    """Write a caller's text, in which a dollar sign is a dollar sign, at (x, y) inches from the top left corner."""
    return write(figure, x, y, text, size, parse_math=False, **style)


def place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Return bare axes in a figure, measured in inches from its top left corner."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((x / across, 1 - (y + height) / down, width / across, height / down))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def hatched(axes: Axes) -> None:
    """Draw hatching under an axes, which shows where a grid has no value."""
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="white", edgecolor="#999999",
                             hatch="//////", linewidth=0, zorder=0, gid="unknown"))  # fmt: skip


def grid(values: object, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return `values` as a float array of `shape` (None is any length above zero), or ConfigError by name."""
    array = np.asarray(values, dtype=float)
    fits = array.ndim == len(shape) and all(
        got > 0 if want is None else got == want for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ConfigError(f"{name} has shape {array.shape}; give an array of shape ({wanted}).")
    return array
