"""The axes of a grid of SAEs: what each may hold, the run at one of its points, and how many train in one program."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.training import loop
from superposition.training.sae import SAERun, bytes_per_sae, is_small, sized, sweepable

MAX_SAES = 100_000


def plain_axes(axes: Any) -> dict[str, tuple[Any, ...]]:
    """The axes with Python's numbers, or ConfigError for what is no grid."""
    validate.instance("axes", axes, Mapping)
    grid = {}
    for name, values in axes.items():
        grid[name] = validate.plain(values)
        if not isinstance(name, str) or not isinstance(grid[name], tuple):
            raise ConfigError(
                f"axes must be names with lists of values, as {{'seed': (0, 1)}}; got {validate.shown(name)}:"
                f" {validate.shown(values)}"
            )
    if (count := math.prod(map(len, grid.values()))) > MAX_SAES:
        raise ConfigError(f"a grid trains at most {MAX_SAES} SAEs; got {count}: give shorter axes")
    return grid


def checked(run: SAERun, stream: Stream, axes: Mapping[str, tuple[Any, ...]]) -> SAERun:
    """The run without data, which a program holds none of, and with static slots for every k; or ConfigError."""
    source = stream.source
    run = replace(run, data=None, sae=sized(run.sae, source))
    sae = run.sae
    if sae.d_in != source.d_in:
        raise ConfigError(f"d_in must be the width of the activations, {source.d_in}; got {sae.d_in}")
    if sae.d_out != source.d_out:
        raise ConfigError(f"d_out must be the width of the target, {source.d_out}; got {sae.d_out}")
    if sae.normalize_activations != "none":
        got = f"got normalize_activations={sae.normalize_activations!r}"
        raise ConfigError(
            f"losses know no run-time norm: train with 'none', normalize=True sets the scale; {got}"
        )
    source.check(run.batch_size)
    for name, values in axes.items():
        if not values:
            raise ConfigError(f"axis {name} must have at least one value")
        if name != "seed" and name not in sweepable(run):
            raise ConfigError(f"no axis named {name!r}; accepted: {', '.join(('seed', *sweepable(run)))}")
        for value in values:
            if name == "seed":
                validate.integer("seed", value, 0, validate.MAX_SEED)
            elif name == "l0_target":
                replace(run, l0_target=value)
            elif hasattr(sae, name):
                replace(sae, **{name: value})  # type: ignore[arg-type]
            else:
                replace(run.optimizer, **{name: value})  # type: ignore[arg-type]
    least, most = min(axes.get("width", (sae.d_sae,))), max(axes.get("k", (getattr(sae, "k", 0),)))
    if most > least:
        raise ConfigError(f"k must be at most the width, {least} at the narrowest; got {most}")
    if "k" in axes:
        return replace(run, sae=replace(sae, slots=int(np.ceil(max(axes["k"]))), k=max(axes["k"])))  # type: ignore[call-arg]
    return run


def blocks_of(run: SAERun, stream: Stream, axes: Mapping[str, Sequence[Any]], memory_gb: float) -> int:
    """How many blocks the grid takes; ConfigError for what is no grid of the run."""
    grid = plain_axes(axes)
    run = checked(run, stream, grid)
    cells = math.prod(map(len, grid.values()))
    return -(-cells // block_size(run, cells, validate.positive("memory_gb", memory_gb)))


def block_size(run: SAERun, count: int, memory_gb: float) -> int:
    """SAEs in one program: what fits; small ones in halves or sixteens, for a thread each."""
    size = max(1, int(memory_gb * 1e9 / bytes_per_sae(run)))
    return min(size, 16, max(1, -(-count // 2))) if is_small(run.sae) else size


def workers(run: SAERun) -> int:
    """Blocks to train at once: one a core, of SAEs that leave cores idle."""
    return loop.worker_count() if is_small(run.sae) else 1


def at(run: SAERun, settings: Mapping[str, Any]) -> SAERun:
    """The run of one grid point: the settings in their places; seeds have none in a recipe."""
    placed = {name: value for name, value in settings.items() if name != "seed"}
    sae = {name: value for name, value in placed.items() if name == "width" or hasattr(run.sae, name)}
    sae |= {"slots": None} if hasattr(run.sae, "slots") else {}
    optimizer = {name: value for name, value in placed.items() if name not in sae and name != "l0_target"}
    target = {"l0_target": placed["l0_target"]} if "l0_target" in placed else {}
    changed: Any = {"sae": replace(run.sae, **sae), "optimizer": replace(run.optimizer, **optimizer)}
    return replace(run, **changed, **target)
