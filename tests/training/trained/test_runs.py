"""Steps that compile nothing, and terms added to the loss."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import superposition as sp
from superposition.errors import ConfigError
from superposition.features import thresholds, uniform
from superposition.training import loop
from superposition.training import sae as sae_module
from superposition.training import toy as toy_module
from superposition.training.toy_axes import cells_at
from tests.support.trained import SAE, TOY, X


def compiled():
    return loop.advance._cache_size(), toy_module._start._cache_size(), sae_module._start._cache_size()


@pytest.mark.parametrize(
    "run",
    [
        replace(TOY, batch_size=33),
        replace(TOY, batch_size=34, optimizer=sp.AdamW(1e-2, schedule="cosine")),
        replace(SAE, batch_size=33, penalty_warmup=0.3),
        sp.SAERun(sp.ReLU(d_sae=8), X, steps=30, batch_size=34, l0_target=2.0),
    ],
    ids=["toy", "schedule", "sae", "controller"],
)
def test_another_number_of_steps_compiles_nothing(run):
    short = sp.fit(run)
    before = compiled()
    longer = sp.fit(replace(run, steps=run.steps + 1))
    assert compiled() == before
    assert not np.array_equal(jax.tree.leaves(short.params)[0], jax.tree.leaves(longer.params)[0])
    again = sp.fit(run)  # a schedule is that of its own run, whatever ran before
    np.testing.assert_array_equal(jax.tree.leaves(short.params)[0], jax.tree.leaves(again.params)[0])


@dataclass(frozen=True)
class HiddenL1:
    penalty: float = 0.1

    def __call__(self, params, model, batch):
        return self.penalty * jnp.abs(batch @ params.W.T).sum(1).mean()


@pytest.mark.parametrize("n_features", [3, 6])  # models, or examples, in the vector lanes
@pytest.mark.parametrize("sampling", ["plain", "conditional"])
def test_a_term_of_the_loss_is_descended_with_the_loss(n_features, sampling):
    run = replace(
        TOY, model=sp.ReLUOutput(n_features, 2), sampling=sampling, steps=1, optimizer=optax.sgd(1.0)
    )
    free, bound = sp.fit(run), sp.fit(replace(run, loss=HiddenL1()))
    inputs, state = toy_module.Program(toy_module.static_part(run), False).start(_cells(run))
    words = inputs.words[0] if inputs.words.ndim > 1 else inputs.words
    u = uniform(
        words,
        jnp.uint32(0),
        (run.features.n_uniforms(n_features), run.batch_size),
    )
    at = thresholds(run.features.densities(n_features)[:, None])
    x = run.features.transform(u, at, n_features, conditional=sampling == "conditional").T
    start = jax.tree.map(lambda a: a[0], state.params)
    slope = jax.grad(lambda p: HiddenL1()(p, run.model, x))(start)
    share = float(at.any[0]) if sampling == "conditional" else 1.0  # of the other examples the term is 0
    for a, b, g in zip(free.params, bound.params, slope, strict=True):
        np.testing.assert_allclose(np.asarray(a) - np.asarray(b), share * np.asarray(g), atol=2e-6)


def _cells(run):
    return jax.tree.map(jnp.asarray, cells_at(run, [], np.zeros((1, 0), int)))


def test_a_term_that_is_a_recipe_has_axes_and_its_store_says_what_is_lost(tmp_path):
    run = replace(TOY, loss=HiddenL1(), steps=300)
    toys = sp.sweep(run, {"penalty": (0.0, 1.0)}, out=tmp_path / "s.zarr")
    x = jnp.asarray(run.features.sample(jax.random.key(0), run.model.n_features, 10_000))
    terms = [float(HiddenL1(1.0)(one.params, one.model, x)) for one in toys]
    assert terms[1] < terms[0]  # whoever minimises loss + penalty * term has less of the term
    assert toys[1].loss > toys[0].loss  # and, by as much at most, more of the loss
    assert toys[1].loss + terms[1] < toys[0].loss + terms[0]
    assert toys[1].recipe.loss == HiddenL1(1.0)
    with pytest.raises(ConfigError, match="the loss of this run was a function"):
        sp.fit(sp.load(tmp_path / "s.zarr")[0].recipe)
    with pytest.raises(ConfigError, match="loss must be a function"):
        replace(TOY, loss=3)


def test_a_toy_model_says_where_it_was_trained_in_memory_and_from_its_store(tmp_path):
    toys = sp.sweep(TOY, {"seed": (0,)}, out=tmp_path / "s.zarr")
    (where,) = sp.fit(TOY).environments
    assert where["jax"] == jax.__version__
    assert where["device"].startswith("cpu")
    assert toys[0].environments == sp.load(tmp_path / "s.zarr")[0].environments == (where,)
