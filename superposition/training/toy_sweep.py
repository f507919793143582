"""sweep_grid(run, axes): every combination of named axes, trained block by block, resumable, labelled."""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from superposition._internal import compilation_cache, validate
from superposition._internal.lock import held
from superposition.errors import ConfigError, CorruptError
from superposition.storage.provenance import (
    Environment,
    differences,
    distinct,
    environment,
    provenance,
    recipe,
)
from superposition.training import blocks, loop
from superposition.training.grid import Axis, Group, cells_at, parse, static_groups
from superposition.training.progress import Progress, quiet
from superposition.training.store.layout import Layout
from superposition.training.store.mending import stored_attributes, sweep_siblings
from superposition.training.store.reading import is_recorded, said
from superposition.training.store.records import FORMAT
from superposition.training.store.writing import Store
from superposition.training.toy import Program, ToyRun, static_part
from superposition.training.toy_evaluation import evaluation_of, is_exact


def sweep_grid(
    run: ToyRun,
    axes: Mapping[str, Sequence[Any]],
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    memory_gb: float = 2.0,
    share_draws: bool = True,
    progress: Callable[[int], Progress] = quiet,
    checkpoint_seconds: float = 30.0,
    allow_mixed: bool = False,
) -> xr.Dataset:
    """Train a toy model at every combination of `axes`; returns parameters, loss, steps, status by axis.

    axes: name -> values, in the order of the result's dimensions. density, sparsity, importance (numbers
    or vectors), importance_base, seed and any float of the optimizer are carried as arrays: one
    compilation, however many. Other fields (n_hidden, batch_size, model ...) are static: one compilation a
    value, results padded with NaN to the largest. Each parameter is a variable, for the tied models
    W (*axes, n_hidden, n_features) and b (*axes, n_features); when n_hidden or n_features is itself an axis
    those dimensions are called hidden and feature. loss is the exact expected loss of the trained parameters
    where the law and the model allow. status is 1 for done, 2 for a model whose loss is not finite (its
    neighbours are unaffected).

    Cells of one seed share one random draw across the other axes unless share_draws is False; cells of
    different seeds never do. With `out`, blocks are written to a Zarr store as they finish and the sweep
    resumes after a kill at any instant with bit-identical results; what was damaged since is made again. The
    bits do not depend on the number of cores (but for the last ones of a sampled loss), but on the environment
    (`provenance.environment`): resuming in another one is refused unless allow_mixed. Raises ConfigError for
    settings, CorruptError for a store whose recipe is damaged, StoreError for the disk, Interrupted after SIGINT,
    SIGTERM or SIGHUP once everything is saved.

    >>> from superposition import ReLUOutput, ToyRun
    >>> from superposition.training import sweep
    >>> sweep(ToyRun(ReLUOutput(3, 2), steps=2, batch_size=8), {"seed": range(2)})["W"].dims
    ('seed', 'n_hidden', 'n_features')
    """
    compilation_cache.enable()
    memory_gb = validate.positive("memory_gb", memory_gb)
    validate.in_range("checkpoint_seconds", checkpoint_seconds, 0.0, float("inf"))
    validate.instance("out", out, (str, os.PathLike, type(None)))
    parsed = parse(run, axes)
    job = _Job(run, parsed, memory_gb, share_draws)
    path = None if out is None else Path(out)
    if path is None:
        return _train_all(
            job, Store.create(None, job.layout()), None, progress, checkpoint_seconds, allow_mixed
        )
    if path.exists() and not resume:
        raise ConfigError(f"{path} exists; give --resume to continue it, or another --out")
    work = path.with_name(f"{path.name}.partial")
    with held(work, path):
        sweep_siblings(path)
        store = job.reopen(path) if path.exists() else Store.create(path, job.layout())
        dataset = _train_all(job, store, work, progress, checkpoint_seconds, allow_mixed)
        shutil.rmtree(work, ignore_errors=True)
    return dataset


