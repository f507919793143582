"""Train SAEs, one or a whole grid side by side, on one stream; resumable to the bit."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition import metrics
from superposition._internal import compilation_cache, validate
from superposition._internal.lock import held
from superposition.activations import Batch, Stream
from superposition.errors import ConfigError, TrainingError
from superposition.sae.transforms import finished
from superposition.storage import checkpoint
from superposition.storage.provenance import Environment, distinct, environment, recipe
from superposition.training import loop
from superposition.training.as_raised import as_raised
from superposition.training.begun import RUN, checksum, remember
from superposition.training.clock import clock, log_every, static_part
from superposition.training.grid import parse
from superposition.training.measuring import batch_size, shortcomings, sums_over, target_l0
from superposition.training.sae import (
    Cells,
    Inputs,
    Program,
    SAERun,
    State,
    sized,
    transpose_encoder,
)
from superposition.training.sae_blocks import block_size, ready, workers
from superposition.training.told import of_optimizer, refuse_untold
from superposition.training.trained import Trained

START_EXAMPLES = 32_768  # for geometric medians and principal components (Gao et al. 2024)
MEASURED = (
    *("l0", "fvu", "explained_variance", "cosine", "relative_norm", "dead_fraction", "dense_fraction"),
    "examples",
)  # what is measured of every SAE at its end, on a sample apart from training


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
    validate.instance("run", run, SAERun)
    stream = run.data if stream is None else stream
    validate.instance("stream", stream, Stream)
    assert stream is not None
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    memory_gb = validate.positive("memory_gb", memory_gb)
    validate.in_range("checkpoint_seconds", checkpoint_seconds, 0.0, float("inf"))
    validate.instance("directory", directory, (str, os.PathLike, type(None)))
    directory = None if directory is None else Path(directory)
    compilation_cache.enable()
    if axes is None or (isinstance(axes, Mapping) and not axes):
        axes = {"seed": (seed,)}
    run = replace(run, sae=sized(run.sae, stream.source))
    grid = {axis.name: axis.values for axis in parse(run, axes)}
    if several := {*grid} - {*run.carried_axes()}:
        raise ConfigError(f"an axis of {', '.join(sorted(several))} takes several programs; use sweep")
    names = tuple(grid)
    cells = list(itertools.product(*grid.values()))
    fitting = Fitting.prepare(ready(run, stream, grid), stream, names, seed)
    run = fitting.run
    size = block_size(run, len(cells), memory_gb)
    blocks = [cells[start : start + size] for start in range(0, len(cells), size)]
    here = fitting.environment()

    def train_block(b: int) -> list[Trained]:
        program, inputs, state = fitting.init(blocks[b])
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
            keep_going=lambda s: bool(np.asarray(s.alive).any()),
            environments=environments,
        )
        if place is not None and done == run.steps and not complete:
            checkpoint.save(place, done, state, loop.about(environments))
        return [replace(one, environments=tuple(environments)) for one in fitting.trained(blocks[b], state)]

    with ExitStack() as stack:
        if directory is not None:
            stack.enter_context(held(directory, directory))
            config = {"run": recipe(run), "axes": grid, "seed": seed, "block": size, **of_optimizer(run)}
            if (directory / RUN).exists():
                refuse_untold(directory, config)
            remember(directory, config | {"source": recipe(stream.source), "data": checksum(stream)})
            begun = [directory / f"block-{b}" for b in range(len(blocks))]
            if any(checkpoint.latest(place) != run.steps for place in begun):
                loop.refuse_mixed(directory, [], begun, here, allow_mixed)
        pool = stack.enter_context(ThreadPoolExecutor(workers(run)))
        trained = list(itertools.chain.from_iterable(pool.map(train_block, range(len(blocks)))))
    if len(cells) == 1 and trained[0].fault is not None:
        raise TrainingError(f"{trained[0].fault}; the last good state is kept{_where(directory)}")
    return trained if stop() else [fitting.warned(one) for one in trained]


@dataclass(frozen=True)
class Fitting:
    """SAEs on one stream that one program can train: what every block of them starts from, and how each one ends.

    run: without data, as `ready` gives it. names: the axes that the program carries.
    sample: examples apart from training; x, y: the same,
    scaled, from which SAEs start.
    """

    run: SAERun
    stream: Stream
    names: tuple[str, ...]
    seed: int
    scales: tuple[float, float]
    sample: Batch
    x: Array
    y: Array

    @classmethod
    def prepare(cls, run: SAERun, stream: Stream, names: tuple[str, ...], seed: int) -> "Fitting":
        """Scales and sample from the stream. Raises ConfigError for activations out of range."""
        scales = stream.scales(run.batch_size) if run.normalize else (1.0, 1.0)
        sample = stream.sample(min(START_EXAMPLES, 16 * run.batch_size), batch=run.batch_size)
        x = sample.x * scales[0]
        y = x if stream.source.d_out is None else sample.y * scales[1]
        return cls(run, stream, names, seed, scales, sample, x, y)

    def starts_like(self, run: SAERun) -> bool:
        """Whether SAEs of another run start from the same scales and sample."""
        return (run.batch_size, run.normalize) == (self.run.batch_size, self.run.normalize)

    def environment(self) -> Environment:
        """What decides the bits here: of matrix products by their size, the stream's own included."""
        return environment(self.largest_product())

    def largest_product(self) -> int:
        """Multiplications in the largest matrix product of a step."""
        run, dictionary = self.run, self.stream.dictionary
        features = 0 if dictionary is None else len(dictionary)
        return run.batch_size * max(run.sae.d_sae, features) * max(run.sae.d_in, run.sae.target_width)

    def program(self) -> Program:
        """The program of every block."""
        return Program(static_part(self.run), self.stream.source)

    def init(self, rows: Sequence[tuple[Any, ...]]) -> tuple[Program, Inputs, State]:
        """The program, inputs and first state of the SAEs at these places on the axes."""
        run, stream = self.run, self.stream
        columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(self.names)}
        seeds = columns.pop("seed", np.full(len(rows), self.seed)).astype(np.uint32)
        integers = {"width"} | ({"k"} if isinstance(getattr(run.sae, "k", None), int) else set())
        swept = {k: jnp.asarray(v, jnp.int32 if k in integers else jnp.float32) for k, v in columns.items()}
        cells, scales = Cells(jnp.asarray(seeds), swept), jnp.asarray(self.scales, jnp.float32)
        program, inputs = self.program(), Inputs(cells, stream.inputs, scales, clock(run))
        state = program.start(inputs.cells, self.x, self.y)
        return program, inputs, state._replace(stream=stream.start(run.batch_size))

    def trained(self, rows: Sequence[tuple[Any, ...]], state: State) -> list[Trained]:
        """The SAEs at these places, in the form used after training."""
        program = self.program()
        params, failed, history = jax.tree.map(
            np.asarray, (transpose_encoder(state.params), state.failed, state.history)
        )
        every = log_every(self.run.steps)
        result = []
        for c, row in enumerate(rows):
            settings = dict(zip(self.names, row, strict=True))
            point = self.run.at(settings)
            logged = np.isfinite(history[c]).all(1)
            fault = None
            if failed[c, 0] >= 0:
                fault = f"step {failed[c, 0]}: {program.watched[failed[c, 1]]} is not finite"
            sae, arrays = finished(point.sae, {k: v[c] for k, v in params.items()}, self.scales)
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

    def numbers(self, one: Trained) -> dict[str, float]:
        """`MEASURED` of an SAE on the sample."""
        sample = self.sample
        size = batch_size(max(sample.x.shape[1], one.sae.d_sae))
        starts = range(0, len(sample.x), size)
        parts = (jax.tree.map(lambda a, i=i: a[i : i + size], sample) for i in starts)
        total = sums_over(one.sae, one.params, parts)
        measured = metrics.reconstruction_from(total)._asdict() | {"examples": float(total.examples)}
        return {name: float(measured[name]) for name in MEASURED}

    def warned(self, one: Trained) -> Trained:
        """The same, with what it fell short in on the sample."""
        return replace(one, warnings=fell_short(one, self.numbers(one)))


def fell_short(one: Trained, numbers: Mapping[str, float]) -> tuple[str, ...]:
    """In words, what an SAE with its recipe and settings fell short in by its `MEASURED` numbers."""
    run: Any = one.recipe
    return tuple(shortcomings(numbers, target_l0(one.sae, one.settings, run.l0_target)))


def _where(directory: Path | None) -> str:
    return "" if directory is None else f" in {directory}"
