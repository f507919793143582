"""What every law of the registry promises, whatever the law: a new one is tested by its line in FEATURES."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.cli.toy.config import SweepConfig
from superposition.errors import ConfigError
from superposition.features import (
    FEATURES,
    Correlated,
    Dictionary,
    GaussianCopula,
    Hierarchical,
    Independent,
    NormalMagnitudes,
    Planted,
    SparseUniform,
    Zipf,
    key_words,
)
from superposition.features.stored import from_recipe, with_settings
from superposition.storage.provenance import recipe
from superposition.toy import TOY_MODELS
from superposition.training import sweep
from superposition.training.toy import ToyRun
from superposition.training.toy_evaluation import is_exact

N, DRAWS = 6, 100_000
SIGMAS = 5.0
NORMAL = NormalMagnitudes(1.0, 0.5, 0.3, 0.2)
LAWS = {
    **{name: kind(density=0.3) for name, kind in FEATURES.items()},
    **{f"{name}, signed": kind(density=0.3, signed=True) for name, kind in FEATURES.items()},
    "normal": Independent(density=(0.1, 0.5, 0.9, 0.2, 1.0, 0.3), magnitudes=NORMAL),
    "strong copula": GaussianCopula(
        density=0.2, magnitudes=NORMAL, correlation_rank=2, correlation_scale=1.0
    ),
    "scaled tree": Hierarchical(density=0.7, magnitudes=NORMAL, branching=1, depth=2, scale_children=True),
    "crowded tree": Hierarchical(density=0.6, branching=4, scale_children=True, magnitudes=NORMAL),
    "free tree": Hierarchical(density=0.6, exclusive=False, scale_children=True, magnitudes=NORMAL),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_sampled_moments_agree_with_the_stated_ones(law):
    x = np.asarray(law.sample(jax.random.key(1), N, DRAWS), np.float64)
    products = (x[:, :, None] * x[:, None, :]).reshape(DRAWS, -1)
    for drawn, stated in ((x, law.mean(N)), (products, law.second_moment(N).ravel())):
        error = drawn.std(0) / np.sqrt(DRAWS) + 1e-9
        assert np.all(np.abs(drawn.mean(0) - stated) < SIGMAS * error)
    assert (x < 0).any() == law.signed


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("model", TOY_MODELS)
def test_every_toy_model_trains_on_every_law(name, model):
    law = FEATURES[name](density=0.5)
    run = ToyRun(TOY_MODELS[model](N, 2), law, steps=30, batch_size=32)
    results = sweep(run, {"density": (0.3, 0.9), "seed": (0, 1)})
    assert (results["steps"] == 30).all()
    assert np.isfinite(results["loss"]).all()
    assert (results["loss"].sel(density=0.3) < results["loss"].sel(density=0.9)).all()
    assert results.attrs["loss"].startswith("exact") == (is_exact(run) or name == "sparse-uniform")


@pytest.mark.parametrize("name", FEATURES)
def test_a_law_is_a_function_of_words_and_step_and_comes_back_from_json(name):
    law = FEATURES[name](density=0.5)
    assert from_recipe(recipe(law), FEATURES) == law
    assert hash(law) == hash(from_recipe(recipe(law), FEATURES))
    constants, words = law.constants(law.densities(N)), key_words(jax.random.key(3))
    first, again, other = (law.draw(constants, words, jnp.uint32(s), N, 64) for s in (4, 4, 5))
    assert first.shape == (N, 64)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("name", FEATURES)
def test_the_command_line_knows_every_law(name):
    run, axes = SweepConfig(features=name, n_features=(N,), n_hidden=(2,), density=(0.2,)).plan()
    assert run.features == FEATURES[name]()
    assert axes["density"] == (0.2,)


@pytest.mark.parametrize("name", FEATURES)
def test_every_law_can_be_planted(name):
    world = Planted(FEATURES[name](density=0.5), Dictionary(N, 4), bias_norm=0.5)
    built = world.build()
    acts, x = world.draw(built, key_words(jax.random.key(0)), 0, 32)
    np.testing.assert_allclose(acts, x @ built.dictionary + built.bias[None], atol=1e-5)


def test_a_trained_tree_scales_its_density_with_the_sweep():
    """A tree whose rates are compensated trains too: its coins are computed where densities are traced."""
    law = Hierarchical(density=(0.5, 0.1, 0.2, 0.3, 0.3, 0.3), compensate="exact")
    results = sweep(ToyRun(TOY_MODELS["relu-output"](N, 2), law, steps=5, batch_size=16), {"seed": (0,)})
    assert np.isfinite(results["loss"]).all()
    with pytest.raises(ConfigError, match="compensation needs children"):
        ToyRun(TOY_MODELS["relu-output"](N, 2), Hierarchical(density=0.5, compensate="exact"))


def test_rates_fit_any_number_of_features():
    law = SparseUniform(density=Zipf(exponent=1.0, low=0.1, high=0.5))
    for n in (2, 5):
        assert law.densities(n).shape == (n,)
        assert law.sample(jax.random.key(0), n, 7).shape == (7, n)
    results = sweep(ToyRun(TOY_MODELS["linear"](N, 2), law, steps=3, batch_size=8), {"n_features": (3, 5)})
    assert np.isfinite(results["loss"]).all()


def test_settings_of_a_law_are_words_of_the_command_line():
    words = ("roots=2", "branching=1", "exclusive=false", "magnitudes=normal", "magnitudes.first=2")
    law = Hierarchical(roots=2, branching=1, exclusive=False, magnitudes=NormalMagnitudes(first=2.0))
    assert with_settings(Hierarchical(), words) == law
    config = SweepConfig(features="hierarchical", n_features=(N,), n_hidden=(2,), law=words)
    assert config.plan()[0].features == law
    zipf, axes = SweepConfig(n_features=(N,), n_hidden=(2,), law=("density=zipf", "density.low=0.01")).plan()
    assert zipf.features == SparseUniform(density=Zipf(low=0.01))
    assert set(axes) == {"seed"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"law": ("roots=2",)}, "SparseUniform has no roots; its settings are density, signed"),
        ({"law": ("roots",)}, "NAME=VALUE"),
        ({"features": "hierarchical", "law": ("roots=many",)}, "roots must be a number; got 'many'"),
        (
            {"features": "copula", "law": ("magnitudes=gamma",)},
            "magnitudes must be a number, or one of uniform",
        ),
        ({"features": "copula", "law": ("seed.x=1",)}, "seed has no settings of its own"),
        ({"features": "independent", "n_sets": (3,)}, "independent has no n_sets"),
        ({"law": ("density=zipf",), "density": (0.1,)}, "not both"),
    ],
)
def test_settings_that_a_law_has_not_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        SweepConfig(n_features=(N,), n_hidden=(2,), **settings).plan()


def test_laws_that_cannot_be_conditioned_say_so():
    with pytest.raises(ConfigError, match="Independent cannot be drawn given that something is active"):
        Independent(density=0.5).sample(jax.random.key(0), N, 3, conditional=True)
    with pytest.raises(ConfigError, match="no closed form"):
        Hierarchical(density=0.5, correlation_rank=2).mean(N)
    assert Correlated.conditional


def test_an_unknown_stored_law_is_refused():
    with pytest.raises(ConfigError, match="features of 'Elsewhere' are not known here"):
        from_recipe({"recipe": "Elsewhere"}, FEATURES)
