"""Samples of planted worlds and how their rates are compared."""

import jax
import numpy as np

from superposition.features import (
    key_words,
)

SIGMAS = 5.0  # 5 sigma: p = 6e-7 a comparison, a few thousand comparisons, fixed seeds


WORDS = key_words(jax.random.key(11))


def sample(recipe, batch=20_000, steps=10, first=0, world=None):
    """Coefficients of some steps, (steps * batch, n_features), float64."""
    world = recipe.build() if world is None else world
    draw = jax.jit(recipe.coefficients, static_argnums=3)
    return np.concatenate([np.asarray(draw(world, WORDS, first + s, batch), float) for s in range(steps)])


def frequencies_agree(on, p):
    """Observed frequencies of columns lie within their binomial error of p."""
    error = np.sqrt(p * (1 - p) / len(on)) + 1e-9
    return np.all(np.abs(on.mean(0) - p) < SIGMAS * error)
