"""The importance of features that a toy model of a sweep was trained with."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def importance(results: "xr.Dataset", cell: dict[str, Any], n: int) -> np.ndarray:
    """I (n,) of a cell: importance x importance_base^i, each the run's own or the cell's."""
    run = json.loads(results.attrs["config"])["run"]

    def value(name: str) -> Any:
        if f"{name}_values" in results:  # vectors are labelled by their number
            return results[f"{name}_values"].values[cell[name]]
        return cell.get(name, run[name])

    scale = np.asarray(value("importance"), float)
    return np.broadcast_to(scale, (n,)) * np.asarray(value("importance_base"), float) ** np.arange(n)
