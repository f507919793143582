"""Units as detectors: the heights drawn are the shares, and what cannot be drawn is refused."""

import numpy as np
import pytest

from superposition import plot
from superposition.errors import ConfigError


def bars(figure):
    return [bar.get_height() for bar in figure.axes[0].patches if bar.get_gid() == "labelled"]


def test_bars_are_shares_of_the_tokens_fired_on_by_strength():
    activation = np.array([0.0, 0.5, 0.5, 11.0, 11.0, 11.0, 11.0])
    label = np.array([True, True, False, True, True, True, False])
    figure = plot.fired_on({"neuron 0": (activation, label)}, "Hebrew")
    assert bars(figure) == pytest.approx([0.5, 0.75])
    assert {text.get_text() for text in figure.axes[0].texts} == {"2", "4"}


def test_a_share_weighs_the_labelled():
    activation, label = np.ones(100), np.arange(100) < 50
    assert bars(plot.fired_on({"n": (activation, label)}, "Hebrew", share=0.01)) == pytest.approx([0.01])


def test_curves_are_drawn_as_given_with_their_first_value_beside():
    figure = plot.detection({"Hebrew": {"neurons": {1: 0.25, 8: 0.5}}}, chance=0.003, title="A finding")
    line = figure.axes[0].lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 8], [0.25, 0.5])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.25"]
    assert figure.get_suptitle() == "A finding"


@pytest.mark.parametrize("draw", [
    lambda: plot.detection({}),
    lambda: plot.detection({"Hebrew": {"neurons": {}}}),
    lambda: plot.fired_on({}, "Hebrew"),
    lambda: plot.fired_on({"n": (np.ones(3), np.ones(2))}, "Hebrew"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(ConfigError, match=r"nothing to draw|has shape"):
        draw()
