"""Structure of the drawings: what is where, in which colour, and what odd input does."""

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from superposition.errors import ConfigError, StoreError
from superposition.plot import (
    THREE_IN_TWO,
    TRIANGLE,
    TWO_IN_ONE,
    Group,
    Measured,
    Panel,
    Phase,
    Shortfall,
    Theory,
    columns,
    features_2d,
    phase_colour,
    phase_diagram,
    save,
)
from superposition.plot.style import fitted, text_width, wrapped

HOSTILE = ["$x^", "\\frac{", "$\\undefined$", "a" * 5000, "two\nlines\x00\ud800", "<b>&amp;", "", "%s {0}"]


def drawn(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def polygon(n: int, turn: float = 0.0) -> np.ndarray:
    angles = turn + 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)])


def orthogonal_pair(turn: float = 0.0) -> np.ndarray:
    W = np.zeros((2, 5))
    W[:, :2] = polygon(4, turn)[:, :2]
    return W


# --- features in the plane ---------------------------------------------------------------------------------


def notes(W: np.ndarray, importance: np.ndarray | None = None) -> set[str]:
    importance = 0.9 ** np.arange(W.shape[1]) if importance is None else importance
    axes = features_2d(W[None], importance, ["t"], annotate=True).axes[0]
    gids = {str(artist.get_gid()) for artist in axes.get_children()}
    return gids & {"right-angle", "maps-to-zero", "interference"}


def test_features_are_lines_coloured_by_importance() -> None:
    W = np.stack([orthogonal_pair(), polygon(5)])
    figure = features_2d(W, 0.5 ** np.arange(5), ["0% Sparsity", "90% Sparsity"])
    assert len(figure.axes) == 2
    line: Any = next(line for line in figure.axes[1].lines if line.get_gid() == "feature-2")
    np.testing.assert_allclose(line.get_xydata(), np.stack([np.zeros(2), W[1, :, 2]]))
    np.testing.assert_allclose(to_rgba(line.get_color()), colormaps["viridis"](0.25))
    assert "0% Sparsity" in words(figure)


@pytest.mark.parametrize("turn", np.linspace(0, 2 * np.pi, 13))
def test_annotations_follow_the_data_however_it_is_turned(turn: float) -> None:
    assert notes(orthogonal_pair(turn)) == {"right-angle", "maps-to-zero"}
    assert notes(polygon(5, turn)) == {"interference"}
    assert notes(polygon(4, turn)) == set()  # antipodal pairs neither miss a feature nor overlap


def test_no_annotation_claims_what_the_data_do_not_show() -> None:
    skew = orthogonal_pair()
    skew[:, 1] = polygon(6)[:, 1]
    assert "right-angle" not in notes(skew)
    # The important features at zero are not "less important".
    assert "maps-to-zero" not in notes(orthogonal_pair(), importance=0.9 ** -np.arange(5.0))
    plain = features_2d(orthogonal_pair()[None], np.ones(5), ["t"])
    assert "zero" not in words(plain)


def test_each_note_is_made_once() -> None:
    figure = features_2d(np.stack([polygon(5)] * 3), np.ones(5), ["a", "b", "c"], annotate=True)
    assert words(figure).count("Interference") == 1


# --- columns ------------------------------------------------------------------------------------------------


def two_columns(n: int = 6) -> Figure:
    W = np.zeros((2, 3, n))
    W[0, :, :3] = np.diag([1.0, 0.8, 0.5])
    W[1, 0, :2] = 1.0, -0.5
    groups = [Group("Linear", 0, 0, "**bold** words."), Group("ReLU", 1, 1)]
    return columns(
        W, np.zeros((2, n)), ["(any)", 0.3], importance_label="0.7^i", groups=groups, hidden_rule=True
    )


def bars(figure: Figure, label: str = "norms") -> list[Any]:
    return [c for axes in figure.axes for c in axes.containers if c.get_label() == label]