@dataclass
class _Job:
    """A parsed sweep: its groups of static values and their block plans."""

    run: ToyRun
    axes: list[Axis]
    memory_gb: float
    share: bool

    def __post_init__(self) -> None:
        self.carried = [axis for axis in self.axes if axis.carried]
        self.groups = static_groups(self.run, self.axes)
        if any(g.run.model.shapes != self.groups[0].run.model.shapes for g in self.groups):
            raise ConfigError(
                "the models of one sweep must have the same parameters; got "
                f"{', '.join(sorted({type(g.run.model).__name__ for g in self.groups}))}: sweep them one at a time"
            )
        plans = [blocks.plan(g.run, self.carried, self.memory_gb, self.share) for g in self.groups]
        shape = tuple(min(p.shape[k] for p in plans) for k in range(len(self.carried)))
        self.plan = blocks.Plan(shape, all(p.shared_draw for p in plans))

    def layout(self, attributes: Mapping[str, Any] | None = None) -> Layout:
        """The arrays of the store; attributes: those of a store that is there."""
        sizes = [(g.run.model.n_hidden, g.run.model.n_features) for g in self.groups]
        names = {axis.name for axis in self.axes}
        axes_of = {
            "n_hidden": ("hidden" if "n_hidden" in names else "n_hidden", max(s[0] for s in sizes)),
            "n_features": ("feature" if "n_features" in names else "n_features", max(s[1] for s in sizes)),
        }
        parameters = {
            name: (dict(axes_of[d] for d in dims), "float32", np.nan)
            for name, dims in self.groups[0].run.model.shapes.items()
        }
        chunk_of = dict(zip((a.name for a in self.carried), self.plan.shape, strict=True))
        coordinates: dict[str, Any] = {axis.name: ((axis.name,), axis.coordinate()) for axis in self.axes}
        coordinates |= {
            f"{axis.name}_values": ((axis.name, f"{axis.name}_entry"), np.array(axis.values, float))
            for axis in self.axes
            if axis.is_vector
        }
        return Layout(
            dims={axis.name: len(axis.values) for axis in self.axes},
            chunks={axis.name: chunk_of.get(axis.name, 1) for axis in self.axes},
            variables={
                **parameters,
                "loss": ({}, "float64", np.nan),
                "steps": ({}, "int32", 0),
                "status": ({}, "int8", 0),
            },
            coordinates=coordinates,
            attributes=attributes
            or {
                "superposition": FORMAT,
                "config": json.dumps(self.config(), indent=1),
                "block_shape": list(self.plan.shape),
                "shared_draw": self.plan.shared_draw,
                "loss": "; ".join(dict.fromkeys(evaluation_of(group.run) for group in self.groups)),
                "provenance": json.dumps(provenance()),
            },
        )

    def config(self) -> dict[str, Any]:
        """What decides the results, as JSON: the run and the axes."""
        return {
            "run": recipe(self.run),
            "axes": {a.name: [list(v) if isinstance(v, tuple) else v for v in a.values] for a in self.axes},
            "share_draws": self.share,
        }

    def reopen(self, path: Path) -> Store:
        """A store that was made by the same sweep, mended; the job takes over its block plan."""
        is_recorded(path)  # a sweep's store at all
        attributes = stored_attributes(path)
        try:
            stored = json.loads(attributes["config"])
            plan = blocks.Plan(tuple(map(int, attributes["block_shape"])), bool(attributes["shared_draw"]))
            if len(plan.shape) != len(self.carried) or min(plan.shape, default=1) < 1:
                raise ValueError(f"blocks of {plan.shape}")
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise CorruptError(
                f"the recipe in {path} is damaged: {said(error)}; run the sweep again with another --out"
            ) from error
        if lines := differences(stored, json.loads(json.dumps(self.config()))):
            raise ConfigError(
                f"{path} was written with other settings: {'; '.join(lines)}; give those, or another --out"
            )
        self.plan = plan
        store = Store.reopen(path, self.layout(attributes))
        every = _blocks(self)
        store.tidy([block.name for block in every], [block.region for block in every])
        return store


@dataclass
class _Block:
    group: Group
    name: str
    region: tuple[slice, ...]
    carried_region: tuple[slice, ...]


def _train_all(
    job: _Job,
    store: Store,
    work: Path | None,
    progress: Callable[[int], Progress],
    seconds: float,
    allow_mixed: bool,
) -> xr.Dataset:
    pending = [block for block in _blocks(job) if not store.is_done(block.name, block.region)]
    # The last bits of a sampled loss depend on the number of threads; those of parameters and exact losses do not.
    exact = all(is_exact(group.run) for group in job.groups)
    here = environment(0 if exact else math.inf)
    if store.path is not None and work is not None and pending:
        places = [work / block.name for block in pending]
        loop.refuse_mixed(store.path, store.environments, places, here, allow_mixed)
    for block in pending:
        store.clear(block.name, block.region)
    workers = min(blocks.at_once(g.run, job.plan, job.memory_gb) for g in job.groups)
    total = sum(block.group.run.steps for block in pending)
    with (
        loop.interruptible() as stop,
        progress(total) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):

        def start(block: _Block) -> "Future[Any]":
            directory = None if work is None else work / block.name
            return pool.submit(_train_block, job, block, directory, stop, bar.advance, seconds, here)

        queue = iter(pending)
        running: dict[Future[Any], _Block] = {}
        try:
            for block in queue:
                running[start(block)] = block
                if len(running) >= workers:
                    _collect(running, store, work)
            while running:
                _collect(running, store, work)
        except BaseException:
            stop.set()
            wait(running)
            raise
    if stop():
        raise stop.interrupted(f"{store.path or 'nothing'} is saved; run again with --resume to continue")
    return store.dataset()


def _blocks(job: _Job) -> list[_Block]:
    result = []
    for g, group in enumerate(job.groups):
        for r, region in enumerate(blocks.regions(job.carried, job.plan.shape)):
            by_name: dict[str, slice] = dict(zip((a.name for a in job.carried), region, strict=True))
            by_name |= {name: slice(i, i + 1) for name, i in group.index.items()}
            result.append(_Block(group, f"block-{g}-{r}", tuple(by_name[a.name] for a in job.axes), region))
    return result


def _collect(running: dict["Future[Any]", _Block], store: Store, work: Path | None) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        block = running.pop(future)
        result = future.result()
        if result is not None:
            store.write(block.name, block.region, *result)
            if work is not None:
                shutil.rmtree(work / block.name, ignore_errors=True)


def _train_block(
    job: _Job,
    block: _Block,
    directory: Path | None,
    stop: loop.Stop,
    advance: Callable[[int], None],
    seconds: float,
    here: Environment,
) -> tuple[dict[str, np.ndarray], np.ndarray, list[Environment]] | None:
    """Train one block to the end; None if stopped before (its checkpoint is in `directory`)."""
    if stop():
        return None
    run = block.group.run
    index = blocks.block_index(block.carried_region, job.plan.cells)
    cells = jax.tree.map(jax.numpy.asarray, cells_at(run, job.carried, index))
    program = Program(static_part(run), job.plan.shared_draw)
    inputs, state = program.start(cells, run.steps)
    environments = distinct([*loop.trained_in(directory), here])
    state, done = loop.train(
        program,
        inputs,
        state,
        run.steps,
        directory=directory,
        stop=stop,
        progress=advance,
        checkpoint_seconds=seconds,
        environments=environments,
    )
    if done < run.steps:
        return None
    return *blocks.results(program, cells, state, block.region), environments
