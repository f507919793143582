import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from PIL import Image

from experiments.toy_models.antiprism.draw import Measure, movie, stages
from experiments.toy_models.basins.draw import BestOf, Frequency, Shares, basins
from experiments.toy_models.energy_levels.draw import Curves, OneRun, energy_levels
from superposition.errors import ConfigError, StoreError
from superposition.geometry.dynamics import Plateau, Visit, jumps, plateaus, visits
from superposition.geometry.triangles import two_triangles
from superposition.plot.animation import save_animation
from tests.support.frames import FRAMES, antiprism, stair


def test_jumps_are_found_where_they_are():
    found = jumps(*stair([100, 300]))
    assert [(j.first <= at <= at + 2 <= j.last) for j, at in zip(found, (100, 300), strict=True)] == [
        True,
        True,
    ]
    assert all(j.last - j.first <= 12 for j in found)
    for jump in found:
        assert jump.moved == pytest.approx(0.3)
        assert jump.drop == pytest.approx(0.2, abs=1e-3)
        assert jump.steepness > 100


def test_a_jump_needs_both_the_move_and_the_fall():
    assert jumps(*stair([100, 300], moves=False)) == []
    assert jumps(*stair([100, 300], falls=False)) == []
    D, loss = stair([100])
    assert jumps(D, loss, move=0.31) == []
    assert jumps(D, loss[::-1]) == []  # rising


def test_a_steady_fall_is_no_jump_however_fast():
    D, _ = stair([100])
    assert jumps(D, np.linspace(9, 1, FRAMES)) == []


def test_visits_to_levels():
    loss = np.array([5.0, 3.02, 2.99, 2.5, 2.01, 2.0, 1.99, 1.03])
    assert visits(loss, [1.0, 2.0, 3.0], within=0.02) == [Visit(2, 1, 2), Visit(1, 4, 6)]
    assert visits(loss, [1.0, 2.0, 3.0], within=0.02, least=3) == [Visit(1, 4, 6)]
    # The nearest level counts where bands overlap.
    assert [v.level for v in visits(np.array([1.9, 1.6]), [1.5, 2.0], within=0.5)] == [1, 0]


def test_plateaus_on_the_way_down():
    step = np.unique(np.geomspace(10, 10_000, 200).astype(int))
    t = np.log(step / 10)
    loss = 1 - 0.5 / (1 + np.exp(-12 * (t - 2))) - 0.3 / (1 + np.exp(-12 * (t - 5)))
    found = plateaus(step, loss)
    assert len(found) == 1  # neither the start at 1 nor the end at 0.2
    assert found[0].loss == pytest.approx(0.5, rel=0.02)
    assert 10 * np.exp(2) < step[found[0].first] < step[found[0].last] < 10 * np.exp(5)
    assert plateaus(step, np.exp(-t)) == []
    assert isinstance(found[0], Plateau)


def test_triangles_are_measured_whatever_way_they_are_turned():
    rng = np.random.default_rng(0)
    for twist, expected in ((0, 0), (10, 10), (60, 60), (75, 45), (120, 0), (-20, 20)):
        for _ in range(5):
            rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            W = antiprism(twist, rotation=rotation)[:, [2, 0, 1, 4, 5, 3]]
            shape = two_triangles(W)
            assert shape.twist == pytest.approx(expected, abs=1e-6)
            assert shape.facing == pytest.approx(-1)
            np.testing.assert_allclose(shape.centre, 0.6)
            np.testing.assert_allclose(shape.length, 0.8 * np.sqrt(1.5))
            np.testing.assert_allclose(shape.width, 0.8 * np.sqrt(1.5))


def test_an_octahedron_is_an_antiprism():
    W = np.concatenate([np.eye(3), -np.eye(3)], 1)
    shape = two_triangles(np.stack([W, W]))
    np.testing.assert_allclose(shape.twist, 60)
    np.testing.assert_allclose(shape.facing, -1)
    flat = two_triangles(np.concatenate([np.outer([1, 0, 0], np.ones(3)), np.outer([0, 1, 0], [1, 2, 3])], 1))
    np.testing.assert_allclose(flat.width, 0, atol=1e-12)
    np.testing.assert_allclose(flat.length, [0, np.sqrt(2)], atol=1e-12)
    assert flat.facing == pytest.approx(0)
    assert np.isfinite(two_triangles(np.zeros((3, 6))).twist)


@pytest.mark.parametrize("call", [
    lambda: jumps(np.zeros((9, 2)), np.zeros(9)), lambda: jumps(np.zeros(9), np.zeros(9)),
    lambda: jumps(np.zeros((500, 2)), np.zeros(499)), lambda: visits(np.ones(3), [], within=0.1),
    lambda: visits(np.ones(3), [0.0], within=0.1), lambda: plateaus(np.arange(5), np.ones(5)),
    lambda: plateaus(np.array([1, 3, 2]), np.ones(3)), lambda: plateaus(np.array([1, 2]), np.array([1.0, -1.0])),
    lambda: two_triangles(np.zeros((2, 6))),
])  # fmt: skip
def test_bad_trajectories_are_refused(call):
    with pytest.raises(ConfigError):
        call()


