"""Train SAEs, one or a whole grid side by side, on one stream; resumable to the bit."""

import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superposition import metrics
from superposition._internal import compilation_cache, validate
from superposition._internal.lock import held
from superposition.activations import Batch, Stream
from superposition.errors import ConfigError, TrainingError
from superposition.sae.transforms import finished
from superposition.storage import checkpoint
from superposition.storage.provenance import distinct, environment, recipe
from superposition.training import loop
from superposition.training.as_raised import as_raised
from superposition.training.begun import checksum, remember
from superposition.training.clock import clock, log_every, static_part
from superposition.training.measuring import batch_size, shortcomings, sums_over, target_l0
from superposition.training.sae import (
    Cells,
    Inputs,
    Program,
    SAERun,
    State,
    bytes_per_sae,
    is_small,
    sized,
    sweepable,
    transpose_encoder,
)
from superposition.training.trained import Trained

START_EXAMPLES = 32_768  # for geometric medians and principal components (Gao et al. 2024)
MAX_SAES = 100_000


@as_raised()
def fit_grid(
    run: SAERun,
    stream: Stream | None = None,
    axes: Mapping[str, Sequence[float]] | None = None,
    *,
    seed: int = 0,
    directory: Path | None = None,
    memory_gb: float = 4.0,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[int], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
    allow_mixed: bool = False,
) -> list[Trained]:
    """Train `run` on `stream`, or on its own data, for every combination of the axes; the list is in product order.

    axes: seed, any float field of the architecture or optimizer (penalty, learning_rate ...), k, width,
    l0_target. All SAEs of a block see the same batches and run in one program; blocks keep under memory_gb.
    directory: checkpoints, so that the same call continues after a kill, bit for bit; in an environment that would
    change bits (`provenance.environment`) it is refused unless allow_mixed. One process at a time may write there.
    Raises ConfigError for what does not fit, StoreError for the disk, TrainingError if the only SAE of a run stops
    being finite; a stop returns what is done.

    >>> import jax
    >>> import numpy as np
    >>> from superposition.activations import array_stream
    >>> from superposition.sae import TopK
    >>> from superposition.training import SAERun, fit
    >>> data = array_stream(jax.random.key(0), np.eye(4))
    >>> saes = fit(SAERun(TopK(d_sae=4, k=1), steps=2, batch_size=4), data, {"seed": range(2)})
    >>> [sae.settings for sae in saes]
    [{'seed': 0}, {'seed': 1}]
    """
    grid = _grid({"seed": (seed,)} if axes is None or (isinstance(axes, Mapping) and not axes) else axes)
    validate.instance("run", run, SAERun)
    stream = run.data if stream is None else stream
    validate.instance("stream", stream, Stream)
    assert stream is not None
    run = replace(run, data=None, sae=sized(run.sae, stream.source))  # a program holds no data
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    memory_gb = validate.positive("memory_gb", memory_gb)
    validate.in_range("checkpoint_seconds", checkpoint_seconds, 0.0, float("inf"))
    validate.instance("directory", directory, (str, os.PathLike, type(None)))
    directory = None if directory is None else Path(directory)
    compilation_cache.enable()
    run = _checked(run, stream, grid)
    names = tuple(grid)
    cells = list(itertools.product(*grid.values()))
    scales = stream.scales(run.batch_size) if run.normalize else (1.0, 1.0)
    sample = stream.sample(min(START_EXAMPLES, 16 * run.batch_size), batch=run.batch_size)
    x = sample.x * scales[0]
    y = x if stream.source.d_out is None else sample.y * scales[1]
    size = block_size(run, len(cells), memory_gb)
    blocks = [cells[start : start + size] for start in range(0, len(cells), size)]
    here = environment(_largest_product(run, stream))

    def train_block(b: int) -> list[Trained]:
        program, inputs = _program(run, stream, names, blocks[b], seed, scales)
        state = program.start(inputs.cells, x, y)._replace(stream=stream.start(run.batch_size))
        place = None if directory is None else directory / f"block-{b}"
        begun = loop.trained_in(place)
        complete = place is not None and checkpoint.latest(place) == run.steps
        environments = begun if complete else distinct([*begun, here])
        state, done = loop.train(
            program,
            inputs,
            state,
            run.steps,
            directory=place,
            checkpoint_seconds=checkpoint_seconds,
            stop=stop,
            progress=progress,
            sound=lambda s: bool(np.asarray(s.alive).any()),
            environments=environments,
        )
        if place is not None and done == run.steps and not complete:
            checkpoint.save(place, done, state, loop.about(environments))
        trained = _unpack(run, program, names, blocks[b], state, scales)
        return [replace(one, environments=tuple(environments)) for one in trained]

    with ExitStack() as stack:
        if directory is not None:
            stack.enter_context(held(directory, directory))
            config = {"run": recipe(run), "axes": grid, "seed": seed, "block": size}
            remember(directory, config | {"source": recipe(stream.source), "data": checksum(stream)})
            begun = [directory / f"block-{b}" for b in range(len(blocks))]
            if any(checkpoint.latest(place) != run.steps for place in begun):
                loop.refuse_mixed(directory, [], begun, here, allow_mixed)
        pool = stack.enter_context(ThreadPoolExecutor(_workers(run)))
        trained = list(itertools.chain.from_iterable(pool.map(train_block, range(len(blocks)))))
    if len(cells) == 1 and trained[0].fault is not None:
        raise TrainingError(f"{trained[0].fault}; the last good state is kept{_where(directory)}")
    return trained if stop() else [_warned(one, run, sample) for one in trained]


