"""Bars, labelled matrices and doses: what is drawn is what was given, and what does not fit is refused."""

import numpy as np
import pytest

from superposition import plot
from superposition.errors import ConfigError


def test_bars_are_as_long_as_their_numbers_from_the_top_and_chance_is_marked():
    figure = plot.bars(
        {"neuron": [0.5, 0.9], "latent": [0.6, 0.8]}, ["arabic", "a $ b"], title="F1", chance=[0.1, 0.2]
    )
    axes = figure.axes[0]
    widths = [bar.get_width() for container in axes.containers for bar in container]
    assert widths == [0.5, 0.9, 0.6, 0.8]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"neuron", "latent", "by chance"}
    assert axes.get_title(loc="left") == "F1"
    assert plot.bars({"": [1.0]}, ["one"]).legends == []


def test_a_matrix_writes_its_numbers_the_largest_of_a_row_bold_and_leaves_out_what_is_zero_or_missing():
    figure = plot.matrix([[3.0, 0.01, np.nan], [-2.0, -1.0, -3.0]], ["a", "b"], ["x", "y", "z"])
    texts = figure.axes[0].texts
    assert [t.get_text() for t in texts] == ["+3.0", "-2.0", "-1.0", "-3.0"]
    assert [t.get_fontweight() for t in texts] == ["bold", "normal", "normal", "normal"]
    assert figure.axes[0].images[0].get_clim() == (-3.0, 3.0)


def test_a_matrix_of_zeros_can_be_drawn():
    assert plot.matrix(np.zeros((2, 2)), "ab", "xy").axes[0].images[0].get_clim() == (-1.0, 1.0)


def test_doses_are_lines_with_bands_where_there_is_an_error():
    x = [-1.0, 0.0, 1.0]
    figure = plot.doses(x, {"a": [0.1, 0.2, 0.4], "b": [0.1, 0.1, 0.1]}, errors={"a": [0.01] * 3}, log=True)
    axes = figure.axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines[1:]] == [[0.1, 0.2, 0.4], [0.1, 0.1, 0.1]]
    assert len(axes.collections) == 1
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("draw", [
    lambda: plot.bars({}, []),
    lambda: plot.bars({"a": [1.0, 2.0]}, ["one"]),
    lambda: plot.matrix(np.zeros((2, 2)), ["a"], ["x", "y"]),
    lambda: plot.doses([0.0, 1.0], {}),
    lambda: plot.doses([0.0, 1.0], {"a": [1.0]}),
])  # fmt: skip
def test_what_does_not_fit_is_refused(draw):
    with pytest.raises(ConfigError):
        draw()
