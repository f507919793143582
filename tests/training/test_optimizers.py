"""One choice of optimizers for toy models and SAEs: two recipes, or any of optax's; each is the one that it says."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import superposition as sp
from superposition.errors import ConfigError
from superposition.training import fit, fitting
from superposition.training.told import UNTOLD, optimizer_digest
from tests.support.processes import python
from tests.support.trained import SAE, TOY

STEPS = 12
OPTIMIZERS = {
    "adam": sp.Adam(1e-2, warmup=0.25, decay=0.25, clip=0.5),
    "adamw": sp.AdamW(1e-2, schedule="cosine"),
    "sgd": optax.sgd(1e-2, momentum=0.9),
}


def by_hand(optimizer):
    """The transformation of optax that a recipe says that it is."""
    if isinstance(optimizer, sp.AdamW):

        def rate(count):
            return 1e-2 * (0.5 + 0.5 * np.cos(np.pi * count / STEPS))

        rates = np.array([rate(n) for n in range(STEPS)], np.float32)
        return optax.adamw(lambda count: jax.numpy.asarray(rates)[count], weight_decay=0.01)
    if isinstance(optimizer, sp.Adam):
        rates = 1e-2 * np.clip(
            np.minimum(np.arange(1, STEPS + 1) / 3, np.arange(STEPS, 0, -1) / 3), 0, 1
        ).astype(np.float32)
        adam = optax.adam(lambda count: jax.numpy.asarray(rates)[count])
        return optax.chain(optax.clip_by_global_norm(0.5), adam)
    return optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_sae_takes_the_steps_of_the_optimizer_that_it_is_given(name):
    run = replace(SAE, optimizer=OPTIMIZERS[name], steps=STEPS)
    one = fit(run, run.data)[0]
    run = replace(run, data=None)
    start = fitting.Fitting.prepare(
        fitting.ready(replace(run, sae=SAE.sae), SAE.data, {}), SAE.data, ("seed",), 0
    )
    _, _, state = start.init([(0,)])
    params = jax.tree.map(lambda a: a[0], state.params)
    theirs, tx = params, by_hand(OPTIMIZERS[name])
    moments, sae_state = tx.init(params), jax.tree.map(lambda a: a[0], state.sae)
    for step in range(STEPS):
        x = SAE.data.next(SAE.data.start(32), step, 32)[0].x * start.scales[0]

        def loss(p, x=x, sae_state=sae_state, step=step):
            p = {**p, "W_enc": p["W_enc"].T}
            return start.run.sae.loss(p, sae_state, x, x, jax.random.key(step))

        (_, (sae_state, _)), grads = jax.value_and_grad(loss, has_aux=True)(theirs)
        held = {**theirs, "W_enc": theirs["W_enc"].T}
        grads = start.run.sae.project(held, {**grads, "W_enc": grads["W_enc"].T})
        updates, moments = tx.update({**grads, "W_enc": grads["W_enc"].T}, moments, theirs)
        theirs = optax.apply_updates(theirs, updates)
        held = start.run.sae.constrain({**theirs, "W_enc": theirs["W_enc"].T}, sae_state)
        theirs = {**held, "W_enc": held["W_enc"].T}
    scale = start.scales[0]
    np.testing.assert_allclose(one.params["W_enc"], theirs["W_enc"].T * scale, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(one.params["W_dec"], theirs["W_dec"] / scale, rtol=2e-4, atol=2e-5)


def test_a_toy_model_takes_the_recipe_of_saes():
    run = replace(TOY, optimizer=sp.Adam(1e-2, warmup=0.25, decay=0.25, clip=0.5), steps=STEPS)
    theirs = sp.fit(replace(run, optimizer=by_hand(run.optimizer)))
    toys = sp.sweep(run, {"learning_rate": (1e-3, 1e-2), "clip": (0.5, 1e9), "seed": (0,)})
    np.testing.assert_allclose(toys.at(learning_rate=1e-2, clip=0.5).W, theirs.W, rtol=1e-4, atol=1e-6)
    assert np.abs(toys.at(learning_rate=1e-3, clip=0.5).W - theirs.W).max() > 1e-3


def test_axes_of_an_sae_are_those_of_its_optimizer():
    saes = sp.sweep(
        replace(SAE, optimizer=sp.AdamW()), {"weight_decay": (0.0, 0.5), "schedule": ("constant", "linear")}
    )
    assert saes.shape == (2, 2)
    assert saes.at(weight_decay=0.5, schedule="linear").recipe.optimizer == sp.AdamW(
        weight_decay=0.5, schedule="linear"
    )
    assert len({one.W_dec.tobytes() for one in saes}) == 4
    with pytest.raises(ConfigError, match="no axis named 'learning_rate'"):
        sp.sweep(replace(SAE, optimizer=optax.sgd(0.1)), {"learning_rate": (0.1, 0.2)})


@pytest.mark.parametrize("run", [TOY, SAE], ids=["toy", "sae"])
def test_a_store_is_continued_with_the_same_transformation_alone(run, tmp_path):
    run, axes, out = replace(run, optimizer=optax.sgd(0.1)), {"seed": (0, 1)}, tmp_path / "a.zarr"
    models = sp.sweep(run, axes, out=out)
    assert len(sp.sweep(replace(run, optimizer=optax.sgd(0.1)), axes, out=out, resume=True)) == 2
    with pytest.raises(ConfigError, match=r"optimizer is .* there and .* here"):
        sp.sweep(replace(run, optimizer=optax.sgd(0.2)), axes, out=out, resume=True)
    loaded = sp.load(out)
    for one, other in zip(models, loaded, strict=True):
        assert [np.asarray(a).tobytes() for a in one.parameters().values()] == [
            np.asarray(a).tobytes() for a in other.parameters().values()
        ]
    with pytest.raises(ConfigError, match="the optimizer of this run was an optax transformation"):
        sp.fit(replace(loaded[0].recipe, data=run.data) if hasattr(run, "data") else loaded[0].recipe)
    one = sp.fit(run, out=tmp_path / "one")
    assert one.loss == sp.load(tmp_path / "one").loss or np.isnan(sp.load(tmp_path / "one").loss)
    with pytest.raises(ConfigError, match="does not say which optax transformation"):
        sp.fit(run, out=tmp_path / "one", resume=True)


class Odd:
    """A rate that no file can hold."""

    def __call__(self, count):
        return 0.01 / (1 + count)


def test_what_cannot_be_told_trains_but_is_not_continued(tmp_path):
    assert optimizer_digest(optax.sgd(Odd())) == f"{UNTOLD}: Odd"
    run = replace(TOY, optimizer=optax.sgd(Odd()))
    sp.sweep(run, {"seed": (0,)}, out=tmp_path / "a.zarr")
    with pytest.raises(ConfigError, match=r"cannot be continued: .* cannot be told: Odd"):
        sp.sweep(run, {"seed": (0,)}, out=tmp_path / "a.zarr", resume=True)
    sae, kwargs = replace(SAE, optimizer=optax.sgd(Odd())), {"directory": tmp_path / "saes"}
    fit(sae, sae.data, **kwargs)
    with pytest.raises(ConfigError, match="cannot be continued"):
        fit(sae, sae.data, **kwargs)


RATE = 0.3


def test_transformations_are_told_apart_by_all_that_they_close_over():
    made = [
        lambda r: optax.sgd(r),
        lambda r: optax.sgd(r, momentum=0.9),
        lambda r: optax.adamw(r),
        lambda r: optax.chain(optax.clip(1.0), optax.adam(optax.cosine_decay_schedule(r, 100))),
        lambda r: optax.sgd(lambda count: r * 0.9**count),
        lambda r: optax.sgd(lambda count: r * 0.8**count),
        lambda r: optax.sgd(lambda count: r * RATE + count),
    ]
    texts = [optimizer_digest(make(rate)) for make in made for rate in (0.1, 0.2)]
    assert texts == [optimizer_digest(make(rate)) for make in made for rate in (0.1, 0.2)]
    assert len({*texts}) == len(texts)
    line = "import optax; from superposition.training.told import optimizer_digest as d; print(d(optax.sgd(0.1)))"
    assert python("-c", line, check=True).stdout.strip() == texts[0]
