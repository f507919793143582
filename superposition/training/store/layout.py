"""The arrays of a sweep's Zarr store: which there are, over which axes, and in which chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from superposition.training.protocol import Region


@dataclass(frozen=True)
class Layout:
    """Everything of a store that is known before the first model is trained.

    dims: the axes and their lengths; chunks: how much of every axis a chunk holds, and a block holds whole chunks.
    variables: name -> (its own dimensions, dtype, fill value), in which a run says what its results are; `status` is
    one of them. coordinates: name -> (dimensions, values).
    """

    dims: Mapping[str, int]
    chunks: Mapping[str, int]
    variables: Mapping[str, tuple[Mapping[str, int], str, Any]]
    coordinates: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    attributes: Mapping[str, Any]

    def fill(self, root: zarr.Group) -> None:
        """Make the arrays in an empty group: coordinates with their values, variables with none."""
        root.attrs.update(dict(self.attributes))
        for name, (own, values) in self.coordinates.items():
            kind: Any = str if values.dtype == object else values.dtype
            root.create_array(name, shape=values.shape, dtype=kind, dimension_names=own)[...] = values
        for name, (sizes, dtype, fill) in self.variables.items():
            root.create_array(
                name,
                shape=(*self.dims.values(), *sizes.values()),
                chunks=(*(self.chunks[d] for d in self.dims), *sizes.values()),
                dtype=str if dtype == "str" else dtype,  # type: ignore[arg-type]
                fill_value=fill,
                dimension_names=(*self.dims, *sizes),
                compressors=(ZstdCodec(level=1), Crc32cCodec()),
            )

    def chunk(self, name: str, region: Region) -> str:
        """The key of the chunk that holds a region of a variable."""
        starts = [s.start // self.chunks[d] for d, s in zip(self.dims, region, strict=True)]
        return "/".join([name, "c", *map(str, starts), *("0" for _ in self.variables[name][0])])