def test_bars_are_norms_coloured_by_interference_first_feature_on_top() -> None:
    linear, relu = bars(two_columns())
    np.testing.assert_allclose([bar.get_width() for bar in linear], [1.0, 0.8, 0.5, 0, 0, 0])
    np.testing.assert_allclose([bar.get_width() for bar in relu], [1.0, 0.5, 0, 0, 0, 0])
    assert linear[0].get_facecolor() == pytest.approx(to_rgba("#111e25"), abs=1e-3)
    # The pair's interference is (What_1 . W_2)^2 = 1/4 one way and 1 the other.
    assert relu[0].get_facecolor() == pytest.approx(to_rgba("#434083"), abs=0.01)
    assert relu[1].get_facecolor() == pytest.approx(to_rgba("#ffff54"), abs=1e-3)
    low, high = relu[0].axes.get_ylim()
    assert low == 6
    assert high == 0


def test_heat_maps_are_gram_matrices_from_minus_one_to_one() -> None:
    images: list[Any] = [axes.images[0] for axes in two_columns().axes if axes.images]
    np.testing.assert_allclose(images[2].get_array()[:2, :2], [[1, -0.5], [-0.5, 0.25]])
    assert images[2].get_clim() == (-1, 1)
    assert images[2].to_rgba(np.array([[-1.0, 1.0]]))[0] == pytest.approx(
        np.array([to_rgba("b"), to_rgba("r")])
    )


def test_columns_say_density_and_parameters_and_rule_off_the_blocks() -> None:
    figure = two_columns()
    said = words(figure)
    assert all(part in said for part in ("1-S\\;=\\;0.3", "(any)", "0.7^i", "n\\;=\\;6", "m\\;=\\;3", "bold"))
    assert sum(line.get_gid() == "hidden-rule" for axes in figure.axes for line in axes.lines) == 2


@pytest.mark.parametrize("n", [1, 20, 80, 300])
def test_gaps_never_swallow_bars(n: int) -> None:
    figure = columns(np.ones((1, 1, n)) / n, np.zeros((1, n)), [1.0], importance_label="1")
    [container] = bars(figure)
    assert all(bar.get_height() >= 0.7 for bar in container)


def test_an_importance_that_is_no_formula_is_drawn_as_words() -> None:
    figure = columns(np.ones((1, 1, 2)), np.zeros((1, 2)), [1.0], importance_label=r"\no{such")
    assert r"\no{such" in words(figure)
    drawn(figure)


# --- phase diagrams -----------------------------------------------------------------------------------------

X, Y = np.logspace(-1, 1, 5), np.logspace(0, -2, 4)
CLASSES = np.broadcast_to(np.arange(5) % 3, (4, 5))
ONES = np.ones((4, 5))


def test_phase_colour_is_the_papers_rule() -> None:
    w, s = np.array([0, 1, 1, 2, 0.5, 1]), np.array([0.7, 0, 1, 9, 0, 0.5])
    middle = tuple((np.array(to_rgba("#e5e5e5")) + to_rgba("#0000ff")) / 2)
    wanted = [to_rgba("#e5e5e5"), to_rgba("b"), to_rgba("r"), to_rgba("r"), middle, (0.5, 0, 0.5, 1)]
    np.testing.assert_allclose(phase_colour(w, s), wanted)
    assert phase_colour(np.array([np.nan, 0]), np.array([0, np.nan]))[:, 3].tolist() == [0, 1]


def all_five(classes: np.ndarray = CLASSES, phases: tuple[Phase, ...] = TWO_IN_ONE) -> Figure:
    panels: list[Panel] = [
        Theory("Theory", classes, phases),
        Measured("Exact minimum", ONES, 0 * ONES, borders=classes),
        Measured("Paper's rule", ONES, ONES),
        Measured("Best", ONES, np.nan * ONES),
        Shortfall("Shortfall", np.where(np.arange(5) == 2, 0.02, 1e-5) * ONES),
    ]
    return phase_diagram(panels, X, Y)


def panels_of(figure: Figure) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_xlabel()]


