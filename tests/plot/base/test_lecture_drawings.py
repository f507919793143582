"""The drawings of the lecture: the larger network, an SAE's layers, rasters, angles, one neuron's view, dimensionalities."""

import numpy as np
import pytest
from matplotlib.text import Text

from superposition import (
    Adam,
    ReLUOutput,
    SAERun,
    SparseUniform,
    TopK,
    ToyParams,
    ToyRun,
    Trained,
    fit,
    plot,
    sweep,
)
from superposition.errors import ConfigError

PENTAGON = np.stack([np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5)])


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def collections(figure, gid):
    return [c for axes in figure.axes for c in axes.collections if c.get_gid() == gid]


@pytest.fixture(scope="module")
def toy():
    run = ToyRun(ReLUOutput(5, 2), SparseUniform(density=0.1), steps=20, batch_size=64)
    return Trained(ReLUOutput(5, 2), ToyParams(PENTAGON, np.full(5, -0.35)), recipe=run)


@pytest.fixture(scope="module")
def toys():
    return sweep(ToyRun(ReLUOutput(5, 2), steps=20, batch_size=64), {"density": (1.0, 0.1), "seed": range(2)})


def test_the_larger_network_has_a_circle_a_neuron_and_lines_of_active_features_only(toy):
    drawn = plot.network(toy, [0.0, 1.0, 0, 0, 0])
    assert [len(c.get_offsets()) for c in collections(drawn, "neurons")] == [5, 2, 5]
    strong = sum(len(c.get_segments()) for c in collections(drawn, "active"))
    # Feature 1's two lines into the observed network, and two lines back to each feature above zero: 1 alone.
    assert strong == 4
    assert "1 neuron is active in the larger network, 2 of 2 in the one that is observed" in words(drawn)
    assert "1: 0.65 (was 1.00)" in words(drawn)


def test_the_larger_network_is_of_one_tied_toy_model_that_fits_a_picture(toy):
    with pytest.raises(ConfigError, match="one trained toy model with tied weights"):
        plot.network(PENTAGON, np.zeros(5))
    with pytest.raises(ConfigError, match=r"x has shape \(4,\)"):
        plot.network(toy, np.zeros(4))
    wide = Trained(ReLUOutput(65, 2), ToyParams(np.zeros((2, 65)), np.zeros(65)))
    with pytest.raises(ConfigError, match="n_features=65 circles cannot be told apart"):
        plot.network(wide, np.zeros(65))


def test_an_architecture_shows_the_latents_that_fire_and_the_error(toy):
    sae = fit(SAERun(TopK(d_sae=6, k=1), toy.activations(), Adam(1e-3), steps=5, batch_size=16))
    drawn = plot.architecture(sae, [1.0, 0.5])
    latents, x_hat = sae.reconstruct(np.array([1.0, 0.5]))
    fires = int(np.flatnonzero(latents)[0])
    assert "2 activations become 6 latents, of which 1 fires" in words(drawn)
    assert f"latent {fires}: {float(latents[fires]):.2f}" in words(drawn)
    assert f"squared error {float(((np.array([1.0, 0.5]) - x_hat) ** 2).sum()):.2g}" in words(drawn)
    with pytest.raises(ConfigError, match="give network a toy model"):
        plot.architecture(toy, [1.0, 0.5])


def test_a_raster_is_what_was_given_with_features_down(toy):
    x = np.array([[0.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    drawn = plot.raster(x)
    np.testing.assert_array_equal(drawn.axes[0].images[0].get_array(), x.T)
    assert "33% of the values are not 0: about 1.0 of 3 features at once" in words(drawn)
    with pytest.raises(ConfigError, match="x has shape"):
        plot.raster(x[0])


def test_angles_are_those_of_represented_features(toy, toys):
    W = np.concatenate([np.eye(3), 0.1 * np.ones((3, 1))], axis=1)
    drawn = plot.angles(W)
    heights = {
        round(p.get_x() + p.get_width() / 2, 2): p.get_height()
        for p in drawn.axes[0].containers[0]
        if p.get_height()
    }
    assert heights[0.0] == pytest.approx(1.0)  # the short fourth direction does not count
    assert "3 directions in 3 dimensions: 100% of the pairs are almost at right angles" in words(drawn)
    assert "5 directions in 2 dimensions: 0% of the pairs" in words(plot.angles(toy))
    with pytest.raises(ConfigError, match="1 features have a norm over"):
        plot.angles(np.eye(3)[:, :1])
    with pytest.raises(ConfigError, match="of one model, not 2"):
        plot.angles(toys)


def test_one_neurons_view_is_its_row_of_weights(toy):
    drawn = plot.neuron_view(toy, 1)
    np.testing.assert_allclose([bar.get_height() for bar in drawn.axes[0].containers[0]], PENTAGON[1])
    assert "Neuron 1 responds to 4 of 5 features: it is polysemantic" in words(drawn)
    assert "Neuron 0 responds to 1 of 3 features: it is monosemantic" in words(plot.neuron_view(np.eye(3), 0))
    with pytest.raises(ConfigError, match="neuron must be 0 to 1; got 2"):
        plot.neuron_view(toy, 2)


def test_dimensionalities_say_where_features_stand_in_pairs(toys):
    data = toys.dataset.copy(deep=True)
    pairs = np.array([[1.0, -1.0, 0, 0, 0], [0, 0, 1.0, -1.0, 0]])
    data["W"].loc[{"density": 1.0}] = np.eye(2, 5)
    data["W"].loc[{"density": 0.1}] = pairs
    drawn = plot.dimensionalities(data)
    (dots,) = collections(drawn, "features")
    assert sorted(dots.get_offsets()[:, 1]) == [0.5] * 8 + [1.0] * 4
    assert "From 1/(1−S) = 10 to 10 most features stand in antipodal pairs" in words(drawn)
    (line,) = [line for line in drawn.axes[0].lines if line.get_gid() == "D-star"]
    np.testing.assert_allclose(line.get_xydata(), [[1, 1], [10, 0.5]])
    with pytest.raises(ConfigError, match=r"over density \(and seed\)"):
        plot.dimensionalities(np.eye(3))


def test_a_training_path_is_drawn_with_the_levels_it_comes_near():
    run = ToyRun(ReLUOutput(5, 2), steps=20, batch_size=64)
    path = sweep(run, {"seed": (0,)}, at_steps=(0, 10, 20))
    end = float(path["loss"].values.ravel()[-1])
    drawn = plot.training_path(path, [9 * end, 1.1 * end, 0.5 * end])
    above, below = drawn.axes
    assert sum(line.get_gid() is not None for line in above.lines) == 5
    (loss,) = [line for line in below.lines if line.get_gid() == "loss"]
    np.testing.assert_allclose(loss.get_ydata(), path["loss"].values.ravel())
    assert "1 stored" in words(drawn)
    assert "0 stored" not in words(drawn)
    with pytest.raises(ConfigError, match="a sweep with at_steps over one seed"):
        plot.training_path(sweep(run, {"seed": range(2)}, at_steps=(0, 10)), [1.0])
