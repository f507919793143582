"""sweep_saes(run, axes): SAEs at every combination of named axes, trained block by block, resumable, labelled."""

import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.storage.provenance import Environment, provenance, recipe
from superposition.training.as_raised import as_raised
from superposition.training.begun import checksum
from superposition.training.blockwise import train_grid
from superposition.training.clock import log_every
from superposition.training.fitting import MEASURED, Fitting
from superposition.training.progress import Progress, quiet
from superposition.training.protocol import Region
from superposition.training.sae import Inputs, Program, SAERun, State, is_small
from superposition.training.sae_axes import at, block_size, checked, plain_axes, workers
from superposition.training.sae_results import dims_of, form
from superposition.training.store.layout import Layout
from superposition.training.store.reading import DIVERGED, DONE, MODELS, SAES
from superposition.training.store.records import FORMAT


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

    Parameters are those used after training, with their own dimensions (d_in, d_sae ...), beyond a smaller `width` NaN.
    `loss` is the last logged one, `history_*` what was logged at the steps of `log`; l0, fvu and others of `MEASURED`
    are of a sample apart from training. status is 1 for done, 2 for an SAE that stopped being finite, whose `fault`
    says when; its parameters are the last good ones. The bits are those of `fit_grid`. Options and errors are those of
    `blockwise.train_grid`.
    """
    validate.instance("axes", axes, Mapping)
    if not axes:
        raise ConfigError("axes must name at least one axis, as {'seed': range(10)}; got none")
    grid = SAEGrid(run, plain_axes(axes), validate.positive("memory_gb", memory_gb))
    return train_grid(
        grid,
        out=out,
        resume=resume,
        progress=progress,
        checkpoint_seconds=checkpoint_seconds,
        allow_mixed=allow_mixed,
    )


class SAEBlock(NamedTuple):
    """A block of SAEs: their places on the axes, in product order, in whole chunks of the store."""

    name: str
    rows: list[tuple[Any, ...]]
    regions: list[Region]
    steps: int


@dataclass
class SAEGrid:
    """An SAE run with data over checked axes."""

    run: SAERun
    axes: dict[str, tuple[Any, ...]]
    memory_gb: float

    def __post_init__(self) -> None:
        stream = self.run.data
        self.fitting = Fitting.prepare(checked(self.run, stream, self.axes), stream, tuple(self.axes), 0)
        self.run = self.fitting.run
        self.rows = list(itertools.product(*self.axes.values()))
        self.size = min(len(self.rows), block_size(self.run, len(self.rows), self.memory_gb))

    def layout(self, attributes: Mapping[str, Any] | None = None) -> Layout:
        """The arrays of the store; attributes: those of a store that is there."""
        widest = {"width": max(self.axes["width"])} if "width" in self.axes else {}
        first = {name: values[0] for name, values in self.axes.items()} | widest
        sae, shapes = form(at(self.run, first).sae, self.fitting.scales)
        variables: dict[str, tuple[Mapping[str, int], str, Any]] = {
            name: (dict(zip(dims_of(sae, name, len(shape)), shape, strict=True)), "float32", np.nan)
            for name, shape in shapes.items()
        }
        logs = -(-self.run.steps // log_every(self.run.steps))
        terms = Program(self.run, self.fitting.stream.source).terms
        variables |= {f"history_{term}": ({"log": logs}, "float32", np.nan) for term in terms}
        variables |= {name: ({}, "float64", np.nan) for name in ("loss", *MEASURED, "scale_in", "scale_out")}
        variables |= {"fault": ({}, "str", ""), "status": ({}, "int8", 0)}
        coordinates = {name: ((name,), coordinate(values)) for name, values in self.axes.items()}
        lengths = {name: len(values) for name, values in self.axes.items()}
        size = self.size if is_small(self.run.sae) else 1  # a large SAE fills a chunk
        return Layout(
            dims=lengths,
            chunks=dict(zip(lengths, chunk_shape([*lengths.values()], size), strict=True)),
            variables=variables,
            coordinates={**coordinates, "log": (("log",), np.arange(logs) * log_every(self.run.steps))},
            attributes=attributes
            or {
                "superposition": FORMAT,
                MODELS: SAES,
                "config": json.dumps(self.config(), indent=1),
                "block_shape": [self.size],
                "history": list(terms),
                "loss": "the last logged value of what training minimises",
                "provenance": json.dumps(provenance()),
            },
        )

    def config(self) -> dict[str, Any]:
        """What decides the results, as JSON: the run, the axes and the data."""
        stream = self.fitting.stream
        of_data = {"source": recipe(stream.source), "data": checksum(stream)}
        config = {"run": recipe(self.run), "axes": self.axes} | of_data
        plain: dict[str, Any] = json.loads(json.dumps(config, default=float))
        return plain

    def adopt(self, attributes: Mapping[str, Any]) -> None:
        """Take over the number of SAEs in a block of a store."""
        (size,) = map(int, attributes["block_shape"])
        if not 1 <= size <= len(self.rows):
            raise ValueError(f"blocks of {size}")
        self.size = size

    def blocks(self) -> list[SAEBlock]:
        """The SAEs in product order, `size` at a time."""
        layout = self.layout()
        count = math.prod(layout.chunks.values())
        result = []
        for b, first in enumerate(range(0, len(self.rows), self.size)):
            rows = self.rows[first : first + self.size]
            corners = np.unravel_index(np.arange(first, first + len(rows), count), [*layout.dims.values()])
            regions = [
                tuple(slice(int(i), int(i) + c) for i, c in zip(corner, layout.chunks.values(), strict=True))
                for corner in zip(*corners, strict=True)
            ]
            result.append(SAEBlock(f"block-0-{b}", rows, regions, self.run.steps))
        return result

    def workers(self) -> int:
        """One a core, of small SAEs."""
        return workers(self.run)

    def environment(self) -> Environment:
        """What decides the bits of matrix products here."""
        return self.fitting.environment()

    def init(self, block: SAEBlock) -> tuple[Program, Inputs, State]:
        """Fresh SAEs at the rows of a block."""
        return self.fitting.init(block.rows)

    def alive(self, state: State) -> Array:
        """Which SAEs of a block are finite so far."""
        return state.alive

    def results(self, block: SAEBlock, inputs: Inputs, state: State) -> dict[str, np.ndarray]:
        """Parameters, numbers, histories and status of a trained block."""
        del inputs
        trained = self.fitting.trained(block.rows, state)
        values = {
            name: padded([one.parameters()[name] for one in trained]) for name in trained[0].parameters()
        }
        every = log_every(self.run.steps)
        logs = -(-self.run.steps // every)
        for term in trained[0].history:
            values[f"history_{term}"] = np.full((len(trained), logs), np.nan, np.float32)
            for row, one in zip(values[f"history_{term}"], trained, strict=True):
                row[one.steps // every] = one.history[term]
        measured = [self.fitting.numbers(one) for one in trained]
        values |= {name: np.array([numbers[name] for numbers in measured]) for name in MEASURED}
        for name, scale in zip(("scale_in", "scale_out"), self.fitting.scales, strict=True):
            values[name] = np.full(len(trained), scale)
        values["loss"] = np.array([one.loss for one in trained])
        values["fault"] = np.array([one.fault or "" for one in trained], object)
        values["status"] = np.array([DIVERGED if one.fault else DONE for one in trained], np.int8)
        return values


def chunk_shape(lengths: Sequence[int], size: int) -> list[int]:
    """The largest chunks of an array that blocks of `size` entries in product order are made of.

    A chunk is a run of entries in that order and divides both `size` and the axes, so that each is in one block.
    """
    shape = [1] * len(lengths)
    for k in reversed(range(len(lengths))):
        shape[k] = math.gcd(size, lengths[k])
        size //= shape[k]
        if shape[k] < lengths[k]:
            break
    return shape


def coordinate(values: Sequence[Any]) -> np.ndarray:
    """What labels an axis."""
    return np.array(values, object if isinstance(values[0], str) else None)


def padded(arrays: Sequence[Any]) -> np.ndarray:
    """Arrays as one, (arrays, ...), with NaN beyond those that are smaller than the largest."""
    sizes = np.max([np.shape(a) for a in arrays], 0) if np.ndim(arrays[0]) else ()
    whole = np.full((len(arrays), *sizes), np.nan, np.float32)
    for row, array in zip(whole, arrays, strict=True):
        row[tuple(map(slice, np.shape(array)))] = np.asarray(array)
    return whole
