"""The detector of the asymmetric motif: planted motifs, near misses, symmetries, and chance."""

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.geometry.motif import motifs

N, M = 6, 5
K, L, STRONG, WEAK = 3, 1, 4, 2


def planted(seed=None, noise=0.0):
    """The paper's motif in neurons 3 and 1, features 4 and 2, over small random weights."""
    rng = np.random.default_rng(seed)
    W_in, W_out = noise * rng.normal(size=(M, N)), noise * rng.normal(size=(N, M))
    for W, where, value in (
        (W_in, (K, STRONG), 2),
        (W_in, (K, WEAK), -0.5),
        (W_out, (STRONG, K), 0.5),
        (W_out, (WEAK, K), 2),
        (W_in, (L, STRONG), 1),
        (W_out, (WEAK, L), -4),
    ):
        W[where] += value
    return W_in, W_out


def found(W_in, W_out):
    return [(m.neuron, m.inhibitor, m.strong, m.weak) for m in motifs(W_in, W_out)]


def test_the_papers_motif_is_found_with_its_numbers():
    (motif,) = motifs(*planted())
    assert motif == (K, L, STRONG, WEAK, 4, 4, 1, 1, 4, 1)
    assert motif.distance == 0


@pytest.mark.parametrize("seed", range(10))
def test_it_is_found_among_small_weights(seed):
    nearest = motifs(*planted(seed, noise=0.04))[0]
    assert (nearest.neuron, nearest.inhibitor, nearest.strong, nearest.weak) == (K, L, STRONG, WEAK)
    assert 0 < nearest.distance < 1


def test_scale_of_neurons_sign_of_features_and_order_do_not_matter():
    rng = np.random.default_rng(0)
    W_in, W_out = planted(1, noise=0.04)
    scale, sign = rng.uniform(0.1, 10, M), rng.choice([-1, 1], N)
    neurons, features = rng.permutation(M), rng.permutation(N)
    before = motifs(W_in, W_out)
    W_in, W_out = W_in * scale[:, None] * sign, W_out / scale
    after = motifs(W_in[neurons][:, features], W_out[features][:, neurons])
    assert len(before) == len(after) > 0
    for a, b in zip(before, after, strict=True):
        assert (a.neuron, a.inhibitor) == (neurons[b.neuron], neurons[b.inhibitor])
        assert (a.strong, a.weak) == (features[b.strong], features[b.weak])
        np.testing.assert_allclose(a[4:], b[4:])


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("in", K, WEAK), 1.01),  # read at a ratio below 2
        (("out", STRONG, K), 1.01),  # written at a ratio below 2
        (("out", STRONG, K), 0.124),  # an effect on its own output below 0.25
        (("out", STRONG, K), -0.5),  # pushes its own output down
        (("in", K, WEAK), 0.12),  # the other feature's effect is too small
        (("in", L, STRONG), -1.0),  # the inhibitor wakes for the other sign
        (("in", L, STRONG), 0.0),  # ... or not at all
        (("out", WEAK, L), 4.0),  # it excites
        (("out", WEAK, L), -1.99),  # it takes back less than half
        # At a boundary is not beyond it.
        (("in", K, WEAK), 1.0),
        (("in", K, WEAK), 0.125),
        (("out", STRONG, K), 1.0),
        (("out", STRONG, K), 0.125),
        (("out", WEAK, L), -2.0),
    ],
)
def test_near_misses_are_not_motifs(where, value):
    W_in, W_out = planted()
    (W_in if where[0] == "in" else W_out)[where[1:]] = value
    assert found(W_in, W_out) == []


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("in", K, WEAK), 0.5),  # the same sign: x_weak -> -x_weak
        (("in", K, WEAK), 0.99),
        (("out", STRONG, K), 0.99),
        (("out", WEAK, L), -2.01),
    ],
)
def test_what_barely_qualifies_is_one(where, value):
    W_in, W_out = planted()
    (W_in if where[0] == "in" else W_out)[where[1:]] = value
    assert found(W_in, W_out) == [(K, L, STRONG, WEAK)]


def test_a_neuron_driven_by_the_weak_feature_is_no_inhibitor():
    W_in, W_out = planted()
    W_in[L], W_out[:, L] = 0, 0
    W_in[L, WEAK], W_out[STRONG, L] = -1, -4  # cancels the 1/4, and leaves the 4
    assert found(W_in, W_out) == []


def test_the_strongest_of_several_inhibitors_is_named():
    W_in, W_out = planted()
    W_in[0, STRONG], W_out[WEAK, 0] = 2, -3
    (motif,) = motifs(W_in, W_out)
    assert (motif.inhibitor, motif.inhibition) == (0, 1.5)


def test_the_nearest_of_several_motifs_comes_first():
    near, far = planted(), planted()
    far[1][WEAK, L] = -3  # takes back three quarters
    W_in, W_out = (np.block([[a, 0 * a], [0 * a, b]]) for a, b in zip(far, near, strict=True))
    assert [m.distance for m in motifs(W_in, W_out)] == [0, pytest.approx(np.log2(4 / 3))]


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_the_scale_of_neurons_may_be_huge(scale):
    W_in, W_out = planted()
    assert motifs(scale * W_in, W_out / scale)[0].distance == pytest.approx(0, abs=1e-9)
    assert motifs(1e200 * W_in, 1e200 * W_out) == []  # effects beyond any float are compared with nothing


def test_dedicated_neurons_have_none_and_chance_has_few():
    eye = np.eye(4)
    W_in = np.concatenate([eye, -eye])
    assert motifs(W_in, np.abs(W_in.T)) == []
    rng = np.random.default_rng(0)
    # Weights of the size a trained model has, in random order: a motif in fewer than one model of ten.
    some = [bool(motifs(*(0.45 * rng.normal(size=(10, 10)) for _ in range(2)))) for _ in range(300)]
    assert 0 < np.mean(some) < 0.1


@pytest.mark.parametrize(
    ("W_in", "W_out", "options", "said"),
    [
        (np.ones((3, 2)), np.ones((3, 2)), {}, "W_in must be"),
        (np.ones(3), np.ones(3), {}, "W_in must be"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), {}, "finite"),
        (np.ones((2, 2)), np.ones((2, 2)), {"ratio": 0.5}, "ratio"),
        (np.ones((2, 2)), np.ones((2, 2)), {"effect": -1.0}, "effect"),
        (np.ones((2, 2)), np.ones((2, 2)), {"inhibition": -1.0}, "inhibition"),
    ],
)
def test_bad_input_is_refused_by_name(W_in, W_out, options, said):
    with pytest.raises(ConfigError, match=said):
        motifs(W_in, W_out, **options)
