"""The loss that results of toy models report: exact where the law and the model allow it, else a mean over examples."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array

from superposition.expected_loss import expected_loss
from superposition.expected_loss.stratified import stratified_loss
from superposition.features import key_words
from superposition.toy import Tied
from superposition.typing import PyTree

if TYPE_CHECKING:
    from superposition.training.toy import ToyRun

EVALUATION_EXAMPLES = 65_536
# Of the series, for n > 3: truncation below 5e-5 relative in the worst cases tried, 1e-7 on trained models of n = 400.
EVALUATION_NODES = 128


def exact_loss(
    run: "ToyRun", params: PyTree, importance: Array, density: Array, nodes: int | None = None
) -> Array:
    """The exact expected loss of one model, differentiable in all but `run`."""
    activation = run.model.activation  # type: ignore[attr-defined]
    law = replace(run.features, density=density)
    return expected_loss(params, importance, law, activation=activation, nodes=nodes)


def is_exact(run: "ToyRun") -> bool:
    """Whether the loss that is reported is the exact expected loss, and not a mean over examples."""
    return isinstance(run.model, Tied) and run.features.exact


def evaluation_of(run: "ToyRun") -> str:
    """How the loss that is reported is computed, in words, for the attributes of results."""
    if is_exact(run):
        return "exact"
    if run.features.exact and run.features.independent_sets(run.model.n_features) is None:
        return "exact up to one active feature, sampled from two on"
    return f"sampled, {EVALUATION_EXAMPLES} examples"


def _evaluate_grid(run: "ToyRun", importance: Array, density: Array, params: PyTree) -> Array:
    """The loss of every model of a grid, (model,)."""
    if is_exact(run):
        exact = partial(exact_loss, run, nodes=EVALUATION_NODES)
        return jax.vmap(exact)(params, importance, density)
    key, n = jax.random.key(0), run.model.n_features  # the same examples for every cell

    law = run.features

    def stratified(p: PyTree, weight: Array, density: Array) -> Array:
        return stratified_loss(run.model, p, weight, density, key=key, signed=law.signed).loss

    def sampled(p: PyTree, weight: Array, density: Array) -> Array:
        constants = law.constants(density)
        x = law.draw(
            constants, key_words(key), jnp.uint32(0), n, EVALUATION_EXAMPLES, conditional=law.conditional
        )
        mean = jax.vmap(run.model.loss, in_axes=(None, 1, None))(p, x, weight).mean()
        if not law.conditional:
            return mean
        silent = run.model.loss(p, jnp.zeros(n), weight)
        q = constants.any[0]
        return q * mean + (1 - q) * silent

    one = stratified if law.exact and law.independent_sets(n) is None else sampled
    return jax.lax.map(lambda cell: one(*cell), (params, importance, density))


evaluate_grid = jax.jit(_evaluate_grid, static_argnums=0)
