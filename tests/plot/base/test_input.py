"""Odd input to drawings, and pictures on disk."""

import os
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from superposition.errors import ConfigError, StoreError
from superposition.plot import (
    TWO_IN_ONE,
    Group,
    Measured,
    Panel,
    Shortfall,
    Theory,
    columns,
    features_2d,
    phase_diagram,
    save,
)
from superposition.plot.style import fitted, text_width, wrapped
from tests.support.drawings import CLASSES, ONES, X, Y, all_five, bars, drawn, two_columns

HOSTILE = ["$x^", "\\frac{", "$\\undefined$", "a" * 5000, "two\nlines\x00\ud800", "<b>&amp;", "", "%s {0}"]


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
