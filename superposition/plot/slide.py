"""`style("lecture")`: every drawing as a slide of 16 by 9, with a headline and no text under 18 points."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.text import Text

from superposition.errors import ConfigError

WIDTH, HEIGHT = 16.0, 9.0  # inches of a slide; 18 points are then a thirty-sixth of its height
PIXELS = 1920
LEAST, HEADLINE = 18.0, 27.0  # points on the slide
MARGIN, LINE, LETTERS = 0.3, 0.52, 72  # inches around a headline, and of a line of it; letters in a line
ENLARGED = 1.5  # text that would grow by more against its drawing would cover it
# Okabe and Ito's colours, which every eye tells apart, without the yellow that is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("paper", "lecture")


class _Style(NamedTuple):
    name: str
    title: str


class _State:
    """The style in force, as rcParams are: one for the process. `made` are the figures of the drawing that is under way."""

    style = _Style("paper", "")
    made: list[Figure] | None = None


class style:
    """Draw in a style from now on, or inside `with`: "lecture" for a hall, "paper" as it was before.

    In "lecture" every drawing of `superposition.plot` is a slide of 16 by 9 inches, 1920 by 1080 pixels, on which no text is
    under 18 points. Colours are those that colour-blind eyes tell apart too. A slide's headline states the finding.

    Args:
        name: "lecture" or "paper".
        title: The headline of the slides drawn in this style: what the picture shows, as a sentence.

    Raises:
        ConfigError: There is no such style; or, when something is drawn, it has more in it than a slide can show at
            18 points: draw fewer columns or panels.

    Source:
        Colours: Okabe and Ito (2002), Color Universal Design.

    Example:
        >>> import numpy as np
        >>> from superposition import plot
        >>> with plot.style("lecture", title="Five features share two dimensions as a pentagon"):
        ...     turn = 2 * np.pi * np.arange(5) / 5
        ...     figure = plot.features_2d(np.stack([np.cos(turn), np.sin(turn)])[None], np.ones(5), ["1 - S = 0.1"])
        >>> [round(float(inches * figure.dpi)) for inches in figure.get_size_inches()]
        [1920, 1080]
    """

    def __init__(self, name: str, *, title: str = "") -> None:
        if name not in STYLES:
            raise ConfigError(f"style must be one of {', '.join(STYLES)}; got {name!r}")
        self._before = _State.style
        _State.style = _Style(name, title)

    def __enter__(self) -> "style":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _State.style = self._before


def rc() -> dict[str, Any]:
    """The rcParams that the style in force adds to the house's."""
    if _State.style.name == "paper":
        return {}
    return {"axes.prop_cycle": cycler(color=list(COLOURS)), "savefig.dpi": "figure"}


def register(figure: Figure) -> None:
    """Note a figure of the drawing under way, which becomes a slide when it is done."""
    if _State.made is not None:
        _State.made.append(figure)


@contextmanager
def slides() -> Iterator[None]:
    """Make slides of the figures made inside, once the outermost drawing is done, where the style asks for it."""
    if _State.made is not None:
        yield
        return
    _State.made = []
    try:
        yield
        if _State.style.name == "lecture":
            for figure in _State.made:
                as_slide(figure, _State.style.title)
    finally:
        _State.made = None


