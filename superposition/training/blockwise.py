"""A grid trained block by block into a store, resumable after a kill at any instant: of toy models and of SAEs alike."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from superposition._internal import compilation_cache, validate
from superposition._internal.lock import held
from superposition.errors import ConfigError, CorruptError
from superposition.storage.provenance import Environment, differences, distinct
from superposition.training import loop
from superposition.training.progress import Progress, quiet
from superposition.training.protocol import Grid, In, OneBlock, Out
from superposition.training.store.mending import stored_attributes, sweep_siblings
from superposition.training.store.reading import is_recorded, said
from superposition.training.store.writing import Store
from superposition.training.told import refuse_untold


def train_grid(
    grid: Grid[OneBlock, In, Out],
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[int], Progress] = quiet,
    checkpoint_seconds: float = 30.0,
    allow_mixed: bool = False,
) -> xr.Dataset:
    """The labelled results of every model of the grid, in memory, and in a Zarr store at `out` where it is given.

    Blocks are written to the store as they finish, and a block that is stopped or killed leaves a checkpoint in
    OUT.partial. Raises ConfigError for a store that exists without `resume`, that is of other settings, or that was
    begun in another environment (unless allow_mixed), CorruptError for one whose recipe is damaged, StoreError for the
    disk, Interrupted after SIGINT, SIGTERM or SIGHUP once everything is saved.
    """
    compilation_cache.enable()
    validate.in_range("checkpoint_seconds", checkpoint_seconds, 0.0, float("inf"))
    validate.instance("out", out, (str, os.PathLike, type(None)))
    if out is None:
        store = Store.create(None, grid.layout())
        return _train_all(grid, store, None, progress, checkpoint_seconds, allow_mixed)
    path = Path(out)
    if path.exists() and not resume:
        raise ConfigError(f"{path} exists; give --resume to continue it, or another --out")
    work = path.with_name(f"{path.name}.partial")
    with held(work, path):
        sweep_siblings(path)
        store = _reopen(grid, path) if path.exists() else Store.create(path, grid.layout())
        results = _train_all(grid, store, work, progress, checkpoint_seconds, allow_mixed)
        shutil.rmtree(work, ignore_errors=True)
    return results


def _reopen(grid: Grid[OneBlock, In, Out], path: Path) -> Store:
    """A store that was made by the same sweep, mended; the grid takes over its plan of blocks."""
    is_recorded(path)  # a sweep's store at all
    attributes = stored_attributes(path)
    try:
        stored, wanted = json.loads(attributes["config"]), json.loads(json.dumps(grid.config()))
        lines = differences(stored, wanted)
        if not lines:
            grid.adopt(attributes)
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise CorruptError(
            f"the recipe in {path} is damaged: {said(error)}; run the sweep again with another --out"
        ) from error
    if lines:
        raise ConfigError(
            f"{path} was written with other settings: {'; '.join(lines)}; give those, or another --out"
        )
    refuse_untold(path, wanted)
    store = Store.reopen(path, grid.layout(attributes))
    store.tidy(grid.blocks())
    return store


def _train_all(
    grid: Grid[OneBlock, In, Out],
    store: Store,
    work: Path | None,
    progress: Callable[[int], Progress],
    seconds: float,
    allow_mixed: bool,
) -> xr.Dataset:
    pending = [block for block in grid.blocks() if not store.is_done(block)]
    here = grid.environment()
    if store.path is not None and work is not None and pending:
        places = [work / block.name for block in pending]
        loop.refuse_mixed(store.path, store.environments, places, here, allow_mixed)
    for block in pending:
        store.clear(block)
    workers = grid.workers()
    with (
        loop.interruptible() as stop,
        progress(sum(block.steps for block in pending)) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):

        def train(block: OneBlock) -> tuple[dict[str, np.ndarray], list[Environment]] | None:
            """The results of a block, or None if it was stopped before its end, with a checkpoint."""
            if stop():
                return None
            directory = None if work is None else work / block.name
            environments = distinct([*loop.trained_in(directory), here])
            program, inputs, state = grid.init(block)
            state, done = loop.train(
                program,
                inputs,
                state,
                block.steps,
                directory=directory,
                checkpoint_seconds=seconds,
                stop=stop,
                progress=bar.advance,
                keep_going=lambda now: bool(np.asarray(grid.alive(now)).any()),
                environments=environments,
            )
            if done < block.steps and np.asarray(grid.alive(state)).any():
                return None
            return grid.results(block, inputs, state), environments

        running: dict[Future[Any], OneBlock] = {}
        try:
            for block in pending:
                running[pool.submit(train, block)] = block
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


def _collect(running: dict[Future[Any], OneBlock], store: Store, work: Path | None) -> None:
    """Write the blocks that are finished, and remove their checkpoints."""
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        block = running.pop(future)
        result = future.result()
        if result is not None:
            store.write(block, *result)
            if work is not None:
                shutil.rmtree(work / block.name, ignore_errors=True)
