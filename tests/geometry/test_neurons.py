from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection

from superposition import AdamW, ToyParams, ToyRun
from superposition.errors import ConfigError
from superposition.geometry.neurons import concentration, feature_codes, neurons
from superposition.plot.neurons import FEW
from superposition.plot.neurons import neurons as stacks
from superposition.toy import AbsoluteValue, ReLUHidden, unrolled
from superposition.training import sweep
from superposition.training.refine import refine
from superposition.typing import ComputationParams
from tests.support.neurons import BINARY, from_codes

SINGLES = [(k,) for k in range(5)]
FLAGGED = [*((0, k) for k in range(1, 5)), *combinations(range(1, 5), 3)]
PAIRS = list(combinations(range(5), 2))
NAMED = [
    (SINGLES, "5 monosemantic", 5),
    (BINARY, "3 monosemantic + binary code", 3),
    ([(0,), *combinations(range(1, 5), 2)], "1 monosemantic + 6 pairs of 4", 1),
    ([(0,), (1,), (2,), (3,), (2, 3), (2, 4), (2, 3, 4)], "2 monosemantic + 5 in 3", 2),
    (FLAGGED, "8 in 5, flagged", 0),
    ([*FLAGGED, (0,)], "9 in 5, flagged", 0),
    ([*FLAGGED, (1,)], "9 in 5", 0),
    ([*FLAGGED, (0,), (0,)], "10 in 5", 0),
    (PAIRS, "10 pairs of 5", 0),
    ([(0,), (0,)], "2 in 1", 0),
    ([(0, 1), (0, 1), (0,)], "3 in 2", 0),
    ([], "nothing", 0),
]


@pytest.mark.parametrize(("words", "name", "alone"), NAMED, ids=[n for _, n, _ in NAMED])
@given(st.randoms(use_true_random=False))
def test_structures_are_named_whatever_the_order_of_neurons_and_features(words, name, alone, random):
    rows, columns = list(range(5)), list(range(10))
    random.shuffle(rows)
    random.shuffle(columns)
    found = neurons(from_codes(words, 5, 10)[rows][:, columns])
    assert found.name == name
    assert len(found.monosemantic) == alone
    assert sorted(found.dropped) == [k for k, i in enumerate(columns) if i >= len(words)]
    assert set(found.silent) == {k for k in range(5) if not found.codes[k].any()}


def test_the_flag_is_the_neuron_of_the_features_with_one_other_neuron():
    group = neurons(from_codes(FLAGGED, 5, 10)).groups[0]
    assert group.flag == 0
    # One word changed from {1, 2, 3} to {1, 2}: still 8 in 5, no longer that code.
    changed = [word if word != (1, 2, 3) else (1, 2) for word in FLAGGED]
    other = neurons(from_codes(changed, 5, 10)).groups[0]
    assert (other.name, other.flag) == ("8 in 5", None)


@given(st.integers(0, 10_000), st.sampled_from([(5, 10), (3, 2), (1, 1), (6, 30)]))
def test_groups_partition_features_and_neurons_and_share_no_neuron(seed, shape):
    W = np.random.default_rng(seed).normal(size=shape) * (np.random.default_rng(seed + 1).random(shape) < 0.4)
    found = neurons(W)
    features = sorted([i for g in found.groups for i in g.features] + list(found.dropped))
    members = sorted([k for g in found.groups for k in g.neurons] + list(found.silent))
    assert features == list(range(shape[1]))
    assert members == list(range(shape[0]))
    for g in found.groups:
        for i, code in zip(g.features, g.codes, strict=True):
            assert set(code) == set(np.flatnonzero(found.codes[:, i])) <= set(g.neurons)
    assert sorted((*found.monosemantic, *found.polysemantic, *found.silent)) == list(range(shape[0]))