def as_slide(figure: Figure, title: str = "") -> None:
    """Put what a figure shows onto a slide: larger, in the middle, with no text under 18 points.

    The picture is enlarged by the number of pixels an inch has, which enlarges lines, markers and paddings alike. Text that
    would still be under 18 points of the slide is enlarged by itself.
    """
    lines = textwrap.wrap(title, LETTERS)
    band = 2 * MARGIN + LINE * len(lines) if lines else 0.0
    across, down = (float(inches) for inches in figure.get_size_inches())
    scale = min(WIDTH / across, (HEIGHT - band) / down)
    figure.draw_without_rendering()  # tick labels are there only once they have been drawn
    sizes = [_size(text) for text in texts(figure)]
    least = LEAST / scale
    if sizes and least / min(sizes) > ENLARGED:
        raise ConfigError(
            f"this drawing has too much in it for a slide: its smallest text would have {scale * min(sizes):.0f} points of "
            "18; draw fewer columns or panels"
        )
    width, height, head = WIDTH / scale, HEIGHT / scale, band / scale
    engine = figure.get_layout_engine()
    if engine is not None:  # it lays the panels out again
        figure.set_size_inches(width, height)
        engine.set(rect=(0, 0, 1, 1 - head / height))  # type: ignore[call-arg]
    else:
        _move(figure, across, down, width, height, head)
    runs = _runs(figure)
    for text in texts(figure):
        text.set_fontsize(max(_size(text), least))
    _spread(figure, runs)
    for axes in figure.axes:
        _tick_labels(axes, least)
    if engine is not None and figure.legends and lines:
        # The layout makes room for a legend beside the panels, and leaves it at the figure's edge, under the headline.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for legend in figure.legends:
            legend.set_bbox_to_anchor((0, 0, 1, 1 - head / height), figure.transFigure)
    for number, line in enumerate(lines):
        y = 1 - (MARGIN + LINE * (number + 0.5)) / HEIGHT
        figure.text(0.5, y, line, fontsize=HEADLINE / scale, weight="bold", ha="center", va="center",
                    parse_math=False, gid="headline")  # fmt: skip
    figure.set_dpi(PIXELS / width)


def _runs(figure: Figure) -> list[tuple[Text, Text, float]]:
    """Words of one line that stand side by side, and the gap between them in multiples of their size."""
    found = []
    words = [(text.get_window_extent(), text) for text in figure.texts if text.get_text().strip()]
    for box, text in words:
        for other, after in words:
            gap = (other.x0 - box.x1) / (_size(text) * figure.dpi / 72)
            if text.get_position()[1] == after.get_position()[1] and after is not text and -0.1 < gap < 0.6:
                found.append((text, after, gap))
    return sorted(found, key=lambda run: run[0].get_position()[0])


def _spread(figure: Figure, runs: list[tuple[Text, Text, float]]) -> None:
    """Put the words of a line side by side again, from left to right, once they are larger."""
    for text, after, gap in runs:
        right = text.get_window_extent().x1 + gap * _size(text) * figure.dpi / 72
        shift = (right - after.get_window_extent().x0) / figure.bbox.width
        x, y = after.get_position()
        after.set_position((float(x) + shift, y))


def _size(text: Text) -> float:
    return float(text.get_fontsize())


def texts(figure: Figure) -> list[Text]:
    """The texts of a figure that are seen."""
    found: list[Text] = figure.findobj(Text)  # type: ignore[assignment]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _move(figure: Figure, across: float, down: float, width: float, height: float, head: float) -> None:
    """Enlarge the canvas, in inches, and put what was placed in fractions of the old one into its middle."""
    left, bottom = (width - across) / 2, (height - head - down) / 2
    boxes = [axes.get_position(original=True) for axes in figure.axes]
    figure.set_size_inches(width, height)

    def moved(x: Any, y: Any) -> tuple[Any, Any]:
        return (left + x * across) / width, (bottom + y * down) / height

    for axes, box in zip(figure.axes, boxes, strict=True):
        x, y = moved(box.x0, box.y0)
        axes.set_position((x, y, box.width * across / width, box.height * down / height))
    for text in figure.texts:
        text.set_position(moved(*text.get_position()))
    for line in figure.lines:
        line.set_data(*moved(*np.asarray(line.get_xydata()).T))


def _tick_labels(axes: Axes, least: float) -> None:
    """Labels of ticks that are still to be made have the size of those that are there."""
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        sizes = [_size(label) for label in axis.get_ticklabels()]
        axes.tick_params(axis=name, which="both", labelsize=max([least, *sizes[:1]]))  # type: ignore[arg-type]
