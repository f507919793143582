"""Train given models on: the best of many short runs are worth longer ones with larger batches."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.training import loop
from superposition.training.toy import Cells, Program, ToyRun, static_part
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
    own = jax.tree.unflatten(jax.tree.structure(wanted), leaves)
    program = Program(static_part(run), shared_draw=False)
    size = min(count, max(1, BLOCK_ELEMENTS // (run.batch_size * run.model.n_features)))

    def block(begin: int) -> PyTree:
        # The last block wraps round, so that all have one shape and one compilation.
        rows = np.arange(begin, begin + size) % count
        importance = np.tile(run.importance_vector(), (size, 1))
        cells = Cells(
            jnp.asarray((rows + (seed + 1) * SPREAD % 2**32) % 2**32, jnp.uint32),
            jnp.asarray(densities[rows], jnp.float32),
            jnp.asarray(importance, jnp.float32),
            {},
        )
        inputs, state = program.start(cells)
        begun = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[rows], jnp.float32), own)
        state, _ = loop.train(program, inputs, state._replace(params=begun), run.steps)
        return jax.tree.map(np.asarray, state.params)

    with ThreadPoolExecutor(loop.worker_count()) as pool:
        blocks = list(pool.map(block, range(0, count, size)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *blocks)