def test_inhibition_is_no_part_of_a_code_unless_features_are_signed():
    W = np.array([[1.0, -2.0], [0.2, 0.9]])
    assert feature_codes(W).tolist() == [[True, False], [False, True]]
    assert feature_codes(W, sign="absolute").tolist() == [[True, True], [False, False]]
    # Only what the feature turns on counts as represented: here 0.4, whatever it silences.
    assert neurons(np.array([[0.4], [-3.0]])).dropped == (0,)
    assert neurons(np.array([[0.4], [-3.0]]), represented=0.3).name == "1 monosemantic"


def test_a_threshold_is_a_fraction_of_the_features_largest_weight():
    W = np.array([[4.0], [1.9], [2.1]])
    assert feature_codes(W)[:, 0].tolist() == [True, False, True]
    assert feature_codes(W, threshold=0.6)[:, 0].tolist() == [True, False, False]
    assert feature_codes([[2.0], [1.0]])[:, 0].tolist() == [True, False]  # at the threshold is not above it
    assert neurons([[0.5]]).dropped == (0,)
    assert neurons([[0.4], [0.4]]).name == "1 in 2"  # represented by the norm, 0.57, not by one weight
    assert neurons(1e200 * np.eye(3)).name == "3 monosemantic"


def test_what_is_not_a_finite_matrix_is_refused():
    for W in (np.zeros(3), np.zeros((0, 3)), np.array([[np.nan, 1.0]]), np.array([[np.inf]])):
        with pytest.raises(ConfigError, match="finite"):
            neurons(W)
    for threshold in (0.0, 1.0):
        with pytest.raises(ConfigError, match="threshold"):
            neurons(np.eye(2), threshold=threshold)
    with pytest.raises(ConfigError, match="sign"):
        neurons(np.eye(2), sign="negative")


