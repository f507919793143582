"""A run as a recipe: what it refuses, how faults are told, scales, and what is logged when."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from superposition.activations import HELD_OUT_STEP, Source, Stream, array_stream
from superposition.errors import ConfigError, TrainingError
from superposition.sae import PCA, BatchTopK, JumpReLU, ReLU, TopK
from superposition.storage import checkpoint
from superposition.training import SAERun, finished, fit
from superposition.training.optimizer import Adam
from tests.oracles.sae_cases import D_IN, TRAINED, data, params_of, recipe

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(400, 5)) @ np.diag([3, 2, 1, 1, 0.5]) + 0.3
X = X.astype(np.float32)
STREAM = array_stream(KEY, X)
SAE = ReLU(5, 8, penalty=0.2)


def run(sae=SAE, **options):
    return SAERun(sae, Adam(learning_rate=3e-3), **{"steps": 40, "batch_size": 50} | options)


@dataclass(frozen=True)
class Poisoned(Source):
    """Batches of another source that are not a number at one step."""

    source: Any
    at: int

    @property
    def d_in(self):
        return self.source.d_in

    def batch(self, inputs, step, size):
        batch = self.source.batch(inputs, step, size)
        bad = jnp.where(step.astype(jnp.int32) == self.at, jnp.nan, 1.0)
        return batch._replace(x=batch.x * bad, y=batch.y * bad)


def poisoned(at):
    return Stream(Poisoned(STREAM.source, at), STREAM.inputs)


def test_activations_that_stop_being_numbers_are_named_and_the_last_good_state_kept(tmp_path):
    with pytest.raises(
        TrainingError, match=r"step 21: activations is not finite; the last good state.* in "
    ) as e:
        fit(run(), poisoned(21), directory=tmp_path)
    assert str(tmp_path) in str(e.value)
    place = tmp_path / "block-0"
    checkpoint.verify(place)
    newest = place / f"step-{checkpoint.latest(place):012d}" / "state.safetensors"
    state = safetensors.numpy.load_file(newest)
    kept = {k: v for k, v in state.items() if "history" not in k}
    assert all(np.isfinite(v).all() for v in kept.values())
    good = fit(run(), STREAM, {"seed": (0, 1)})[0]
    bad = fit(run(), poisoned(21), {"seed": (0, 1)})  # of several, none raises
    assert [one.fault for one in bad] == ["step 21: activations is not finite"] * 2
    np.testing.assert_array_equal(bad[0].steps, np.arange(21))
    np.testing.assert_allclose(bad[0].history["mse"], good.history["mse"][:21], rtol=1e-6)
    with pytest.raises(TrainingError, match="step 21"):  # and continuing says it again
        fit(run(), poisoned(21), directory=tmp_path)


def test_a_term_or_gradient_that_explodes_is_named():
    with pytest.raises(TrainingError, match="step 0: gradient is not finite"):
        fit(run(ReLU(5, 8, penalty=1e30)), STREAM)
    x = STREAM.inputs["x"] * np.float32(1e25)  # `array_stream` refuses them
    huge = STREAM._replace(inputs={**STREAM.inputs, "x": x})
    with pytest.raises(TrainingError, match="step 0: mse is not finite"):
        fit(run(normalize=False), huge)


def test_a_cell_that_fails_leaves_the_others_to_the_bit():
    beside_bad = fit(run(), STREAM, {"penalty": (0.3, 1e30)})
    beside_good = fit(run(), STREAM, {"penalty": (0.3, 0.5)})
    assert beside_bad[0].fault is None
    assert "gradient" in beside_bad[1].fault
    assert all(np.isfinite(v).all() for v in beside_bad[1].params.values())
    for name, array in beside_good[0].params.items():
        assert np.asarray(array).tobytes() == np.asarray(beside_bad[0].params[name]).tobytes()


@pytest.mark.parametrize("steps", [1, 300])
def test_what_is_logged_belongs_to_its_step(steps):
    one = fit(run(TopK(5, 8, k=2) if steps == 1 else SAE, steps=steps, penalty_warmup=1.0), STREAM)[0]
    assert one.steps[0] == 0
    assert (np.diff(one.steps) > 0).all()
    assert steps - one.steps[-1] <= max(1, steps / 100)
    assert all(len(v) == len(one.steps) for v in one.history.values())
    if steps > 1:  # the penalty rises with the steps, so it tells which one a row is of
        np.testing.assert_allclose(one.history["penalty"], 0.2 * (one.steps + 1) / steps, rtol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_a_folded_scale_changes_units_and_nothing_else(name):
    sae = recipe(name)
    params = params_of(sae)
    x, _ = data(sae)
    internal, inner = finished(sae, params)
    folded, outer = finished(sae, params, (4.0, 4.0))
    latents, y_hat = internal.reconstruct(inner, 4 * x)
    got, raw = folded.reconstruct(outer, x)
    np.testing.assert_allclose(4 * raw, y_hat, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got > 0, latents > 0)


def test_transcoders_fold_two_scales():
    sae = recipe("relu", "skip")
    params = params_of(sae)
    x, _ = data(sae)
    folded, outer = finished(sae, params, (4.0, 0.5))
    np.testing.assert_allclose(
        0.5 * folded.reconstruct(outer, x)[1], sae.reconstruct(params, 4 * x)[1], rtol=1e-4, atol=1e-5
    )


def test_results_do_not_depend_on_the_unit_of_the_data():
    a = fit(run(), STREAM)[0]
    b = fit(run(), array_stream(KEY, X * 1000))[0]
    np.testing.assert_allclose(a.history["fvu"], b.history["fvu"], rtol=1e-3)
    y_hat = a.sae.reconstruct(a.params, X)[1]
    np.testing.assert_allclose(1000 * y_hat, b.sae.reconstruct(b.params, 1000 * X)[1], rtol=1e-2, atol=20)
    fvu = ((X - y_hat) ** 2).sum() / ((X - X.mean(0)) ** 2).sum()
    np.testing.assert_allclose(fvu, a.history["fvu"][-1], rtol=0.25)  # the folded one, on raw data


def test_batch_topk_ends_as_the_jumprelu_of_its_threshold():
    one = fit(run(BatchTopK(5, 8, k=2.0)), STREAM, {"k": (2.0, 3.0)})
    for trained, k in zip(one, (2.0, 3.0), strict=True):
        assert isinstance(trained.sae, JumpReLU)
        l0 = (np.asarray(trained.sae.encode(trained.params, X)) > 0).sum(1).mean()
        assert abs(l0 - k) < 0.5


@pytest.mark.parametrize("clip", [1e30, 0.1])
def test_the_written_out_adam_is_optax_adam(clip):
    adam, steps = Adam(learning_rate=0.01, warmup=0.2, decay=0.3, clip=clip), 30
    params = {"W": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    state, reference = (
        adam.start(params),
        optax.chain(
            optax.clip_by_global_norm(clip),
            optax.adam(lambda n: adam.rate(n, steps), adam.b1, adam.b2, adam.eps),
        ),
    )
    theirs, memory = params, reference.init(params)
    for i in range(steps):
        keys = jax.random.split(jax.random.key(i), 2)
        grads = {"W": jax.random.normal(keys[0], (3, 2)), "b": jax.random.normal(keys[1], (2,))}
        norm = optax.tree.norm(grads)
        frozen, kept = adam.step(steps, params, grads, norm, state, jnp.bool_(False))
        jax.tree.map(np.testing.assert_array_equal, (frozen, kept), (params, state))
        params, state = adam.step(steps, params, grads, norm, state, jnp.bool_(True))
        updates, memory = reference.update(grads, memory, theirs)
        theirs = optax.apply_updates(theirs, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), params, theirs)
    rates = [float(adam.rate(jnp.int32(n), steps)) for n in range(steps)]
    np.testing.assert_allclose(rates[:6], 0.01 * np.arange(1, 7) / 6, rtol=1e-5)
    np.testing.assert_allclose(rates[-9:], 0.01 * np.arange(9, 0, -1) / 9, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fit(run(ReLU(6, 8)), STREAM), "d_in must be the width of the activations, 5; got 6"),
        (lambda: fit(run(ReLU(5, 8, d_out=3)), STREAM), "d_out must be the width of the target, None; got 3"),
        (lambda: fit(run(), array_stream(KEY, X, X[:, :2])), "target, 2; got None"),
        (lambda: fit(run(batch_size=401), STREAM), "at most the 400 examples there are; got 401"),
        (lambda: fit(run(), STREAM, {"rate": (1.0,)}), "no axis named 'rate'; accepted: seed, .*penalty"),
        (lambda: fit(run(), STREAM, {"penalty": ()}), "axis penalty must be a non-empty list of values"),
        (lambda: fit(run(), STREAM, {"penalty": (1.0, -2.0)}), "penalty must lie in"),
        (lambda: fit(run(), STREAM, {"learning_rate": (-1.0,)}), "learning_rate must lie in"),
        (lambda: fit(run(), STREAM, {"seed": (0, -1)}), "seed must be an integer"),
        (lambda: fit(run(), STREAM, {"width": (4, 9)}), r"width must be .*\[1, 9\); got 9"),
        (lambda: fit(run(TopK(5, 8, k=2)), STREAM, {"k": (2, 9)}), "k must be at most d_sae=8.*got 9"),
        (lambda: fit(run(), STREAM, {"l0_target": (0.0,)}), "l0_target must lie in"),
        (lambda: fit(run(TopK(5, 8, k=2)), STREAM, {"l0_target": (2.0,)}), "no axis named 'l0_target'"),
        (lambda: run(TopK(5, 8, k=2), l0_target=2.0), "TopK has not; set its k"),
        (lambda: run(l0_target=9.0), "l0_target must lie in"),
        (lambda: run(PCA(5, 3)), "PCA is a baseline and is not trained"),
        (lambda: run(steps=0), "steps must be an integer"),
        (lambda: run(steps=HELD_OUT_STEP), "steps must be an integer"),
        (lambda: run(batch_size=1), "batch_size must be an integer"),
        (lambda: fit(run(), array_stream(KEY, np.full((60, 5), np.nan))), "row 0, column 0 is nan"),
        (lambda: fit(run(ReLU(5, 8, normalize_activations="layer_norm")), STREAM), "normalize_activations"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(make, said, monkeypatch):
    monkeypatch.setattr("superposition.training.loop.train", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ConfigError, match=said):
        make()


def test_parameters_start_from_the_data():
    one = fit(run(TopK(5, 8, k=2), steps=1), STREAM)[0]
    np.testing.assert_allclose(one.params["b_dec"], np.median(X, 0), atol=0.5)
    assert D_IN != 5  # sizes of this file differ from the shared cases
