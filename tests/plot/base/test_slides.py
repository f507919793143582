"""The lecture style: every drawing is a slide of 16 by 9 with no text under 18 points, in colours for every eye."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from superposition import ReLUHidden, ReLUOutput, SparseUniform, ToyParams, ToyRun, Trained, plot, sweep
from superposition.errors import ConfigError
from superposition.plot import slide
from superposition.plot.style import BLUE, GREY, RED, SUPERPOSITION_SWATCHES, Figure, styled
from tests.support.drawings import ONES, X, Y, two_columns

PENTAGON = np.stack([np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5)])
TOY = Trained(
    ReLUOutput(5, 2),
    ToyParams(PENTAGON, np.full(5, -0.35)),
    recipe=ToyRun(ReLUOutput(5, 2), SparseUniform(density=0.1), steps=20, batch_size=64),
)
RASTER = np.where(np.arange(60).reshape(12, 5) % 3 == 0, 0.5, 0.0)
# A drawing a module of the plot room; what lays itself out and what is placed in inches.
DRAWINGS = {
    "angles": lambda: plot.angles(TOY),
    "columns": two_columns,
    "doses": lambda: plot.doses(
        [-1, 0, 1], {f"kind {i}": np.arange(3) * i for i in range(9)}, title="A title"
    ),
    "decoder_cosines": lambda: plot.decoder_cosines({"one": np.linspace(0, 1, 9), "two": np.ones(5)}),
    "features_2d": lambda: plot.features_2d(PENTAGON[None], np.ones(5), ["90% sparsity"], annotate=True),
    "network": lambda: plot.network(TOY, [0.0, 1.0, 0, 0, 0]),
    "neuron_view": lambda: plot.neuron_view(TOY, 0),
    "neurons": lambda: plot.neurons(
        sweep(ToyRun(ReLUHidden(5, 3), steps=5, batch_size=16), {"density": (1.0, 0.1)})
    ),
    "phase_diagram": lambda: plot.phase_diagram([plot.Measured("Best of seeds", ONES, 0 * ONES)], X, Y),
    "raster": lambda: plot.raster(RASTER),
}


def points(figure):
    """The size of every text, in points of a slide of 16 by 9 inches."""
    figure.draw_without_rendering()
    return [text.get_fontsize() * figure.dpi * slide.WIDTH / slide.PIXELS for text in slide.texts(figure)]


@pytest.mark.parametrize(
    "title", ["", "Sparsity lets a ReLU model keep more features than it has dimensions"]
)
@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_in_the_lecture_style_is_16_by_9_and_has_no_text_under_18_points(name, title, tmp_path):
    with plot.style("lecture", title=title):
        figure = DRAWINGS[name]()
    with Image.open(plot.save(figure, tmp_path / "a.png", alt="A slide.", title="A slide")) as picture:
        assert picture.size == (1920, 1080)
    assert min(points(figure)) >= 18 - 1e-6
    headlines = [text.get_text() for text in figure.texts if text.get_gid() == "headline"]
    assert " ".join(headlines) == title
    for text in slide.texts(figure):
        assert text.get_gid() != "headline" or text.get_window_extent().x0 > 0


def overlaps(one, other, least=2.0):
    """Whether two boxes share more than a line of pixels."""
    across, down = (
        min(one.x1, other.x1) - max(one.x0, other.x0),
        min(one.y1, other.y1) - max(one.y0, other.y0),
    )
    return across > least and down > least


@pytest.mark.parametrize("name", ["bars", "columns", "doses", "network"])
def test_nothing_that_is_said_on_a_slide_touches_another_thing_said(name):
    """A legend and the headline, words of a caption, heads of layers: each was once over another."""
    long = {
        "bars": lambda: plot.bars(
            {"one": np.arange(9), "two": np.arange(9)}, [str(i) for i in range(9)], xlabel="x"
        )
    }
    with plot.style("lecture", title="Sparsity lets a ReLU model keep more features than it has dimensions"):
        figure = (DRAWINGS | long)[name]()
    figure.draw_without_rendering()
    said = [
        text
        for text in slide.texts(figure)
        if text.get_text().strip("−0123456789.") and "$" not in text.get_text()
    ]
    for one, other in itertools.combinations(said, 2):
        assert not overlaps(one.get_window_extent(), other.get_window_extent()), (one, other)


def test_outside_it_drawings_are_as_they_were_and_have_small_text():
    before = two_columns()
    with plot.style("lecture"):
        two_columns()
    after = two_columns()
    assert tuple(after.get_size_inches()) == tuple(before.get_size_inches())
    assert sorted(points(after)) == sorted(points(before))
    assert min(text.get_fontsize() for text in slide.texts(after)) < 18


def test_called_it_holds_from_then_on_until_another_is_called():
    try:
        plot.style("lecture")
        width, height = two_columns().get_size_inches()
        assert 9 * width == pytest.approx(16 * height)
    finally:
        plot.style("paper")
    width, height = two_columns().get_size_inches()
    assert 9 * width != pytest.approx(16 * height)


def test_what_is_placed_keeps_its_place_against_everything_else():
    plain = two_columns()
    with plot.style("lecture", title="A finding"):
        figure = two_columns()
    inches = [
        np.array([f.get_size_inches() * axes.get_position(original=True).p0 for axes in f.axes])
        for f in (plain, figure)
    ]
    np.testing.assert_allclose(np.ptp(inches[1] - inches[0], axis=0), 0, atol=1e-9)


def test_too_many_panels_for_a_slide_are_refused_and_style_is_one_that_there_is():
    with (
        plot.style("lecture"),
        pytest.raises(ConfigError, match=r"too much in it for a slide.*draw fewer columns"),
    ):
        plot.columns(np.ones((8, 2, 5)), np.zeros((8, 5)), [1.0] * 8)
    assert plot.columns(np.ones((8, 2, 5)), np.zeros((8, 5)), [1.0] * 8).get_size_inches()[0] > 14
    with pytest.raises(ConfigError, match="style must be one of paper, lecture; got 'talk'"):
        plot.style("talk")


def test_a_drawing_that_fails_leaves_the_next_one_alone():
    with plot.style("lecture"), pytest.raises(ZeroDivisionError), styled():
        Figure(figsize=(1 / 0, 1))
    assert two_columns().get_size_inches()[0] < 16


# What dichromats see of linear RGB (Machado et al. 2009, severity 1): protanopia, deuteranopia, tritanopia.
SEEN = np.array([
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
])  # fmt: skip


def lab(colour, seen):
    """CIE L*a*b* of a colour as it is seen (D65)."""
    rgb = np.array(to_rgb(colour))
    linear = seen @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        linear, 0, 1
    )
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("palette", [slide.COLOURS, (BLUE, RED, GREY), SUPERPOSITION_SWATCHES], ids=str)
def test_colours_are_told_apart_by_colour_blind_eyes(palette):
    for seen in SEEN:
        apart = [np.linalg.norm(lab(a, seen) - lab(b, seen)) for a, b in itertools.combinations(palette, 2)]
        assert min(apart) > 10  # two are told apart side by side from about 2.3 on
    red_green = [np.linalg.norm(lab("#d62728", s) - lab("#8c6d31", s)) for s in SEEN]
    assert min(red_green) < 15  # the test can fail: a red and a brown that protanopes confuse


def test_lines_take_these_colours():
    with plot.style("lecture"), styled():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        lines = figure.add_subplot().plot([[0, 1], [1, 0]])
    assert [line.get_color() for line in lines] == list(slide.COLOURS[:2])
    assert matplotlib.rcParams["savefig.dpi"] == "figure"