def _warned(one: Trained, run: SAERun, sample: Batch) -> Trained:
    """The same, with what it fell short in on the sample."""
    size = batch_size(max(sample.x.shape[1], one.sae.d_sae))
    starts = range(0, len(sample.x), size)
    parts = (jax.tree.map(lambda a, i=i: a[i : i + size], sample) for i in starts)
    total = sums_over(one.sae, one.params, parts)
    numbers = metrics.reconstruction_from(total)._asdict() | {"examples": float(total.examples)}
    target = target_l0(one.sae, one.settings, run.l0_target)
    return replace(one, warnings=tuple(shortcomings(numbers, target)))


def _grid(axes: Any) -> dict[str, tuple[Any, ...]]:
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


def _largest_product(run: SAERun, stream: Stream) -> int:
    """Multiplications in the largest matrix product of a step, the stream's own included."""
    features = 0 if stream.dictionary is None else len(stream.dictionary)
    return run.batch_size * max(run.sae.d_sae, features) * max(run.sae.d_in, run.sae.target_width)


def _where(directory: Path | None) -> str:
    return "" if directory is None else f" in {directory}"


def _checked(run: SAERun, stream: Stream, axes: Mapping[str, tuple[float, ...]]) -> SAERun:
    """The run with static slots for every k, or ConfigError."""
    source, sae = stream.source, run.sae
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


def _program(
    run: SAERun,
    stream: Stream,
    names: tuple[str, ...],
    rows: Sequence[tuple[float, ...]],
    seed: int,
    scales: tuple[float, float],
) -> tuple[Program, Inputs]:
    columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
    seeds = columns.pop("seed", np.full(len(rows), seed)).astype(np.uint32)
    integers = {"width"} | ({"k"} if isinstance(getattr(run.sae, "k", None), int) else set())
    swept = {k: jnp.asarray(v, jnp.int32 if k in integers else jnp.float32) for k, v in columns.items()}
    cells, both = Cells(jnp.asarray(seeds), swept), jnp.asarray(scales, jnp.float32)
    return Program(static_part(run), stream.source), Inputs(cells, stream.inputs, both, clock(run))


def blocks_of(run: SAERun, stream: Stream, axes: Mapping[str, Sequence[Any]], memory_gb: float) -> int:
    """How many blocks the grid takes; ConfigError for what is no grid of the run."""
    grid = _grid(axes)
    run = _checked(replace(run, data=None, sae=sized(run.sae, stream.source)), stream, grid)
    cells = math.prod(map(len, grid.values()))
    return -(-cells // block_size(run, cells, validate.positive("memory_gb", memory_gb)))


def block_size(run: SAERun, count: int, memory_gb: float) -> int:
    """SAEs in one program: what fits; small ones in halves or sixteens, for a thread each."""
    size = max(1, int(memory_gb * 1e9 / bytes_per_sae(run)))
    return min(size, 16, max(1, -(-count // 2))) if is_small(run.sae) else size


def _workers(run: SAERun) -> int:
    return loop.worker_count() if is_small(run.sae) else 1


def _unpack(
    run: SAERun,
    program: Program,
    names: tuple[str, ...],
    rows: Sequence[tuple[float, ...]],
    state: State,
    scales: tuple[float, float],
) -> list[Trained]:
    params, failed, history = jax.tree.map(
        np.asarray, (transpose_encoder(state.params), state.failed, state.history)
    )
    every = log_every(run.steps)
    result = []
    for c, row in enumerate(rows):
        settings = dict(zip(names, row, strict=True))
        point = _at(run, settings)
        logged = np.isfinite(history[c]).all(1)
        fault = None
        if failed[c, 0] >= 0:
            fault = f"step {failed[c, 0]}: {program.watched[failed[c, 1]]} is not finite"
        sae, arrays = finished(point.sae, {k: v[c] for k, v in params.items()}, scales)
        losses = history[c][logged, : len(program._loss_terms)].sum(1, dtype=float)
        result.append(
            Trained(
                sae,
                arrays,
                point,
                settings,
                loss=float(losses[-1]) if len(losses) else float("nan"),
                steps=np.arange(history.shape[1])[logged] * every,
                history={name: history[c][logged, t] for t, name in enumerate(program.terms)},
                fault=fault,
            )
        )
    return result


def _at(run: SAERun, settings: Mapping[str, Any]) -> SAERun:
    """The run of one grid point: the settings in their places; seeds have none in a recipe."""
    placed = {name: value for name, value in settings.items() if name != "seed"}
    sae = {name: value for name, value in placed.items() if name == "width" or hasattr(run.sae, name)}
    sae |= {"slots": None} if hasattr(run.sae, "slots") else {}
    optimizer = {name: value for name, value in placed.items() if name not in sae and name != "l0_target"}
    target = {"l0_target": placed["l0_target"]} if "l0_target" in placed else {}
    changed: Any = {"sae": replace(run.sae, **sae), "optimizer": replace(run.optimizer, **optimizer)}
    return replace(run, **changed, **target)
