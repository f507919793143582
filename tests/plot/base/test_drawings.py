"""Structure of the drawings: what is where, and in which colour."""

from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from superposition.plot import (
    THREE_IN_TWO,
    TRIANGLE,
    TWO_IN_ONE,
    Measured,
    Phase,
    Shortfall,
    columns,
    features_2d,
    phase_colour,
    phase_diagram,
)
from tests.support.drawings import ONES, X, Y, all_five, bars, drawn, two_columns


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def polygon(n: int, turn: float = 0.0) -> np.ndarray:
    angles = turn + 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)])


def orthogonal_pair(turn: float = 0.0) -> np.ndarray:
    W = np.zeros((2, 5))
    W[:, :2] = polygon(4, turn)[:, :2]
    return W


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


def test_phase_colour_is_the_papers_rule() -> None:
    w, s = np.array([0, 1, 1, 2, 0.5, 1]), np.array([0.7, 0, 1, 9, 0, 0.5])
    middle = tuple((np.array(to_rgba("#e5e5e5")) + to_rgba("#0000ff")) / 2)
    wanted = [to_rgba("#e5e5e5"), to_rgba("b"), to_rgba("r"), to_rgba("r"), middle, (0.5, 0, 0.5, 1)]
    np.testing.assert_allclose(phase_colour(w, s), wanted)
    assert phase_colour(np.array([np.nan, 0]), np.array([0, np.nan]))[:, 3].tolist() == [0, 1]


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
