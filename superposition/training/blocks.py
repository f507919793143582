"""How a sweep is cut into blocks that one program trains at a time."""

from dataclasses import dataclass
from itertools import product

import jax
import numpy as np

from superposition.errors import ConfigError
from superposition.training.grid import Axis
from superposition.training.loop import worker_count
from superposition.training.store.reading import DIVERGED, DONE
from superposition.training.toy import Program, ToyRun
from superposition.training.toy_state import Cells, State

# Sizes that keep a block's batch near the second-level cache on a CPU, measured in `make bench`.
CACHE_EXAMPLES = 2**19
WIDE_ELEMENTS = 2**17
EXACT_CELLS = 4096
# Bits depend on how many cells a program holds, so that the plan must be the same on every machine: it is the best for
# two cores. More cores train more of these blocks at once; a sweep of fewer blocks than cores leaves some to XLA.
PLANNED_CORES = 2


@dataclass(frozen=True)
class Plan:
    """How many entries of each carried axis a block holds, and whether a block shares one draw."""

    shape: tuple[int, ...]
    shared_draw: bool

    @property
    def cells(self) -> int:
        """Cells in a full block; smaller ones at the edge are padded to this."""
        return int(np.prod(self.shape))


def bytes_per_cell(run: ToyRun) -> int:
    """Estimated peak bytes one cell needs while it trains."""
    m, n = run.model.n_hidden, run.model.n_features
    sizes = {"n_features": n, "n_hidden": m}
    numbers = sum(int(np.prod([sizes[d] for d in dims])) for dims in run.model.shapes.values())
    state = 4 * numbers * 6
    if run.objective == "exact":
        work = 4 * 64 * n * n if n > 3 else 4 * 40 * 3**n
    elif run.model.narrow:
        work = 4 * run.batch_size * (m * n + 3 * n + m)
    else:
        work = 4 * run.batch_size * 4 * n
    return state + work


def plan(run: ToyRun, carried: list[Axis], memory_gb: float, share: bool) -> Plan:
    """Choose the block shape; ConfigError if not even one cell fits the memory."""
    lengths = [len(axis.values) for axis in carried]
    names = [axis.name for axis in carried]
    seeds = lengths[names.index("seed")] if "seed" in names else 1
    per_seed = int(np.prod(lengths)) // seeds
    narrow = run.model.narrow
    # A block of one seed draws once for all its cells: worth it unless that leaves the block nearly empty.
    shared = run.objective == "sampled" and share and (seeds == 1 or per_seed >= (16 if narrow else 2))
    limit = _cell_limit(run, memory_gb, per_seed if shared else per_seed * seeds)
    shape = [1] * len(lengths)
    room = limit
    for k in reversed(range(len(lengths))):
        if shared and names[k] == "seed":
            continue
        pieces = -(-lengths[k] // max(1, min(lengths[k], room)))
        shape[k] = -(-lengths[k] // pieces)
        room //= shape[k]
    return Plan(tuple(shape), shared)


def at_once(run: ToyRun, plan: Plan, memory_gb: float) -> int:
    """How many blocks may train at the same time: one a core, as far as the memory goes."""
    fits = int(memory_gb * 2**30 / (bytes_per_cell(run) * plan.cells))
    return max(1, min(worker_count(), fits))


def _cell_limit(run: ToyRun, memory_gb: float, available: int) -> int:
    fits = int(memory_gb * 2**30 / bytes_per_cell(run) / PLANNED_CORES)
    if fits < 1:
        raise ConfigError(
            f"memory_gb={memory_gb:g} holds not even one model (about {bytes_per_cell(run) / 2**30:.2g} GB "
            "each); raise memory_gb or lower batch_size"
        )
    if jax.default_backend() != "cpu":
        return fits
    n = run.model.n_features
    if run.objective == "exact":
        cache = max(1, EXACT_CELLS // max(1, (n // 4) ** 2))
    elif run.model.narrow:
        cache = max(64, CACHE_EXAMPLES // run.batch_size)
    else:
        cache = max(1, WIDE_ELEMENTS // (run.batch_size * n))
        # Threads pay once each has a few hundred narrow models; below that one loop over all is faster.
    least = 256 if run.model.narrow else 1
    return max(1, min(fits, cache, max(least, -(-available // PLANNED_CORES))))


def regions(carried: list[Axis], shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """The slices of the carried axes that the blocks cover, in order."""
    lengths = [len(axis.values) for axis in carried]
    starts = [range(0, length, step) for length, step in zip(lengths, shape, strict=True)]
    return [
        tuple(slice(s, min(s + step, length)) for s, step, length in zip(corner, shape, lengths, strict=True))
        for corner in product(*starts)
    ]


def block_index(region: tuple[slice, ...], cells: int) -> np.ndarray:
    """Indices (cells, axes) of a region's cells, padded by repeating the first."""
    ranges = [np.arange(s.start, s.stop) for s in region]
    grid = (
        np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(region))
        if ranges
        else np.zeros((1, 0), int)
    )
    return np.concatenate([grid, np.repeat(grid[:1], cells - len(grid), 0)])


def results(program: Program, cells: Cells, state: State, count: int) -> dict[str, np.ndarray]:
    """Parameters, loss, steps and status of the first `count` models of a trained block; what pads it is left out."""
    loss = program.evaluate(cells, state.params)
    good = np.asarray(state.alive) & np.isfinite(loss)
    status = np.where(good, DONE, DIVERGED).astype(np.int8)
    values = state.params._asdict() | {"loss": loss, "steps": state.steps, "status": status}
    return {name: np.asarray(value)[:count] for name, value in values.items()}
