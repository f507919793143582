"""sweep_grid(run, axes): every combination of named axes, trained block by block, resumable, labelled."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.storage.provenance import Environment, environment, provenance, recipe
from superposition.training import blocks
from superposition.training.blockwise import train_grid
from superposition.training.grid import Axis, Group, as_json, coordinates, parse, static_groups
from superposition.training.progress import Progress, quiet
from superposition.training.protocol import Region
from superposition.training.store.layout import Layout
from superposition.training.store.records import FORMAT
from superposition.training.told import of_optimizer
from superposition.training.toy import Program, ToyRun, static_part
from superposition.training.toy_axes import cells_at
from superposition.training.toy_evaluation import evaluation_of, is_exact
from superposition.training.toy_state import Inputs, State


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
    validate.instance("run", run, ToyRun)
    grid = ToyGrid(run, parse(run, axes), validate.positive("memory_gb", memory_gb), share_draws)
    return train_grid(
        grid,
        out=out,
        resume=resume,
        progress=progress,
        checkpoint_seconds=checkpoint_seconds,
        allow_mixed=allow_mixed,
    )


class ToyBlock(NamedTuple):
    """A block of toy models: its group of static values, and what of the carried axes it covers."""

    name: str
    group: Group[ToyRun]
    regions: tuple[Region, ...]
    carried: Region

    @property
    def steps(self) -> int:
        """Those of the group's run."""
        return self.group.run.steps


@dataclass
class ToyGrid:
    """A toy run over parsed axes: its groups of static values and their plan of blocks."""

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
        return Layout(
            dims={axis.name: len(axis.values) for axis in self.axes},
            chunks={axis.name: chunk_of.get(axis.name, 1) for axis in self.axes},
            variables={
                **parameters,
                "loss": ({}, "float64", np.nan),
                "steps": ({}, "int32", 0),
                "status": ({}, "int8", 0),
            },
            coordinates=coordinates(self.axes),
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
            "axes": as_json(self.axes),
            "share_draws": self.share,
            **of_optimizer(self.run),
        }

    def adopt(self, attributes: Mapping[str, Any]) -> None:
        """Take over the plan of a store."""
        shape, shared = tuple(map(int, attributes["block_shape"])), bool(attributes["shared_draw"])
        if len(shape) != len(self.carried) or min(shape, default=1) < 1:
            raise ValueError(f"blocks of {shape}")
        self.plan = blocks.Plan(shape, shared)

    def blocks(self) -> list[ToyBlock]:
        """Every group's regions of the carried axes."""
        result = []
        for g, group in enumerate(self.groups):
            for r, region in enumerate(blocks.regions(self.carried, self.plan.shape)):
                by_name: dict[str, slice] = dict(zip((a.name for a in self.carried), region, strict=True))
                by_name |= {name: slice(i, i + 1) for name, i in group.index.items()}
                chunk = tuple(by_name[a.name] for a in self.axes)
                result.append(ToyBlock(f"block-{g}-{r}", group, (chunk,), region))
        return result

    def workers(self) -> int:
        """One a core, as far as the memory goes."""
        return min(blocks.at_once(group.run, self.plan, self.memory_gb) for group in self.groups)

    def environment(self) -> Environment:
        """The last bits of a sampled loss depend on the number of threads; those of parameters and exact losses do not."""
        return environment(0 if all(is_exact(group.run) for group in self.groups) else math.inf)

    def init(self, block: ToyBlock) -> tuple[Program, Inputs, State]:
        """Fresh models of a block, padded to the cells of the plan."""
        run = block.group.run
        index = blocks.block_index(block.carried, self.plan.cells)
        cells = jax.tree.map(jax.numpy.asarray, cells_at(run, self.carried, index))
        program = self._program(block)
        return program, *program.start(cells, run.steps)

    def alive(self, state: State) -> Array:
        """Which models of a block are finite so far."""
        return state.alive

    def results(self, block: ToyBlock, inputs: Inputs, state: State) -> dict[str, np.ndarray]:
        """Parameters, loss, steps and status of a trained block."""
        count = math.prod(s.stop - s.start for s in block.carried)
        return blocks.results(self._program(block), inputs.cells, state, count)

    def _program(self, block: ToyBlock) -> Program:
        return Program(static_part(block.group.run), self.plan.shared_draw)
