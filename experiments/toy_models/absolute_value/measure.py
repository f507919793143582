"""What `absolute_value` trains and measures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.toy_models.absolute_value.claims import importances
from experiments.toy_models.absolute_value.config import Config
from superposition import SparseUniform, ToyRun
from superposition.expected_loss.stratified import stratified_loss
from superposition.toy import AbsoluteValue
from superposition.training import sweep
from superposition.typing import ComputationParams


def best_models(config: Config, model: AbsoluteValue) -> ComputationParams:
    """The best model of each density, (density, ...); densities fall, so that the dense ones come first."""
    many = tuple(p for p in config.densities if p >= config.dense)
    few = tuple(p for p in config.densities if p < config.dense)
    parts = [
        trained(config, model, densities, config.steps, seeds, rates)[0]
        for densities, seeds, rates in (
            (many, config.dense_seeds, config.dense_learning_rates),
            (few, config.seeds, config.learning_rates),
        )
        if densities
    ]
    return ComputationParams._make(np.concatenate(leaves) for leaves in zip(*parts, strict=True))


def trained(
    config: Config,
    model: AbsoluteValue,
    densities: tuple[float, ...],
    steps: int,
    seeds: int,
    rates: tuple[float, ...],
) -> tuple[ComputationParams, np.ndarray]:
    """The best model of each density over seeds and learning rates, (density, ...), and its loss."""
    losses, params = [], []
    for rate in rates:
        schedule = optax.warmup_cosine_decay_schedule(0.0, rate, max(1, int(0.4 * steps)), steps)
        recipe = ToyRun(
            model,
            SparseUniform(density=1.0, signed=True),
            importance_base=config.importance_base,
            # Gradients of rare and unimportant features are far below the usual eps of 1e-8.
            optimizer=optax.adam(schedule, eps=1e-12),
            steps=steps,
            batch_size=config.batch_size,
        )
        data = sweep(recipe, {"density": densities, "seed": range(seeds)})
        losses.append(data["loss"].values)
        params.append([data[name].values for name in ComputationParams._fields])
    loss = np.concatenate(losses, 1)
    best = (np.arange(len(densities)), loss.argmin(1))
    kept = ComputationParams._make(np.concatenate(part, 1)[best] for part in zip(*params, strict=True))
    return kept, loss[best]


def losses_of(
    config: Config, model: AbsoluteValue, params: ComputationParams
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and its standard error of one model a density, on examples other than those it was chosen by."""
    importance, key = importances(config, model.n_features), jax.random.key(2022)

    @jax.jit
    def each(p: ComputationParams, density: jax.Array) -> tuple[jax.Array, jax.Array]:
        return stratified_loss(model, p, importance, density, key=key, examples=config.examples, signed=True)

    with jax.enable_x64(True):
        wide = [jnp.asarray(a, float) for a in params]
        found = [
            each(ComputationParams._make(a[k] for a in wide), jnp.asarray(p))
            for k, p in enumerate(config.densities)
        ]
        loss, error = np.asarray(found).T
    return loss, error


def rescaled(params: ComputationParams) -> ComputationParams:
    """The same model with a largest |weight| of 1 in every row of W_in, as the paper draws them."""
    W_in, W_out, b = params
    largest = np.abs(W_in).max(-1, keepdims=True)
    largest = np.where(largest > 0, largest, 1.0)
    return ComputationParams(W_in / largest, W_out * np.swapaxes(largest, -1, -2), b)


def signs(params: ComputationParams) -> tuple[np.ndarray, np.ndarray]:
    """How many features raise their own output by more than half their size with both signs, and with one."""
    own = [
        np.einsum("dik,dki->di", params.W_out, np.maximum(sign * params.W_in, 0)) > 0.5 for sign in (1, -1)
    ]
    return (own[0] & own[1]).sum(1), (own[0] ^ own[1]).sum(1)
