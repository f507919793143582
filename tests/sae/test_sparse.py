"""Arithmetic on active latents alone equals the dense arithmetic, and a threshold found by bisection a sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from superposition.sae import TopK, _select, _sparse
from tests.oracles import sae_loss
from tests.oracles.sae_cases import data, params_of, state_of

KEY = jax.random.key(0)
LEAST = jax.jit(_select.least_kept)
FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, 1e-30, 3e38]),
    st.floats(-4, 4, width=32, allow_subnormal=False),
)


def close(got, expected, tolerance=2e-5):
    scale = max(1e-3, float(np.abs(expected).max()))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=tolerance * scale)


@settings(max_examples=100)
@given(
    st.sampled_from([(1, 1), (3, 5), (13, 17), (6, 11)]).flatmap(
        lambda shape: hnp.arrays(np.float32, shape, elements=FLOATS)
    ),
    st.floats(0.05, 20),
)
def test_least_kept_is_what_a_sort_gives(pre, k):
    positive = np.sort(pre[pre > 0])[::-1]
    wanted = min(int(np.floor(np.float32(k) * np.float32(len(pre)))), len(positive))
    expected = positive[wanted - 1] if wanted else np.inf
    assert float(LEAST(jnp.asarray(pre), np.float32(k))) == expected


@pytest.mark.parametrize(
    ("batch", "d_sae", "k"), [(257, 131, 3.7), (64, 1024, 8), (1, 1, 1), (3, 5, 5), (1000, 77, 0.002)]
)
def test_least_kept_at_awkward_sizes_and_traced_k(batch, d_sae, k):
    pre = np.random.default_rng(0).normal(size=(batch, d_sae)).astype(np.float32)
    positive = np.sort(pre[pre > 0])[::-1]
    wanted = min(int(k * batch), len(positive))
    expected = positive[wanted - 1] if wanted else np.inf
    assert float(LEAST(jnp.asarray(pre), np.float32(k))) == expected


def test_least_kept_of_many_ties_keeps_them_all():
    pre = jnp.concatenate([jnp.ones((4, 6)), jnp.full((4, 2), 2.0)], 1)
    least = _select.least_kept(pre, 4)
    assert least == 1
    assert (pre >= least).sum() == 32
    assert _select.least_kept(-pre, 4) == jnp.inf
    assert _select.least_kept(jnp.zeros((4, 6)), 4) == jnp.inf


@pytest.mark.parametrize("rows_given", [False, True])
@pytest.mark.parametrize(
    ("slots", "lanes", "batch", "d_sae"), [(1, 6, 6, 9), (4, 6, 6, 9), (7, 5, 5, 2), (19, 3, 3, 40)]
)
def test_sparse_decode_and_its_gradients_are_the_dense_ones(slots, lanes, batch, d_sae, rows_given):
    rng = np.random.default_rng(slots)
    values = rng.normal(size=(slots, lanes)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = 0.0
    columns = rng.integers(0, d_sae, (slots, lanes))  # repeats, within an example too
    rows = rng.integers(0, batch, (slots, lanes)) if rows_given else None
    at = np.broadcast_to(np.arange(lanes), values.shape) if rows is None else rows
    W = jnp.asarray(rng.normal(size=(d_sae, 3)).astype(np.float32))
    like, aim = jnp.zeros((batch, 3)), jnp.asarray(rng.normal(size=(batch, 3)).astype(np.float32))

    def sparse(v, W):
        places = None if rows is None else jnp.asarray(rows)
        return _sparse.decode(
            _sparse.Slots(jnp.asarray(v), places, jnp.asarray(columns), jnp.int32(slots)), W, like
        )

    def dense(v, W):
        return jnp.zeros((batch, d_sae)).at[at, columns].add(v) @ W

    close(sparse(values, W), dense(values, W))
    got = jax.grad(lambda *a: jnp.sum((sparse(*a) - aim) ** 2), (0, 1))(jnp.asarray(values), W)
    expected = jax.grad(lambda *a: jnp.sum((dense(*a) - aim) ** 2), (0, 1))(jnp.asarray(values), W)
    close(got[0], expected[0])
    close(got[1], expected[1])


def test_fired_sees_values_other_than_zero_of_either_sign_in_slots_that_count():
    values = jnp.array([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    columns = jnp.array([[3, 1, 2], [3, 3, 0]])
    fired = _sparse.fired(_sparse.Slots(values, None, columns, jnp.int32(2)), 5)
    np.testing.assert_array_equal(fired, [False, False, True, True, False])


def masked(sae, params, x, y):
    """The TopK loss and gradient by a mask from numpy and autodiff of dense products."""
    on = sae_loss.selected(sae, sae_loss.doubles(params), np.asarray(x, float)) > 0

    def loss(p):
        inside = x if sae.d_out else x - p["b_dec"][None]
        f = jnp.where(on, inside @ p["W_enc"] + p["b_enc"][None], 0.0)
        y_hat = f @ p["W_dec"] + p["b_dec"][None] + (x @ p["W_skip"].T if sae.skip else 0.0)
        return jnp.sum((y - y_hat) ** 2) / jnp.sum((y - y.mean(0, keepdims=True)) ** 2)

    return jax.value_and_grad(loss)(params), on


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"d_out": 3},
        {"d_out": 3, "skip": True},
        {"rescale_acts_by_decoder_norm": True},
        {"apply_b_dec_to_input": True, "width": 1000},
    ],
    ids=["sae", "transcoder", "skip", "rescaled", "width"],
)
@pytest.mark.parametrize(("batch", "d_sae"), [(64, 1024), (16, 64)], ids=["wide", "narrow"])
def test_topk_trains_alike_through_slots_and_through_a_mask(batch, d_sae, fields, k):
    if "width" in fields:
        fields = {**fields, "width": d_sae - 24}
    sae = TopK(6, d_sae, k=k, aux_coefficient=0.0, **fields)
    params, (x, y) = params_of(sae), data(sae, rows=batch)
    if "width" in fields:  # the oracle has no width: what lies beyond never fires there either
        params["b_enc"] = params["b_enc"].at[d_sae - 24 :].set(-100.0)
    (value, grads), on = masked(sae, params, x, y)
    (got, (_, info)), slopes = jax.jit(
        jax.value_and_grad(lambda p: sae.loss(p, state_of(sae), x, y, KEY), has_aux=True)
    )(params)
    np.testing.assert_allclose(got, value, rtol=1e-5)
    np.testing.assert_array_equal(info.fired, on.any(0))
    np.testing.assert_allclose(info.l0, on.sum() / batch, rtol=1e-6)
    for key, g in grads.items():
        close(slopes[key], g)


def test_fewer_positive_pre_activations_than_k_are_all_that_fire():
    sae = TopK(6, 1024, k=8, aux_coefficient=0.0)
    params, (x, y) = params_of(sae), data(sae, rows=64)
    params["b_enc"] = params["b_enc"] - 2.5
    _, on = masked(sae, params, x, y)
    assert on.sum(1).min() < on.sum(1).max() == 8
    _, (_, info) = sae.loss(params, state_of(sae), x, y, KEY)
    np.testing.assert_allclose(info.l0, on.sum() / 64, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(sae.encode(params, x)) > 0, on)


def test_a_traced_k_with_slots_is_that_k():
    params, (x, y) = params_of(TopK(6, 1024, k=4)), data(TopK(6, 1024, k=4), rows=64)

    def loss(p, k):
        sae = TopK(6, 1024, k=k, slots=6)
        return sae.loss(p, state_of(sae), x, y, KEY)[0]

    ks = jnp.array([1, 4, 6])
    values, grads = jax.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0)))(params, ks)
    for i, k in enumerate((1, 4, 6)):
        (value, expected), _ = masked(TopK(6, 1024, k=k), params, x, y)
        np.testing.assert_allclose(values[i], value, rtol=1e-5)
        for key, g in expected.items():
            close(grads[key][i], g)