def swinging(frames=5):
    figure = Figure(figsize=(3, 2))
    (line,) = figure.add_subplot().plot([0, 1], [0, 1])
    film = FuncAnimation(figure, lambda k: line.set_ydata([0, k]), frames=frames)
    film._draw_was_started = True  # matplotlib warns of films that were never shown
    return film


def test_an_animation_is_saved_whole_with_its_words_and_the_same_bytes(tmp_path):
    path = save_animation(swinging(), tmp_path / "new" / "a.gif", alt="A line that swings.", title="A line")
    again = save_animation(swinging(), tmp_path / "b.gif", alt="A line that swings.", title="A line")
    assert path.read_bytes() == again.read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.gif"]
    with Image.open(path) as image:
        assert image.n_frames == 5
        assert image.info["comment"] == b"A line: A line that swings."
        assert image.info["loop"] == 0
        first = np.asarray(image.convert("RGB")).copy()
        image.seek(4)
        assert (np.asarray(image.convert("RGB")) != first).any()


def test_an_animation_refuses_what_it_cannot_save(tmp_path):
    with pytest.raises(ConfigError, match=r"\.gif"):
        save_animation(swinging(), tmp_path / "a.mp4", alt="x", title="y")
    with pytest.raises(ConfigError, match="alt text"):
        save_animation(swinging(), tmp_path / "a.gif", alt="  ", title="y")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        save_animation(swinging(), tmp_path / "file" / "a.gif", alt="x", title="y")
    assert list(tmp_path.glob("**/*partial*")) == []


def one_run(**changes):
    D, loss = stair([100, 300])
    levels = {"two": 2.0, "one": 1.6}
    run = OneRun(np.arange(FRAMES), D, loss, [0, -1], [(98, 104)], levels, "A run")
    return run._replace(**changes)


def curves(**changes):
    step = np.geomspace(1, 100, 20)
    drawn = Curves(step, np.stack([1 / step, 2 / step]), ["a", "b"], {"low": 0.02}, "Many", "Loss")
    return drawn._replace(**changes)


def drawn(figure, gid):
    return [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]


def test_energy_levels_draws_what_it_is_given():
    figure = energy_levels(one_run(), curves())
    (line,) = drawn(figure, "D-0")
    np.testing.assert_array_equal(line.get_ydata(), one_run().dimensionality[:, 0])
    (loss,) = drawn(figure, "loss")
    np.testing.assert_array_equal(loss.get_ydata(), one_run().loss)
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"two", "one", "low"} <= words
    assert {t.get_text() for t in figure.axes[2].get_legend().get_texts()} == {"a", "b"}


def sets(frames=6):
    return np.stack([antiprism(10 * k) for k in range(frames)])


def test_stages_and_movie_show_every_feature():
    step, loss = np.geomspace(1, 100, 6), np.linspace(0.2, 0.1, 6)
    figure = stages(step, sets(), {"a": 0, "b": 5}, [Measure("m", loss, "k")], loss, ticks={0: "0"})
    for i in range(6):
        assert len(drawn(figure, f"feature-{i}")) == 2
    film = movie(step, sets(), loss, list("abcdef"))
    film._draw_was_started = True
    film._func(0)
    start = [line.get_xydata()[-1] for line in drawn(film._fig, "feature-4")]
    film._func(5)
    assert len(drawn(film._fig, "feature-4")) == 1
    assert not np.allclose(start, [line.get_xydata()[-1] for line in drawn(film._fig, "feature-4")])


def shares(**changes):
    density = np.array([1.0, 0.1, 0.01])
    made = Shares("n = 5", density, np.array([[0.2, 0.7], [0.5, 0.5], [1.0, 0.0]]), ["pentagon", "2 digons"])
    return made._replace(**changes)


def test_basins_areas_add_up_to_one():
    density = shares().density
    frequency = Frequency("pentagon", density, np.full(3, 0.5), np.full(3, 0.4), np.full(3, 0.6))
    of = BestOf(np.array([1, 2, 5]), {"0.1": np.array([0.3, 0.1, 0.01])})
    figure = basins(shares(), [frequency], 0.2, of, [shares(title="other")])
    assert isinstance(figure, Figure)
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {"pentagon", "2 digons", "other"}
    bars = [p for p in figure.axes[3].patches if p.get_height() > 0]
    assert sum(p.get_height() for p in bars) == pytest.approx(3)


@pytest.mark.parametrize("call", [
    lambda: energy_levels(one_run(group=[0]), curves()), lambda: energy_levels(one_run(loss=np.ones(3)), curves()),
    lambda: energy_levels(one_run(), curves(group=["a"])), lambda: energy_levels(one_run(), curves(levels={})),
    lambda: stages(np.ones(2), np.zeros((2, 3, 6)), {}, [], np.ones(2), ticks={}),
    lambda: movie(np.ones(2), np.zeros((2, 3, 6)), np.ones(2), ["one"]),
    lambda: movie(np.ones(2), np.zeros((2, 3, 5)), np.ones(2), ["one", "two"]),
    lambda: basins(shares(), [], 0.2, BestOf(np.ones(1), {}), []),
])  # fmt: skip
def test_bad_drawings_are_refused(call):
    with pytest.raises(ConfigError):
        call()
