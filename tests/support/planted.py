"""Planted worlds that several test modules use, and draws from them."""

import dataclasses

import jax
import numpy as np

from superposition.features import (
    Dictionary,
    Hierarchical,
    Levels,
    NormalMagnitudes,
    Planted,
    key_words,
)

SIGMAS = 5.0  # 5 sigma: p = 6e-7 a comparison, a few thousand comparisons, fixed seeds


WORDS = key_words(jax.random.key(11))


BROAD = NormalMagnitudes(first=5.0, last=4.0, std_mean=0.5, std_std=0.5)


TREES = Planted(
    Hierarchical(
        density=Levels(high=0.4, ratio=0.25, low=0.02),
        magnitudes=BROAD,
        roots=2,
        branching=3,
        depth=2,
        compensate="published",
        correlation_rank=3,
        correlation_scale=0.3,
    ),
    Dictionary(n_features=50, d_in=16),
    bias_norm=0.5,
)


def of(law, n, d_in=3):
    """A world of n features of a law."""
    return Planted(law, Dictionary(n, d_in))


def with_law(recipe, **changes):
    """The world with changes of its law."""
    return dataclasses.replace(recipe, features=dataclasses.replace(recipe.features, **changes))


def coefficients(recipe, world, words, step, batch):
    return recipe.draw(world, words, step, batch)[1]


def sample(recipe, batch=20_000, steps=10, first=0, world=None):
    """Coefficients of some steps, (steps * batch, n_features), float64."""
    world = recipe.build() if world is None else world
    draw = jax.jit(recipe.draw, static_argnums=3)
    return np.concatenate([np.asarray(draw(world, WORDS, first + s, batch)[1], float) for s in range(steps)])


def frequencies_agree(on, p):
    """Observed frequencies of columns lie within their binomial error of p."""
    error = np.sqrt(p * (1 - p) / len(on)) + 1e-9
    return np.all(np.abs(on.mean(0) - p) < SIGMAS * error)
