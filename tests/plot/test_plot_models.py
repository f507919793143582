"""Drawings take sweeps and trained models, and figures show themselves in a notebook."""

import io
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from superposition import ReLUOutput, SparseUniform, ToyRun, geometry, plot
from superposition.errors import ConfigError
from superposition.sae import TopK
from superposition.toy import ReLUHidden
from superposition.training import sweep
from superposition.typing import ToyParams

RUN = ToyRun(ReLUOutput(5, 2), importance_base=0.9, steps=30, batch_size=64)


def words(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def bars(figure):
    return [[bar.get_width() for bar in c] for axes in figure.axes for c in axes.containers
            if c.get_label() == "norms"]  # fmt: skip


def trained(W, density=0.1, base=0.9):
    """What `fit` returns of a toy model, as far as a drawing looks."""
    recipe = SimpleNamespace(features=SparseUniform(density=density), importance_base=base)
    params = ToyParams(W, np.zeros(W.shape[1]))
    return SimpleNamespace(
        model=ReLUOutput(W.shape[1], W.shape[0]), params=params, recipe=recipe, settings={}
    )


def trained_sae(W_dec, **settings):
    model = TopK(d_in=W_dec.shape[1], d_sae=len(W_dec), k=1)
    history = {name: np.array([1.0, 0.5]) for name in ("loss", "l0", "fvu", "dead")}
    return SimpleNamespace(
        model=model, params={"W_dec": W_dec}, settings=settings, steps=np.array([0, 9]), history=history
    )


@pytest.fixture(scope="module")
def toys():
    return sweep(RUN, {"density": (1.0, 0.1), "seed": range(3)})


def test_columns_of_a_sweep_are_its_best_seeds_titled_by_density(toys):
    best = toys["loss"].values.argmin(1)
    W = toys["W"].values[np.arange(2), best]
    drawn = plot.columns(toys)
    np.testing.assert_allclose(bars(drawn), geometry.norms(W), rtol=1e-5)
    assert [w for w in words(drawn) if w.startswith("$1-S")] == [r"$1-S\;=\;1.0$", r"$1-S\;=\;0.1$"]
    assert any("0.9^i" in w for w in words(drawn))
    # A Sweep is what has the dataset.
    np.testing.assert_allclose(bars(plot.columns(SimpleNamespace(dataset=toys))), bars(drawn))


def test_a_setting_of_which_no_seed_is_done_is_hatched_not_drawn_as_zeros(toys):
    pending = toys.copy(deep=True)
    pending["status"][1] = 0
    assert [len(b) for b in bars(plot.columns(pending))] == [5, 0]
    pending = toys.copy(deep=True)
    pending["status"][0, int(toys["loss"].values[0].argmin())] = (
        0  # the best of the first setting: another is drawn
    )
    assert bars(plot.columns(pending))[0] != pytest.approx(bars(plot.columns(toys))[0])


def test_sparsity_and_other_axes_give_titles_in_their_order():
    sparse = sweep(RUN, {"sparsity": (0.0, 0.75), "seed": (0,)})
    assert r"$1-S\;=\;0.25$" in words(plot.columns(sparse))
    rates = sweep(RUN, {"learning_rate": (1e-3, 1e-2), "seed": range(2)})
    assert [w for w in words(plot.columns(rates)) if "learning" in w] == [
        "learning_rate=0.001",
        "learning_rate=0.01",
    ]
    sizes = sweep(RUN, {"n_hidden": (1, 2), "seed": (0,)})
    with pytest.raises(ConfigError, match=r"several sizes.*sel\(n_hidden=\.\.\.\)"):
        plot.columns(sizes)


def test_columns_and_planes_of_trained_models(toys):
    W = [np.eye(2, 5), 0.5 * np.eye(2, 5)]
    drawn = plot.columns([trained(W[0], 1.0), trained(W[1])])
    assert bars(drawn) == [[1, 1, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]
    assert r"$1-S\;=\;0.1$" in words(drawn)
    assert bars(plot.columns(trained(W[0]))) == [[1, 1, 0, 0, 0]]
    assert "1 - S = 0.1" in words(plot.features_2d(trained(W[0])))
    assert len(plot.features_2d(toys).axes) == 2
    with pytest.raises(ConfigError, match=r"shapes \(2, 5\), \(2, 4\)"):
        plot.columns([trained(W[0]), trained(np.eye(2, 4))])
    with pytest.raises(ConfigError, match="biases and titles"):
        plot.columns(np.zeros((1, 2, 5)))


def test_neurons_of_a_sweep_of_models_with_a_hidden_layer():
    hidden = ToyRun(ReLUHidden(6, 3), steps=5, batch_size=16)
    drawn = plot.neurons(sweep(hidden, {"density": (0.5, 0.1), "seed": range(2)}), signed=True)
    assert r"$1-S\,=\,0.5$" in words(drawn)


@pytest.mark.parametrize("axis", ["importance", "importance_base"])
def test_the_phase_diagram_of_a_sweep_shows_the_extra_feature(axis):
    ratio = np.array([0.25, 1.0, 4.0])
    values = np.stack([np.ones(3), ratio], 1) if axis == "importance" else ratio
    run = ToyRun(ReLUOutput(2, 1), steps=300, batch_size=64)
    grid = sweep(run, {axis: values, "density": (0.1, 1.0), "seed": range(4)})
    drawn = plot.phase_diagram(grid)
    assert "Trained, best of seeds" in words(drawn)
    colours = drawn.axes[0].collections[0].get_array()
    best = grid["loss"].argmin("seed")
    W = grid["W"].isel(seed=best).transpose("density", axis, "n_hidden", "n_features").values[::-1]
    expected = plot.phase_colour(geometry.norms(W)[..., -1], geometry.interference(W)[..., -1])
    np.testing.assert_allclose(colours, expected, atol=1e-6)


def test_a_phase_diagram_of_other_axes_is_refused(toys):
    with pytest.raises(ConfigError, match=r"needs a sweep over density .* its axes are density"):
        plot.phase_diagram(toys)
    three = sweep(
        ToyRun(ReLUOutput(3, 2), steps=2, batch_size=8), {"density": (1, 0.1), "importance_base": (0.5, 1)}
    )
    with pytest.raises(ConfigError, match="a sweep of toy models; the dataset has loss"):
        plot.phase_diagram(toys[["loss"]])
    with pytest.raises(ConfigError, match="is of two features; these models have 3"):
        plot.phase_diagram(three)


def test_histories_and_decoders_of_trained_saes():
    a, b = trained_sae(np.eye(4), seed=0), trained_sae(np.ones((4, 4)), seed=1)
    assert "TopK seed=0" in words(plot.history([a, b]))
    (axes,) = plot.decoder_cosines({"distinct": a}).axes
    assert max(axes.patches[0].get_xy()[:, 1]) == 1  # all four rows in one bin
    assert "TopK seed=1" in words(plot.decoder_cosines([a, b]))
    with pytest.raises(ConfigError, match="ReLUOutput has no decoder; its parameters are W, b"):
        plot.decoder_cosines(trained(np.eye(2, 5)))
    with pytest.raises(ConfigError, match="those of an SAE"):
        plot.columns(a)


def test_a_figure_shows_itself_in_a_notebook_once_and_as_it_is_saved(toys, tmp_path):
    """IPython asks for `_repr_png_`; nothing is registered with pyplot, which `%matplotlib inline` would show again."""
    from matplotlib import pyplot

    figure = plot.columns(toys)
    shown = Image.open(io.BytesIO(figure._repr_png_()))
    saved = Image.open(plot.save(figure, tmp_path / "a.png", alt="Two columns.", title="Columns"))
    assert np.array_equal(np.asarray(shown), np.asarray(saved))
    assert not pyplot.get_fignums()
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 10}):
        assert figure._repr_png_() == plot.columns(toys)._repr_png_()
