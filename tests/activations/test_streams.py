"""Streams: every example once an epoch, in an order that is a function of key and step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from superposition.activations import HELD_OUT_STEP, array_stream, planted_stream, toy_stream
from superposition.activations.array import permuted
from superposition.errors import ConfigError
from superposition.features import (
    Dictionary,
    Independent,
    NormalMagnitudes,
    Planted,
    SparseUniform,
    key_words,
)
from superposition.toy import ReLUOutput
from superposition.typing import ToyParams

KEY = jax.random.key(3)
SMALL = Planted(Independent(density=1 / 3, magnitudes=NormalMagnitudes(5.0, 4.0)), Dictionary(6, 5))


def numbered(n, key=KEY):
    """A stream whose rows are their own numbers."""
    return array_stream(key, np.stack([np.arange(n), np.arange(n) + 0.5], 1).astype(np.float32))


def order(stream, size, first, count):
    return np.concatenate([np.asarray(stream.batch(first + i, size).x[:, 0]) for i in range(count)]).astype(
        int
    )


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 65, 1000])
def test_permutations_hold_everyone_once(n):
    everyone = jnp.arange(n, dtype=jnp.uint32)
    seen = {
        tuple(np.asarray(permuted(key_words(jax.random.key(seed)), jnp.uint32(epoch), everyone, n)))
        for seed in range(3)
        for epoch in range(4)
    }
    assert all(sorted(one) == list(range(n)) for one in seen)
    if n > 7:
        assert len(seen) == 12
    if n in (2, 3):
        assert len(seen) > 1


def test_every_row_once_an_epoch_and_another_order_each_time():
    stream = numbered(1000)
    epochs = [order(stream, 100, 10 * e, 10) for e in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(1000))
    agree = [(epochs[0] == epochs[1]).sum(), (epochs[1] == epochs[2]).sum()]
    other = order(numbered(1000, jax.random.key(4)), 100, 0, 10)
    assert max(*agree, (other == epochs[0]).sum()) < 10  # 1 by chance
    np.testing.assert_array_equal(order(numbered(1000), 100, 0, 10), epochs[0])


def test_rows_that_do_not_fill_a_batch_wait_for_another_epoch():
    stream = numbered(10)
    epochs = [order(stream, 4, 2 * e, 2) for e in range(40)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert set(np.concatenate(epochs)) == set(range(10))


def test_places_in_the_order_are_uniform():
    n, epochs = 12, 3000
    words, everyone = key_words(KEY), jnp.arange(n, dtype=jnp.uint32)
    rows = np.asarray(
        jax.jit(jax.vmap(lambda e: permuted(words, e, everyone, n)))(jnp.arange(epochs, dtype=jnp.uint32))
    )
    for place in range(n):
        counts = np.bincount(rows[:, place], minlength=n)
        assert stats.chisquare(counts).pvalue > 1e-4
    pairs = np.bincount(rows[:, 0] * n + rows[:, 1], minlength=n * n).reshape(n, n)
    assert stats.chisquare(pairs[~np.eye(n, dtype=bool)]).pvalue > 1e-4  # neighbours too
    sign = (rows[:, None, :] > rows[:, :, None])[:, *np.triu_indices(n, 1)].sum(1)
    assert abs(sign.mean() - n * (n - 1) / 4) < 0.6  # inversions


def test_a_batch_is_a_function_of_key_and_step_and_targets_stay_with_their_rows():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    stream = array_stream(KEY, x, 2 * x[:, :2] + 1)
    a, b = stream.batch(7, 8), stream.batch(7, 8)
    stream.batch(3, 8)
    np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(a.y, 2 * a.x[:, :2] + 1)
    assert (stream.source.d_in, stream.source.d_out) == (3, 2)
    for other in (planted_stream(KEY, SMALL), toy_stream(*toy())):
        np.testing.assert_array_equal(other.batch(7, 8).x, other.batch(7, 8).x)
        assert (other.batch(7, 64).x != other.batch(8, 64).x).any()


def toy(target="hidden"):
    params = ToyParams(jnp.array([[1.0, -1.0, 0.5], [0.2, 0.3, 2.0]]), jnp.array([0.1, 0.0, -0.1]))
    return KEY, ReLUOutput(3, 2), params, SparseUniform(density=0.3)


def test_planted_and_toy_batches_are_their_truth_times_their_dictionary():
    planted = planted_stream(KEY, SMALL)
    batch = planted.batch(0, 512)
    np.testing.assert_allclose(batch.x, batch.features @ planted.dictionary, atol=1e-4)
    np.testing.assert_allclose((np.asarray(batch.features) > 0).mean(0), 1 / 3, atol=0.1)
    hidden = toy_stream(*toy())
    batch = hidden.batch(0, 4096)
    np.testing.assert_allclose(batch.x, batch.features @ hidden.dictionary, atol=1e-5)
    assert abs((np.asarray(batch.features) > 0).mean() - 0.3) < 0.03
    output = toy_stream(*toy(), target="output")
    batch = output.batch(0, 16)
    _, model, params, _ = toy()
    expected = jnp.stack([model.apply(params, a) for a in batch.features])
    np.testing.assert_allclose(batch.y, expected, atol=1e-5)
    assert (output.source.d_in, output.source.d_out) == (2, 3)


def test_scales_give_a_mean_norm_of_the_square_root_of_the_width():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4000, 6)) * 37 + 5).astype(np.float32)
    stream = array_stream(KEY, x, x[:, :2] * 1e-3)
    scale_x, scale_y = stream.scales(100)
    np.testing.assert_allclose(np.linalg.norm(x * scale_x, axis=1).mean(), np.sqrt(6), rtol=0.01)
    np.testing.assert_allclose(
        np.linalg.norm(x[:, :2] * 1e-3 * scale_y, axis=1).mean(), np.sqrt(2), rtol=0.01
    )
    same = array_stream(KEY, x).scales(100)
    assert same[0] == same[1]


def test_samples_are_apart_from_training():
    stream = planted_stream(KEY, SMALL)
    sample = stream.sample(100, batch=64)
    assert sample.x.shape == (100, 5)
    np.testing.assert_array_equal(sample.x[:64], stream.batch(HELD_OUT_STEP, 64).x)
    assert (sample.x[:64] != stream.batch(0, 64).x).any()


NAN = np.ones((4, 2), np.float32)
NAN[2, 1] = np.nan


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: array_stream(KEY, np.zeros((0, 3))), r"at least 1; got shape \(0, 3\)"),
        (lambda: array_stream(KEY, np.zeros((3, 0))), r"at least 1; got shape \(3, 0\)"),
        (lambda: array_stream(KEY, np.zeros(3)), r"\(examples, width\).*got shape \(3,\)"),
        (lambda: array_stream(KEY, np.full((4, 2), 2.0)), "constant.*2"),
        (lambda: array_stream(KEY, NAN), "row 2, column 1 is nan"),
        (lambda: array_stream(KEY, np.where(np.isnan(NAN), np.inf, 0)), "row 2, column 1 is inf"),
        (lambda: array_stream(KEY, np.array([["a", "b"]])), "must be numbers; got dtype"),
        (lambda: array_stream(KEY, np.eye(3), np.eye(4)), "one row per example: 3; got 4"),
        (lambda: array_stream(KEY, np.eye(3), np.zeros((3, 2))), "targets are constant"),
        (lambda: numbered(5).sample(20, batch=8), "at most the 5 examples there are; got 8"),
        (lambda: toy_stream(KEY, ReLUOutput(4, 2), *toy()[2:]), r"W must be \(2, 4\).*got \(2, 3\)"),
        (lambda: toy_stream(*toy(), target="logits"), "hidden, output; got 'logits'"),
    ],
)
def test_bad_activations_are_refused_by_their_fault(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_activations_that_are_zero_where_they_are_looked_at_are_refused():
    x = np.zeros((2**16, 3), np.float32)
    x[0] = 1  # not constant, but not met either
    with pytest.raises(ConfigError, match="all zero"):
        array_stream(KEY, x).scales(16)