@pytest.mark.parametrize("phases", [TWO_IN_ONE, (*THREE_IN_TWO, TRIANGLE)])
def test_five_panels_share_the_papers_axes(phases: tuple[Phase, ...]) -> None:
    figure = all_five(phases=phases)
    panels = panels_of(figure)
    assert len(panels) == 5
    for axes in panels:
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.1x", "1.0x", "10x"]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0.01", "0.1", "1.0"]
        low, high = axes.get_ylim()
        assert low < 0.011 < 0.9 < high  # density 1 on top, whatever order the rows come in
    assert all(phase.name in words(figure) for phase in phases)


def cells(axes: Axes) -> np.ndarray:
    return np.asarray(axes.collections[0].get_array())


def test_cells_have_their_colours() -> None:
    theory, exact, paper, unknown, short = panels_of(all_five())
    np.testing.assert_allclose(cells(theory)[0, :3], [to_rgba(phase.colour) for phase in TWO_IN_ONE])
    assert (cells(exact) == to_rgba("b")).all()
    assert (cells(paper) == to_rgba("r")).all()
    assert (cells(unknown)[..., 3] == 0).all()
    assert any(patch.get_hatch() for patch in unknown.patches)
    assert not any(patch.get_hatch() for patch in paper.patches)
    np.testing.assert_allclose(cells(short)[0, 0], colormaps["YlGnBu"](0.0))


def test_top_row_of_the_picture_is_the_densest() -> None:
    norm = np.zeros((4, 5))
    norm[0] = 1  # density 1: blue
    figure = phase_diagram([Measured("m", norm, 0 * norm)], X, Y)
    box = panels_of(figure)[0].get_position()
    picture = drawn(figure)
    height, width = picture.shape[:2]
    column = picture[:, int(width * (box.x0 + box.x1) / 2), :3]
    top, bottom = int(height * (1 - box.y1)) + 8, int(height * (1 - box.y0)) - 8
    assert tuple(column[top]) == (0, 0, 255)
    assert tuple(column[bottom]) == (229, 229, 229)


def test_shortfalls_above_one_percent_are_outlined_and_counted() -> None:
    short = panels_of(all_five())[-1]
    [lines] = [c for c in short.collections if c.get_gid() == "borders"]
    assert len(lines.get_segments()) == 2 * 4  # both sides of one column of four cells
    assert "Red line at 1%; above it 4 of 20 cells" in words(all_five())
    below = phase_diagram([Shortfall("s", -0.01 * ONES)], X, Y)
    assert "20 below the minimum" in words(below)


@pytest.mark.parametrize("count", range(1, 8))
def test_any_number_of_panels_has_room(count: int) -> None:
    figure = phase_diagram([Measured(f"p{k}", ONES, ONES) for k in range(count)], X, Y)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(panels_of(figure)) == count
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


# --- odd input ----------------------------------------------------------------------------------------------


def test_what_is_not_known_is_hatched_and_never_crashes() -> None:
    W = np.ones((2, 2, 3))
    W[0, 0, 0], W[1, 1, 2] = np.nan, np.inf
    plane = features_2d(W, np.array([1, np.nan, 0.5]), ["a", "b"], annotate=True)
    cols = columns(W, np.full((2, 3), np.nan), ["a", np.nan], importance_label="1")
    assert len(bars(cols, "unknown")) == 2
    [known, _] = bars(cols)
    assert len(known) == 2
    assert known[0].get_width() == pytest.approx(np.sqrt(2))
    classes = np.where(CLASSES == 1, np.nan, CLASSES)
    panels: list[Panel] = [
        Theory("t", classes, TWO_IN_ONE),
        Measured("m", ONES, ONES, classes),
        Shortfall("s", np.where(CLASSES == 1, np.nan, np.inf)),
    ]
    for figure in (plane, cols, phase_diagram(panels, X, Y), phase_diagram(panels[:1], X, Y)):
        drawn(figure)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_words_can_break_a_figure(text: str, tmp_path: Path) -> None:
    one = np.ones((1, 2, 2))
    phases = (TWO_IN_ONE[0]._replace(name=text),)
    figures = [
        features_2d(one, np.ones(2), [text]),
        columns(one, one[0, :1], [text], importance_label=text, groups=[(text, 0, 0, text)]),
        phase_diagram([Theory(text, 0 * ONES, phases), Shortfall(text, ONES, label=text)], X, Y),
    ]
    for number, figure in enumerate(figures):
        path = save(figure, f"{tmp_path}/{number}.png", alt=text or "none", title=text)
        with Image.open(path) as picture:
            assert max(picture.size) < 3000


