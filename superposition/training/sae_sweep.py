"""sweep_saes(run, axes): SAEs at every combination of named axes, trained block by block, resumable, labelled."""

import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jax import Array

from superposition._internal import validate
from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.storage.provenance import Environment, provenance, recipe
from superposition.training.as_raised import as_raised
from superposition.training.begun import checksum
from superposition.training.blockwise import train_grid
from superposition.training.clock import log_every
from superposition.training.fitting import MEASURED, Fitting
from superposition.training.grid import Axis, as_json, coordinates, parse, static_groups
from superposition.training.progress import Progress, quiet
from superposition.training.protocol import Region
from superposition.training.sae import Inputs, Program, SAERun, State, is_small, sized
from superposition.training.sae_blocks import block_size, chunk_shape, ready, workers
from superposition.training.sae_results import dims_of, form
from superposition.training.store.layout import Layout
from superposition.training.store.reading import DIVERGED, DONE, MODELS, SAES
from superposition.training.store.records import FORMAT
from superposition.training.told import of_optimizer


@as_raised()
def sweep_saes(
    run: SAERun,
    axes: Mapping[str, Sequence[Any]],
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    memory_gb: float = 4.0,
    progress: Callable[[int], Progress] = quiet,
    checkpoint_seconds: float = 30.0,
    allow_mixed: bool = False,
) -> xr.Dataset:
    """Train SAEs on the run's data at every combination of `axes`; returns all that is known of them, by axis.

    axes: name -> values. seed, float fields of the architecture and the optimizer, k, width and l0_target are carried by
    one program; steps, batch_size, penalty_warmup, normalize and the other fields of the architecture, but for its
    shapes, take one a value.
    Parameters are those used after training, with their own dimensions (d_in, d_sae ...), beyond a smaller `width` NaN.
    `loss` is the last logged one, `history_*` what was logged at the steps of `log`; l0, fvu and others of `MEASURED`
    are of a sample apart from training. status is 1 for done, 2 for an SAE that stopped being finite, whose `fault`
    says when; its parameters are the last good ones. The bits are those of `fit_grid`. Options and errors are those of
    `blockwise.train_grid`.
    """
    validate.instance("run", run, SAERun)
    validate.instance("data of the run", run.data, Stream)
    run = replace(run, sae=sized(run.sae, run.data.source))
    memory_gb = validate.positive("memory_gb", memory_gb)
    if isinstance(axes, Mapping) and "d_sae" in axes:
        raise ConfigError(
            "SAEs of several d_sae have no common shape; give an axis of width, up to the d_sae of the run: they are"
            " trained side by side, and each comes out with its own d_sae"
        )
    grid = SAEGrid(run, parse(run, axes), memory_gb)
    return train_grid(
        grid,
        out=out,
        resume=resume,
        progress=progress,
        checkpoint_seconds=checkpoint_seconds,
        allow_mixed=allow_mixed,
    )


class SAEBlock(NamedTuple):
    """A block of SAEs: their group of static values, and their places on the carried axes, in product order."""

    name: str
    fitting: Fitting
    rows: list[tuple[Any, ...]]
    regions: list[Region]

    @property
    def steps(self) -> int:
        """Those of the group's run."""
        return self.fitting.run.steps


