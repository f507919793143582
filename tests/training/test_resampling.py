"""Resampling of dead latents: who is drawn, what they become, and that nobody else is touched."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from superposition.activations import HELD_OUT_STEP, array_stream
from superposition.sae import Bricken
from superposition.training import SAERun, resampling
from superposition.training.sae import Cells, Inputs, Program
from tests.oracles import sae_loss
from tests.oracles.sae_cases import params_of

D_IN, D_SAE, ROWS, SIZE, STEPS = 3, 7, 40, 8, 6
X = np.random.default_rng(0).normal(size=(ROWS, D_IN)).astype(np.float32) + 1
STREAM = array_stream(jax.random.key(1), X)
DEAD = [1, 4]
SAE = Bricken(
    D_IN, D_SAE, penalty=0.1, resample_every=4, resample_times=1, resample_inputs=ROWS, dead_after=4 * SIZE
)


def which(rows, pool=X):
    """Numbers of rows in the pool."""
    distance = np.linalg.norm(np.asarray(rows)[:, None] - pool[None], axis=-1)
    assert distance.min(1).max() < 1e-6
    return distance.argmin(1)


def test_inputs_are_drawn_from_the_whole_pool_in_proportion_to_their_squared_loss():
    sae = replace(SAE, d_sae=2048)
    params = params_of(sae)
    inputs = SimpleNamespace(source=STREAM.inputs, scales=jnp.ones(2))
    step = next(
        i for i in range(5) if (HELD_OUT_STEP + i + 1) % (ROWS // SIZE) == 0
    )  # a pool of every row once
    draw = jax.jit(
        lambda key: resampling.draw(sae, STREAM.source, SIZE, inputs, params, jnp.int32(step), key)[0]
    )
    drawn = np.concatenate([which(draw(jax.random.key(s))) for s in range(6)])
    p = sae_loss.doubles(params)
    f = np.maximum(sae_loss.pre_acts(sae, p, X), 0)
    weight = ((X - sae_loss.decode(sae, p, f, X)) ** 2).sum(-1) ** 2
    expected = len(drawn) * weight / weight.sum()
    counts = np.bincount(drawn, minlength=ROWS)
    many = expected > 5
    assert many.sum() > 10
    observed = np.append(counts[many], counts[~many].sum())
    wanted = np.append(expected[many], expected[~many].sum())
    keep = wanted > 0
    assert stats.chisquare(observed[keep], wanted[keep] * observed.sum() / wanted[keep].sum()).pvalue > 1e-3


def test_resampling_happens_on_its_steps_alone():
    sae = Bricken(D_IN, D_SAE, resample_every=4, resample_times=2)
    assert [i for i in range(40) if sae.resamples_at(jnp.int32(i))] == [3, 7]
    assert not any(replace(sae, resample_times=0).resamples_at(jnp.int32(i)) for i in range(20))


def test_a_resampled_latent_points_at_its_example():
    sae = replace(SAE, width=6)
    params = params_of(sae)
    state = {"silent": jnp.zeros(D_SAE, jnp.int32).at[jnp.array(DEAD)].set(4 * SIZE)}
    new, after, dead = sae.resample(params, state, X[:D_SAE], X[:D_SAE])
    np.testing.assert_array_equal(np.flatnonzero(dead), DEAD)
    alive = np.setdiff1d(np.arange(6), DEAD)
    size = 0.2 * np.linalg.norm(np.asarray(params["W_enc"])[:, alive], axis=0).mean()
    for j in DEAD:
        along = X[j] - np.asarray(params["b_dec"])
        along = along / np.linalg.norm(along)
        np.testing.assert_allclose(new["W_dec"][j], along, rtol=1e-5)
        np.testing.assert_allclose(new["W_enc"][:, j], size * along, rtol=1e-5)
        assert new["b_enc"][j] == 0
    others = np.setdiff1d(np.arange(D_SAE), DEAD)
    np.testing.assert_array_equal(new["W_enc"][:, others], params["W_enc"][:, others])
    np.testing.assert_array_equal(new["W_dec"][others], params["W_dec"][others])
    np.testing.assert_array_equal(new["b_enc"][others], params["b_enc"][others])
    np.testing.assert_array_equal(new["b_dec"], params["b_dec"])
    assert not after["silent"].any()


def walked(sae, seeds):
    """The state after 4 steps, latents DEAD having been silenced at the start."""
    run = SAERun(sae, steps=STEPS, batch_size=SIZE, normalize=False)
    cells = Cells(jnp.asarray(seeds, jnp.uint32), {})
    program, inputs = Program(run, STREAM.source), Inputs(cells, STREAM.inputs, jnp.ones(2))
    state = program.start(cells, jnp.asarray(X), jnp.asarray(X))
    params = {**state.params, "b_enc": state.params["b_enc"].at[:, jnp.array(DEAD)].set(-50.0)}
    state = state._replace(params=params)
    step = jax.jit(program.step)
    for i in range(4):
        state = step(inputs, state, jnp.int32(i))
    return jax.tree.map(np.asarray, state)


def by_latent(tree):
    """Arrays with the latents' axis first, after the cell's."""
    moved = {k: v if v.shape[1] == D_SAE else np.swapaxes(v, 1, 2) for k, v in tree.items() if k != "b_dec"}
    return {**moved, "b_dec": tree["b_dec"]}


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_in_training_dead_latents_and_their_moments_start_again_and_no_others(seeds):
    on, off = walked(SAE, seeds), walked(replace(SAE, resample_times=0), seeds)
    np.testing.assert_array_equal(np.flatnonzero((off.sae["silent"] >= 4 * SIZE).all(0)), DEAD)
    new, old = by_latent(on.params), by_latent(off.params)
    for c in range(len(seeds)):
        dead = off.sae["silent"][c] >= SAE.dead_after
        rows = new["W_dec"][c][dead]
        np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1, rtol=1e-5)
        pool = X - old["b_dec"][c]
        which(rows, pool / np.linalg.norm(pool, axis=-1, keepdims=True))
        size = 0.2 * np.linalg.norm(old["W_enc"][c][~dead], axis=-1).mean()
        np.testing.assert_allclose(new["W_enc"][c][dead], size * rows, rtol=1e-4, atol=1e-6)
        assert not new["b_enc"][c][dead].any()
        assert not on.sae["silent"][c][dead].any()
        np.testing.assert_array_equal(on.sae["silent"][c][~dead], off.sae["silent"][c][~dead])
        for name in ("W_enc", "W_dec", "b_enc"):
            np.testing.assert_allclose(new[name][c][~dead], old[name][c][~dead], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(new["b_dec"], old["b_dec"], rtol=1e-5)
    for a, b in zip(moments(on), moments(off), strict=True):
        assert all(v.any() for v in a.values())
        for name in ("W_enc", "W_dec", "b_enc"):
            dead = off.sae["silent"] >= SAE.dead_after
            assert not a[name][dead].any()
            np.testing.assert_allclose(a[name][~dead], b[name][~dead], rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(a["b_dec"], b["b_dec"], rtol=1e-4, atol=1e-8)


def moments(state):
    adam = next(
        node
        for node in jax.tree.leaves(state.opt_state, is_leaf=lambda n: hasattr(n, "mu"))
        if hasattr(node, "mu")
    )
    return by_latent(adam.mu), by_latent(adam.nu)