def test_prose_wraps_within_its_width_and_marks_bold() -> None:
    lines = wrapped("plain **bold words**, then plain again " * 4, 9, 150)
    assert len(lines) > 3
    for line in lines:
        assert all(x + text_width(run, 9, weight) <= 151 for run, weight, x in line)
    assert {weight for line in lines for _, weight, _ in line} == {"bold", "normal"}
    assert text_width(fitted("w" * 100, 9, 50), 9) <= 50


def test_shapes_and_axes_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"W has shape \(3, 4\)"):
        features_2d(np.ones((3, 4)), np.ones(4), [])
    with pytest.raises(ConfigError, match="b has shape"):
        columns(np.ones((1, 2, 3)), np.ones((1, 2)), [1.0], importance_label="1")
    with pytest.raises(ConfigError, match="spans columns 0 to 1 of 1"):
        columns(np.ones((1, 2, 3)), np.ones((1, 3)), [1.0], importance_label="1", groups=[Group("g", 0, 1)])
    with pytest.raises(ConfigError, match="density must be positive"):
        phase_diagram([Measured("m", ONES, ONES)], X, Y - 0.01)
    with pytest.raises(ConfigError, match="norm has shape"):
        phase_diagram([Measured("m", ONES.T, ONES)], X, Y)
    with pytest.raises(ConfigError, match="class 2 has no phase"):
        phase_diagram([Theory("t", CLASSES, TWO_IN_ONE[:2])], X, Y)
    with pytest.raises(ConfigError, match="no panels"):
        phase_diagram([], X, Y)


def test_the_callers_style_neither_shows_nor_changes() -> None:
    plain = drawn(two_columns())
    with matplotlib.rc_context({"axes.facecolor": "black", "text.color": "white", "font.size": 30}):
        before = dict(matplotlib.rcParams)
        assert (drawn(two_columns()) == plain).all()
        assert dict(matplotlib.rcParams) == before


# --- on disk ------------------------------------------------------------------------------------------------


def test_saved_bytes_are_the_same_and_carry_the_alt_text(tmp_path: Path) -> None:
    alt = "Two features, ‖W‖ = 1."
    first = save(all_five(), f"{tmp_path}/new/a.png", alt=alt, title="Phases")
    second = save(all_five(), f"{tmp_path}/b.png", alt=alt, title="Phases")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 300_000
    with Image.open(first) as picture:
        assert picture.info["Description"] == alt
        assert picture.info["Title"] == "Phases"
        assert not {"Software", "Date", "Creation Time"} & set(picture.info)
    assert sorted(os.listdir(tmp_path)) == ["b.png", "new"]


def test_a_failed_save_leaves_the_old_picture_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(two_columns(), f"{tmp_path}/a.png", alt="old", title="t")
    old = path.read_bytes()

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match=r"a\.png: No space left on device; give"):
        save(all_five(), path, alt="new", title="t")
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.png"]


def test_unwritable_places_and_wordless_pictures_are_refused(tmp_path: Path) -> None:
    file = save(two_columns(), f"{tmp_path}/a.png", alt="a", title="t")
    with pytest.raises(StoreError, match=r"b\.png"):
        save(two_columns(), file / "b.png", alt="a", title="t")
    with pytest.raises(ConfigError, match="no alt text"):
        save(two_columns(), f"{tmp_path}/c.png", alt=" ", title="t")
    with pytest.raises(ConfigError, match=r"\.png"):
        save(two_columns(), f"{tmp_path}/c.pdf", alt="a", title="t")