@dataclass
class SAEGrid:
    """An SAE run with data over parsed axes: its groups of static values, and how many SAEs a block of each has."""

    run: SAERun
    axes: list[Axis]
    memory_gb: float

    def __post_init__(self) -> None:
        self.stream: Stream = self.run.data
        self.run = replace(self.run, data=None)
        self.carried = {axis.name: axis.values for axis in self.axes if axis.carried}
        self.rows = list(itertools.product(*self.carried.values()))
        self.groups = static_groups(self.run, self.axes)
        runs = [ready(group.run, self.stream, self.carried) for group in self.groups]
        self.fittings: list[Fitting] = []
        for run in runs:
            like = [f for f in self.fittings if f.starts_like(run)]
            first = like[0] if like else Fitting.prepare(run, self.stream, tuple(self.carried), 0)
            self.fittings.append(replace(first, run=run))
        self.sizes = [min(len(self.rows), block_size(run, len(self.rows), self.memory_gb)) for run in runs]
        self._check_alike()

    def _check_alike(self) -> None:
        """Raise ConfigError where the SAEs do not fit into arrays of one shape."""
        forms = [(form(f.run.sae, f.scales)[1], f.program().terms) for f in self.fittings]
        if any(other != forms[0] for other in forms):
            raise ConfigError(
                "the SAEs of one sweep must have the same parameters and terms of the loss, which these axes change; give"
                " their values one at a time"
            )

    def layout(self, attributes: Mapping[str, Any] | None = None) -> Layout:
        """The arrays of the store; attributes: those of a store that is there."""
        fitting = self.fittings[0]
        widest = {"width": max(self.carried["width"])} if "width" in self.carried else {}
        first = {name: values[0] for name, values in self.carried.items()} | widest
        sae, shapes = form(fitting.run.at(first).sae, fitting.scales)
        variables: dict[str, tuple[Mapping[str, int], str, Any]] = {
            name: (dict(zip(dims_of(sae, name, len(shape)), shape, strict=True)), "float32", np.nan)
            for name, shape in shapes.items()
        }
        terms, logs = fitting.program().terms, max((logged(f.run) for f in self.fittings), key=len)
        variables |= {f"history_{term}": ({"log": len(logs)}, "float32", np.nan) for term in terms}
        variables |= {name: ({}, "float64", np.nan) for name in ("loss", *MEASURED, "scale_in", "scale_out")}
        variables |= {"fault": ({}, "str", ""), "status": ({}, "int8", 0)}
        if len({f.run.steps for f in self.fittings}) > 1:  # each has steps of its own to log at
            logs = np.arange(len(logs))
        return Layout(
            dims={axis.name: len(axis.values) for axis in self.axes},
            chunks=self._chunks(),
            variables=variables,
            coordinates=coordinates(self.axes) | {"log": (("log",), logs)},
            attributes=attributes
            or {
                "superposition": FORMAT,
                MODELS: SAES,
                "config": json.dumps(self.config(), indent=1),
                "block_shape": self.sizes,
                "history": list(terms),
                "loss": "the last logged value of what training minimises",
                "provenance": json.dumps(provenance()),
            },
        )

    def _chunks(self) -> dict[str, int]:
        """How much of every axis a chunk holds: blocks of every group are made of whole ones; a large SAE fills one."""
        size = math.gcd(*self.sizes) if is_small(self.run.sae) else 1
        shape = chunk_shape([len(values) for values in self.carried.values()], size)
        of_carried = dict(zip(self.carried, shape, strict=True))
        return {axis.name: of_carried.get(axis.name, 1) for axis in self.axes}

    def config(self) -> dict[str, Any]:
        """What decides the results, as JSON: the run, the axes and the data."""
        of_data = {"source": recipe(self.stream.source), "data": checksum(self.stream)}
        config = {"run": recipe(self.run), "axes": as_json(self.axes)} | of_data | of_optimizer(self.run)
        plain: dict[str, Any] = json.loads(json.dumps(config, default=float))
        return plain

    def adopt(self, attributes: Mapping[str, Any]) -> None:
        """Take over the number of SAEs in the blocks of a store."""
        sizes = [*map(int, attributes["block_shape"])]
        if len(sizes) != len(self.groups) or not all(1 <= size <= len(self.rows) for size in sizes):
            raise ValueError(f"blocks of {sizes}")
        self.sizes = sizes

    def blocks(self) -> list[SAEBlock]:
        """The SAEs of every group in product order, as many at a time as its blocks have."""
        chunks = self._chunks()
        lengths = [len(values) for values in self.carried.values()]
        count = math.prod(chunks.values())
        result = []
        for g, (group, fitting, size) in enumerate(zip(self.groups, self.fittings, self.sizes, strict=True)):
            for b, first in enumerate(range(0, len(self.rows), size)):
                rows = self.rows[first : first + size]
                regions = []
                for start in range(first, first + len(rows), count):
                    corner = dict(zip(self.carried, map(int, np.unravel_index(start, lengths)), strict=True))
                    corner |= group.index
                    regions.append(tuple(slice(corner[n], corner[n] + c) for n, c in chunks.items()))
                result.append(SAEBlock(f"block-{g}-{b}", fitting, rows, regions))
        return result

    def workers(self) -> int:
        """One a core, of small SAEs."""
        return workers(self.run)

    def environment(self) -> Environment:
        """What decides the bits of matrix products here."""
        return max(self.fittings, key=Fitting.largest_product).environment()

    def init(self, block: SAEBlock) -> tuple[Program, Inputs, State]:
        """Fresh SAEs at the rows of a block."""
        return block.fitting.init(block.rows)

    def alive(self, state: State) -> Array:
        """Which SAEs of a block are finite so far."""
        return state.alive

    def results(self, block: SAEBlock, inputs: Inputs, state: State) -> dict[str, np.ndarray]:
        """Parameters, numbers, histories and status of a trained block."""
        del inputs
        fitting = block.fitting
        trained = fitting.trained(block.rows, state)
        values = {
            name: padded([one.parameters()[name] for one in trained]) for name in trained[0].parameters()
        }
        steps = logged(fitting.run)
        for term in trained[0].history:
            values[f"history_{term}"] = np.full((len(trained), len(steps)), np.nan, np.float32)
            for row, one in zip(values[f"history_{term}"], trained, strict=True):
                row[np.isin(steps, one.steps)] = one.history[term]
        measured = [fitting.numbers(one) for one in trained]
        values |= {name: np.array([numbers[name] for numbers in measured]) for name in MEASURED}
        for name, scale in zip(("scale_in", "scale_out"), fitting.scales, strict=True):
            values[name] = np.full(len(trained), scale)
        values["loss"] = np.array([one.loss for one in trained])
        values["fault"] = np.array([one.fault or "" for one in trained], object)
        values["status"] = np.array([DIVERGED if one.fault else DONE for one in trained], np.int8)
        return values


def logged(run: SAERun) -> np.ndarray:
    """The steps at which a run is logged."""
    return np.arange(0, run.steps, log_every(run.steps))


def padded(arrays: Sequence[Any]) -> np.ndarray:
    """Arrays as one, (arrays, ...), with NaN beyond those that are smaller than the largest."""
    sizes = np.max([np.shape(a) for a in arrays], 0) if np.ndim(arrays[0]) else ()
    whole = np.full((len(arrays), *sizes), np.nan, np.float32)
    for row, array in zip(whole, arrays, strict=True):
        row[tuple(map(slice, np.shape(array)))] = np.asarray(array)
    return whole
