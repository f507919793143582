"""Toy models of every kind, and compiled losses and gradients."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from superposition.expected_loss import expected_loss, expected_losses

METHODS = ("enumeration", "series")


class Params(NamedTuple):
    W: Any
    b: Any


# Nearly all the time here is compilation, once for every shape and every set of static arguments as written
# down. So densities are (n,), static arguments keep the defaults given here, and the default run keeps to 2, 5
# and 8 features; `slow` has the other shapes.
_STATIC = ("activation", "method", "nodes", "signed")


losses_of = partial(
    jax.jit(expected_losses, static_argnames=_STATIC), activation="relu", nodes=4096, signed=False
)


loss_and_gradient = partial(
    jax.jit(jax.value_and_grad(expected_loss, argnums=(0, 1, 2)), static_argnames=_STATIC),
    activation="relu",
    nodes=None,
    signed=False,
)


def toy(kind, n, m):
    """Weights that are hard in one particular way, with the biases that make them so."""
    generator = np.random.default_rng([n, m])
    noise, bias_noise = generator.normal(size=(m, n)), generator.normal(size=n)
    pairs = np.concatenate([np.eye(m), -np.eye(m), np.zeros((m, n))], axis=1)[:, :n]
    return {
        "random": Params(0.7 * noise, 0.3 * bias_noise),
        "orthogonal": Params(np.eye(m, n), np.full(n, 0.01)),
        "antipodal": Params(pairs, np.zeros(n)),
        "duplicate": Params(np.repeat(noise[:, :1], n, axis=1), np.zeros(n)),
        "trained": Params(np.eye(m, n) + 1e-3 * noise, 1e-4 * bias_noise),
        "nearly_trained": Params(1.02 * pairs + 0.02 * noise, 0.01 * bias_noise - 0.01),
        "small": Params(1e-3 * noise, 1e-7 * bias_noise),
        "zero": Params(np.zeros((m, n)), 0.1 * bias_noise),
    }[kind]
