"""Train given models on: the best of many short runs are worth longer ones with larger batches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.training import loop
from superposition.training.toy import Program, ToyRun, static_part
from superposition.training.toy_state import Cells
from superposition.training.trained import Trained
from superposition.typing import PyTree

# Numbers in one block's batch: near the second-level cache of a CPU, as in sweep.
BLOCK_ELEMENTS = 2**17
# An odd number of 32 bits: streams of another seed, and of the small seeds that the models may have begun with, are
# far away.
SPREAD = 2654435761


def refine(run: ToyRun, params: Any, *, density: Any = None, seed: int = 0) -> PyTree:
    """Models with the parameters `params`, trained for `run.steps` more steps by `run`'s recipe.

    params: the fields of the model's parameters in their order, each (models, ...). density: one number a model, in
    place of run.features' own. Every model draws its own examples, fixed by (seed, model); the optimizer starts
    afresh. A model whose update is not finite keeps its last good parameters. Returns the model's parameters as
    NumPy arrays of the same shapes. Raises ConfigError for shapes or densities that do not fit, and
    for params that are not finite.
    """
    validate.instance("run", run, ToyRun)
    seed = validate.integer("seed", seed, 0, validate.MAX_SEED)
    leaves = jax.tree.leaves(params)
    wanted = jax.eval_shape(run.model.init_params, jax.random.key(0))
    count = len(leaves[0]) if leaves and np.ndim(leaves[0]) else 0
    got = [np.shape(a) for a in leaves]
    shapes = [(count, *a.shape) for a in jax.tree.leaves(wanted)]
    if count == 0:
        raise ConfigError(f"params must hold at least one model, each field (models, ...); got shapes {got}")
    if got != shapes:
        raise ConfigError(f"params must be of shapes (models, ...) {shapes} for this model; got {got}")
    if not all(np.isfinite(a).all() for a in leaves):
        raise ConfigError("params must be finite; got nan or inf; leave out the models that diverged")
    densities = np.tile(run.density_vector(), (count, 1))
    if density is not None:
        density = np.asarray(density)
        validate.in_range("density", density, 0.0, 1.0, open_low=True, many=True)
        if np.shape(density) != (count,):
            raise ConfigError(
                f"density must be one number a model, ({count},); got shape {np.shape(density)}"
            )
        densities = np.repeat(np.asarray(density, float)[:, None], densities.shape[1], 1)
    return _trained_on(run, jax.tree.unflatten(jax.tree.structure(wanted), leaves), densities, seed)[0]


def refined(run: ToyRun, start: Sequence[Trained], *, seed: int = 0) -> xr.Dataset:
    """The models of `start` trained on by `run`, each with its own recipe's density: parameters and loss by (start, seed).

    Raises ConfigError for no models, and for models or laws that are not the run's.
    """
    if not start:
        raise ConfigError("start must hold at least one trained model; got none")
    densities = []
    for one in start:
        law = run.features if one.recipe is None else one.recipe.features  # type: ignore[union-attr]
        if type(one.model) is not type(run.model) or type(law) is not type(run.features):
            got = f"{type(one.model).__name__} on {type(law).__name__}"
            wanted = f"{type(run.model).__name__} on {type(run.features).__name__}"
            raise ConfigError(f"start must be models of the run, {wanted}; got {got}")
        densities.append(replace(run, features=law).density_vector())
    stacked = jax.tree.map(
        lambda *parts: np.stack([np.asarray(p) for p in parts]), *(one.params for one in start)
    )
    shapes = {name: np.shape(value)[1:] for name, value in stacked._asdict().items()}
    wanted = jax.eval_shape(run.model.init_params, jax.random.key(0))
    if shapes != {name: value.shape for name, value in wanted._asdict().items()}:
        raise ConfigError(f"start must be models of the run's sizes; got parameters of shapes {shapes}")
    params, loss = _trained_on(run, stacked, np.stack(densities), seed)
    dims = run.model.shapes
    variables: dict[str, Any] = {
        name: (("start", "seed", *dims[name]), value[:, None]) for name, value in params._asdict().items()
    }
    variables["loss"] = (("start", "seed"), loss[:, None])
    return xr.Dataset(variables, {"start": np.arange(len(start)), "seed": [seed]})


def _trained_on(run: ToyRun, own: PyTree, densities: np.ndarray, seed: int) -> tuple[PyTree, np.ndarray]:
    """Parameters after run.steps more steps, and their loss (models,)."""
    count = len(densities)
    program = Program(static_part(run), shared_draw=False)
    size = min(count, max(1, BLOCK_ELEMENTS // (run.batch_size * run.model.n_features)))

    def block(begin: int) -> tuple[PyTree, np.ndarray]:
        # The last block wraps round, so that all have one shape and one compilation.
        rows = np.arange(begin, begin + size) % count
        importance = np.tile(run.importance_vector(), (size, 1))
        cells = Cells(
            jnp.asarray((rows + (seed + 1) * SPREAD % 2**32) % 2**32, jnp.uint32),
            jnp.asarray(densities[rows], jnp.float32),
            jnp.asarray(importance, jnp.float32),
            {},
        )
        inputs, state = program.start(cells, run.steps)
        begun = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[rows], jnp.float32), own)
        state, _ = loop.train(program, inputs, state._replace(params=begun), run.steps)
        return jax.tree.map(np.asarray, state.params), program.evaluate(cells, state.params)

    with ThreadPoolExecutor(loop.worker_count()) as pool:
        blocks = list(pool.map(block, range(0, count, size)))
    params, loss = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *blocks)
    return params, loss
