"""The path of a training run: parameters and exact loss at chosen steps, for many seeds at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import xarray as xr

from superposition._internal import compilation_cache, validate
from superposition.errors import ConfigError
from superposition.training import blocks, loop
from superposition.training.grid import Axis, parse
from superposition.training.toy import Program, ToyRun, static_part
from superposition.training.toy_axes import cells_at


def record(run: ToyRun, *, seeds: Sequence[int], steps: Sequence[int], memory_gb: float = 2.0) -> xr.Dataset:
    """Train `run` from every seed, keeping the parameters and their loss after each of `steps` updates.

    Step 0 is the start. Returns every parameter by its name, (seed, step, *its own shape), and loss (seed,
    step): exact where the law allows, in float64. At step run.steps the bits are those of sweep(run, {"seed":
    seeds}). A model whose update is not finite stays at its last good step. Raises ConfigError for steps that
    are empty, do not increase, or leave [0, run.steps], and for a memory_gb that is no finite number.
    """
    validate.instance("run", run, ToyRun)
    compilation_cache.enable()
    at = _checked(steps, run.steps)
    memory_gb = validate.number("memory_gb", memory_gb)
    axes = parse(run, {"seed": seeds})
    plan = blocks.plan(run, axes, memory_gb, share=True)
    program = Program(static_part(run), plan.shared_draw)

    def one(region: tuple[slice, ...]) -> dict[str, np.ndarray]:
        return _record_block(program, run, axes, blocks.block_index(region, plan.cells), at)

    regions = blocks.regions(axes, plan.shape)
    with ThreadPoolExecutor(min(blocks.at_once(run, plan, memory_gb), len(regions))) as pool:
        parts = list(pool.map(one, regions))
    # The last block is padded to the common shape by repeating its first model.
    found = {name: np.concatenate([p[name] for p in parts])[: len(seeds)] for name in parts[0]}
    dims = run.model.shapes
    variables = {name: (("seed", "step", *dims.get(name, ())), values) for name, values in found.items()}
    return xr.Dataset(variables, {"seed": np.asarray(seeds), "step": at})


def _checked(steps: Sequence[int], last: int) -> np.ndarray:
    try:
        flat = np.ndim(steps) == 1 and len(steps) > 0
    except ValueError:  # rows of several lengths
        flat = False
    if not flat:
        raise ConfigError(
            f"steps must be a non-empty list of integers; got {steps!r}; for the end give [{last}]"
        )
    if len(steps) > last + 1:
        raise ConfigError(f"steps must increase within [0, {last}]; got {len(steps)} of them")
    at = np.array([validate.integer("steps", step, 0, last + 1) for step in steps])
    falls = np.flatnonzero(np.diff(at) <= 0)
    if len(falls):
        pair = at[falls[0] : falls[0] + 2]
        raise ConfigError(f"steps must increase; got {pair[0]} before {pair[1]}; sort them and drop repeats")
    return at


def _record_block(
    program: Program, run: ToyRun, axes: list[Axis], index: np.ndarray, at: np.ndarray
) -> dict[str, np.ndarray]:
    """Parameters and loss of one block's cells, (cell, step, ...)."""
    cells = jax.tree.map(jax.numpy.asarray, cells_at(run, axes, index))
    inputs, state = program.start(cells, run.steps)
    kept: list[dict[str, Any]] = []
    done = 0
    for step in at:
        if step > done:
            state = loop.advance(program, inputs, state, np.int32(done), np.int32(step - done))
            done = int(step)
        params = {name: np.array(value) for name, value in state.params._asdict().items()}
        kept.append(params | {"loss": program.evaluate(cells, state.params)})
    return {name: np.stack([k[name] for k in kept], 1) for name in kept[0]}
