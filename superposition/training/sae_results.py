"""The SAEs of a grid as a sweep: labelled, and padded to one shape in its dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from superposition.training.sweeps import Sweep
from superposition.training.trained import Trained


def sae_sweep(trained: Sequence[Trained], axes: Mapping[str, Sequence[Any]]) -> Sweep:
    """The sweep of SAEs given in product order."""
    shape = tuple(map(len, axes.values()))
    loss = np.array([np.nan if one.fault else one.loss for one in trained]).reshape(shape)

    def point(index: tuple[int, ...]) -> Trained:
        return trained[int(np.ravel_multi_index(index, shape))]

    return Sweep(axes, point, loss, lambda: _labelled(trained, axes))


DIMS = {
    "W_enc": ("d_in", "d_sae"), "W_dec": ("d_sae", "d_out"), "b_dec": ("d_out",), "W_skip": ("d_out", "d_in"),
    "b_gate": ("d_sae",), "b_mag": ("d_sae",), "b_enc": ("d_sae",), "r_mag": ("d_sae",),
}  # fmt: skip


def _labelled(trained: Sequence[Trained], axes: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Parameters (padded with NaN to the widest), history, loss and faults over the axes."""
    names = tuple(axes)
    shape = tuple(map(len, axes.values()))
    variables: dict[str, Any] = {"loss": (names, np.array([one.loss for one in trained]).reshape(shape))}
    variables["fault"] = (names, np.array([one.fault or "" for one in trained], object).reshape(shape))
    sae = trained[0].sae
    for name, first in trained[0].parameters().items():
        dims = DIMS.get(name, ("d_sae",) * np.ndim(first))
        dims = tuple("d_in" if d == "d_out" and sae.d_out is None else d for d in dims)
        variables[name] = (
            (*names, *dims),
            _padded([np.asarray(t.parameters()[name]) for t in trained], shape),
        )
    for name in trained[0].history:
        rows = _padded([one.history[name] for one in trained], shape)
        variables[f"history_{name}"] = ((*names, "log"), rows)
    longest = max((one.steps for one in trained), key=len)
    coordinates: dict[str, Any] = {
        name: np.array(values, object if isinstance(values[0], str) else None)
        for name, values in axes.items()
    }
    return xr.Dataset(variables, {**coordinates, "log": longest}, {"superposition": "saes"})


def _padded(arrays: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    sizes = np.max([a.shape for a in arrays], 0) if arrays[0].ndim else ()
    whole = np.full((len(arrays), *sizes), np.nan, np.float32)
    for row, array in zip(whole, arrays, strict=True):
        row[tuple(map(slice, array.shape))] = array
    return whole.reshape(*shape, *sizes)
