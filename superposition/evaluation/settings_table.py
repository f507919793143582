"""What a sweep of toy models found, one row for each setting: for a table, or a data frame."""

from typing import Any

import numpy as np
import xarray as xr

from superposition import geometry
from superposition.training import DIVERGED, PENDING
from superposition.training.sweeps import Sweep
from superposition.training.toy_results import stored


def settings_table(results: Sweep | xr.Dataset) -> list[dict[str, Any]]:
    """One row for each setting of a sweep of toy models, over its seeds.

    A row has the setting's place on every axis but `seed`; the best and the mean loss of its seeds, None where none is
    finite; of the best seed how many features have norm over 1/2 and how many of those have interference over 1/2, for
    models without a hidden activation; and how many models are pending and how many diverged.

    >>> import superposition as sp
    >>> run = sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64)
    >>> rows = settings_table(sp.sweep(run, {"density": (0.1, 0.5), "seed": range(3)}))
    >>> list(rows[0])
    ['density', 'best loss', 'mean loss', 'norm>½', 'superposed', 'pending', 'diverged']
    """
    data = results.dataset if isinstance(results, Sweep) else results
    dims = [str(d) for d in data["loss"].dims if d != "seed"]
    data = data if "seed" in data["loss"].dims else data.expand_dims("seed")
    flat = data.stack(setting=dims, create_index=False) if dims else data.expand_dims("setting")
    flat = flat.transpose("setting", "seed", ...)
    status = flat["status"].values
    loss = np.where(status == PENDING, np.nan, flat["loss"].values)
    finite = np.where(np.isfinite(loss), loss, np.inf)
    best = np.argmin(finite, -1)
    has_directions = stored(data)[0].model.linear_hidden
    rows = []
    for k, seed in enumerate(best):
        good = loss[k][np.isfinite(loss[k])]
        row = {d: flat[d].values[k].item() for d in dims}
        row |= (
            {"best loss": float(good.min()), "mean loss": float(good.mean())}
            if len(good)
            else {
                "best loss": None,
                "mean loss": None,
            }
        )
        if has_directions:
            W = np.nan_to_num(flat["W"].values[k, seed])
            represented = geometry.norms(W) > 0.5
            row["norm>½"] = int(represented.sum())
            row["superposed"] = int((represented & (geometry.interference(W) > 0.5)).sum())
        rows.append(
            row | {n: int((status[k] == s).sum()) for n, s in (("pending", PENDING), ("diverged", DIVERGED))}
        )
    return rows