def test_concentration_is_one_over_the_number_of_equal_weights():
    W = np.array([[0.0, 3.0, 0.0, 0.0], [1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(concentration(W), [1.0, 0.25, 0.0])
    for size in (2.0, 1e200, 1e-200):
        np.testing.assert_allclose(concentration(np.stack([W, size * W]))[1], [1.0, 0.25, 0.0])
    # A model that diverged leaves its neighbours alone.
    np.testing.assert_array_equal(
        concentration([[np.nan, 1.0], [np.inf, 1.0], [0.0, 2.0]]), [np.nan, np.nan, 1.0]
    )
    with pytest.raises(ConfigError, match="n_features"):
        concentration(np.zeros((4, 0)))


@pytest.mark.parametrize("shape", [(10, 5), (3, 6), (9, 8), (8, 9), (1, 1), (20, 12)])
def test_the_hidden_relu_gradient_is_the_slope_of_the_mean_loss(shape):
    n, m = shape
    rng = np.random.default_rng(n + m)
    W_in, W_out, b = rng.normal(size=(m, n)), rng.normal(size=(n, m)), 0.3 * rng.normal(size=n)
    x, weight = rng.uniform(-1, 1, (n, 33)) * (rng.random((n, 33)) < 0.6), rng.uniform(size=n)

    def loss(parts):
        W_in, W_out, b = parts
        y = np.maximum(W_out @ np.maximum(W_in @ x, 0) + b[:, None], 0)
        return (weight[:, None] * (y - np.abs(x)) ** 2).sum(0).mean()

    def slope(which, h=1e-6):
        parts = [W_in, W_out, b]
        result = np.zeros_like(parts[which])
        for index in np.ndindex(result.shape):
            values = []
            for side in (h, -h):
                moved = [p.copy() for p in parts]
                moved[which][index] += side
                values.append(loss(moved))
            result[index] = (values[0] - values[1]) / (2 * h)
        return result

    single = [jnp.asarray(a, jnp.float32) for a in (W_in, W_out, b, weight, x, np.abs(x))]
    for which, got in enumerate(unrolled.hidden_relu(*single)):
        np.testing.assert_allclose(got, slope(which), rtol=2e-3, atol=2e-5)
    # The tied model uses one matrix twice; both models' own gradients are these.
    tied = ReLUHidden(n, m).gradient(ToyParams(*single[0:3:2]), single[3], jnp.abs(single[4]))
    into, out, db = unrolled.hidden_relu(
        single[0], single[0].T, single[2], single[3], jnp.abs(single[4]), jnp.abs(single[4])
    )
    np.testing.assert_allclose(tied.W, into + out.T, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(tied.b, db, rtol=1e-5, atol=1e-7)
    untied = AbsoluteValue(n, m).gradient(ComputationParams(*single[:3]), single[3], single[4])
    for got, wanted in zip(untied, unrolled.hidden_relu(*single), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def begun():
    run = ToyRun(ReLUHidden(4, 2), importance_base=0.8, optimizer=AdamW(0.02), steps=100, batch_size=16)
    data = sweep(run, {"density": [0.9, 0.1], "seed": range(3)}, share_draws=False)
    params = ToyParams(data["W"].values.reshape(6, 2, 4), data["b"].values.reshape(6, 4))
    return run, params, np.repeat([0.9, 0.1], 3)


def mean_loss(run, params, density, examples=40_000):
    rng = np.random.default_rng(5)
    result = []
    for W, b, p in zip(np.asarray(params.W), np.asarray(params.b), density, strict=True):
        x = rng.random((4, examples)) * (rng.random((4, examples)) < p)
        y = np.maximum(W.T @ np.maximum(W @ x, 0) + b[:, None], 0)
        result.append((run.importance_vector()[:, None] * (x - y) ** 2).sum(0).mean())
    return np.array(result)


def test_refining_goes_on_from_the_models_given_each_at_its_density(begun):
    run, params, density = begun
    longer = ToyRun(ReLUHidden(4, 2), importance_base=0.8, optimizer=AdamW(0.01, schedule="cosine"),
                    steps=600, batch_size=128)  # fmt: skip
    better = refine(longer, params, density=density)
    before, after = mean_loss(run, params, density), mean_loss(run, better, density)
    assert (after < before).all()
    # Trained at the wrong densities they would be worse than where they began.
    swapped = mean_loss(run, refine(longer, params, density=density[::-1]), density)
    assert (swapped > after).all()
    one_step = ToyRun(ReLUHidden(4, 2), optimizer=AdamW(1e-4, weight_decay=0.0), steps=1, batch_size=16)
    moved = refine(one_step, params, density=density)
    assert 0 < np.abs(moved.W - params.W).max() < 1.01e-4


def test_a_refined_model_depends_on_the_seed_and_not_on_its_neighbours(begun):
    run, params, density = begun
    all_six = refine(run, params, density=density)
    first = refine(run, jax.tree.map(lambda a: a[:2], params), density=density[:2])
    np.testing.assert_allclose(all_six.W[:2], first.W, rtol=1e-5, atol=1e-6)
    other = refine(run, params, density=density, seed=1)
    assert np.abs(other.W - all_six.W).max() > 1e-3


def test_refine_refuses_what_does_not_fit(begun):
    run, params, density = begun
    with pytest.raises(ConfigError, match="shapes"):
        refine(run, ToyParams(params.W[:, :1], params.b))
    with pytest.raises(ConfigError, match="one number a model"):
        refine(run, params, density=density[:2])
    with pytest.raises(ConfigError, match="density"):
        refine(run, params, density=0 * density)
    with pytest.raises(ConfigError, match="density"):
        refine(run, params, density=jax.numpy.asarray(density).at[0].set(1.5))
    with pytest.raises(ConfigError, match="finite"):
        refine(run, params._replace(b=np.full_like(params.b, np.nan)))
    with pytest.raises(ConfigError, match="at least one model"):
        refine(run, jax.tree.map(lambda a: a[:0], params))
    with pytest.raises(ConfigError, match="seed"):
        refine(run, params, seed=-1)


def test_refining_meets_other_examples_than_training_did_at_every_seed():
    run = ToyRun(ReLUHidden(4, 2), optimizer=optax.sgd(0.1), steps=1, batch_size=16)
    start = jax.tree.map(lambda a: a[None], run.model.init_params(jax.random.fold_in(jax.random.key(0), 0)))
    trained = sweep(run, {"seed": (0,)})["W"].values
    moved = [refine(run, start, seed=seed).W for seed in (0, 1, 4_000_000_000)]
    for one, other in combinations([trained, *moved], 2):
        assert np.abs(one - other).max() > 1e-4


def heights(figure, panel, m):
    """Stacked height above and below the axis of every column, from the rectangles drawn."""
    collections = [c for axes in figure.axes for c in axes.collections if isinstance(c, PolyCollection)]
    up, down = np.zeros(m), np.zeros(m)
    for path in collections[panel].get_paths():
        low, high = path.get_extents().intervaly
        column = int(path.vertices[0, 0])
        if high > 1e-12:
            up[column] += high - low
        else:
            down[column] += high - low
    return up, down


@pytest.mark.parametrize("shape", [(3, 5), (FEW + 4, 30)])
def test_a_stack_is_as_high_as_its_neurons_weights(shape):
    W = np.random.default_rng(0).normal(size=(2, *shape))
    W[np.abs(W) < 0.2] = 0  # nothing so thin that it is left out
    order = np.array([np.arange(shape[0])[::-1], np.roll(np.arange(shape[0]), 1)])
    up, down = heights(stacks(W, [0.5, 0.1], order=order, signed=True), 1, shape[0])
    np.testing.assert_allclose(up, np.maximum(W[1], 0).sum(1)[order[1]], rtol=1e-9)
    np.testing.assert_allclose(down, np.maximum(-W[1], 0).sum(1)[order[1]], rtol=1e-9)
    up, down = heights(stacks(W, ["a", "b"], order=order, scale="neuron"), 0, shape[0])
    np.testing.assert_allclose(up, (np.abs(W[0]).sum(1) / np.abs(W[0]).max(1))[order[0]], rtol=1e-9)
    assert not down.any()


def test_neurons_stand_in_the_order_of_their_largest_features_and_diverged_models_are_hatched():
    W = np.zeros((2, 3, 4))
    W[0, 0, 3], W[0, 1, 0], W[0, 2, 1] = 0.7, 0.8, 0.9
    W[1] = np.nan
    figure = stacks(W, [1.0, 0.1], matrix=True, captions=["a", "b"])
    up, _ = heights(figure, 0, 3)
    np.testing.assert_allclose(up, [0.8, 0.9, 0.7])
    assert sum(p.get_gid() == "unknown" for axes in figure.axes for p in axes.patches) == 1


def test_a_stack_too_deep_for_the_rest_is_cut_off_and_says_how_deep_it_is():
    W = np.ones((1, 3, 2))
    W[0, 0] = [1.0, -30.0]
    figure = stacks(W, ["a"], signed=True)
    (axes,) = [axes for axes in figure.axes if axes.collections]
    assert -6 < axes.get_ylim()[0] < -2
    assert "−30" in [text.get_text() for text in axes.texts]
    whole = stacks(W, ["a"])
    assert max(axes.get_ylim()[1] for axes in whole.axes if axes.collections) > 31


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"titles": ["a"]}, "titles"),
        ({"captions": ["a"]}, "captions"),
        ({"scale": "row"}, "scale"),
        ({"order": [[0, 0], [0, 1]]}, "order"),
        ({"polysemantic": np.zeros((2, 3))}, "polysemantic"),
    ],
)
def test_stack_plots_refuse_what_does_not_fit(options, said):
    arguments = {"titles": ["a", "b"]} | options
    with pytest.raises(ConfigError, match=said):
        stacks(np.ones((2, 2, 3)), **arguments)
