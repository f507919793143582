"""What a sweep found: one row a setting in the terminal, the paper's drawings as files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from superposition import geometry
from superposition.sweep import DIVERGED, PENDING

MAX_ROWS = 60


def summary(results: xr.Dataset) -> None:
    """Print loss and what is represented, best seed first chosen, one row for each other setting."""
    table = Table(title=_title(results))
    others = [d for d in results["loss"].dims if d != "seed"]
    for name in (*others, "best loss", "mean loss", "represented", "superposed", "unfinished", "diverged"):
        table.add_column(str(name), justify="right")
    rows = best_rows(results)
    for row in rows[:MAX_ROWS]:
        table.add_row(*row)
    Console().print(table)
    if len(rows) > MAX_ROWS:
        print(f"... and {len(rows) - MAX_ROWS} more settings")


def _title(results: xr.Dataset) -> str:
    run = json.loads(results.attrs["config"])["run"]
    model = run["model"]
    return f"{model['recipe']} n={model['n_features']} m={model['n_hidden']}, {run['steps']} steps"


def best_rows(results: xr.Dataset) -> list[tuple[str, ...]]:
    """The table's rows: settings, losses, features with norm > 1/2, and with interference > 1/2."""
    flat, dims = by_setting(results)
    loss = np.where(flat["status"].values == PENDING, np.nan, flat["loss"].values)
    best = best_seed(loss)
    W = flat["W"].values[np.arange(len(best)), best]
    W = np.nan_to_num(W)
    rows = []
    for k in range(len(best)):
        finite = loss[k][np.isfinite(loss[k])]
        status = flat["status"].values[k]
        numbers = (
            (f"{finite.min():.6g}", f"{finite.mean():.6g}") if len(finite) else ("-", "-")
        )
        represented = geometry.norms(W[k]) > 0.5
        superposed = represented & (geometry.interference(W[k]) > 0.5)
        labels = [f"{np.asarray(flat[d].values[k]).item():.6g}" if _is_number(flat[d]) else str(flat[d].values[k]) for d in dims]
        counts = (represented.sum(), superposed.sum(), (status == PENDING).sum(), (status == DIVERGED).sum())
        rows.append((*labels, *numbers, *(str(c) for c in counts)))
    return rows


def _is_number(values: xr.DataArray) -> bool:
    return np.issubdtype(values.dtype, np.number)


def by_setting(results: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """Results as (setting, seed, ...), and the names of the axes that make a setting."""
    dims = [str(d) for d in results["loss"].dims if d != "seed"]
    data = results if "seed" in results["loss"].dims else results.expand_dims("seed")
    if not dims:
        return data.expand_dims("setting"), []
    flat = data.stack(setting=dims, create_index=False)
    return flat.transpose("setting", "seed", ...), dims


def best_seed(loss: np.ndarray) -> np.ndarray:
    """Index of the lowest finite loss along the last axis; 0 where there is none."""
    return np.argmin(np.where(np.isfinite(loss), loss, np.inf), -1)


def figures(results: xr.Dataset, folder: Path) -> list[Path]:
    """Draw what the axes allow: columns over density, and a phase diagram over density x importance_base."""
    from superposition import plot

    loss = results["loss"]
    run: dict[str, Any] = json.loads(results.attrs["config"])["run"]
    written = []
    sizes_fixed = {"n_hidden", "n_features"} <= set(results["W"].dims)
    density_name = "density" if "density" in loss.dims else "sparsity"
    if set(loss.dims) <= {density_name, "seed"} and sizes_fixed:
        written.append(_columns(results, run, density_name, folder, plot))
    if set(loss.dims) == {density_name, "importance_base", "seed"} and sizes_fixed:
        written.append(_phase(results, density_name, folder, plot))
    return written


def _columns(results: xr.Dataset, run: dict[str, Any], density_name: str, folder: Path, plot: Any) -> Path:
    flat, _ = by_setting(results)
    best = best_seed(flat["loss"].values)
    rows = np.arange(len(best))
    density = np.atleast_1d(results[density_name].values)
    density = 1 - density if density_name == "sparsity" else density
    raise NotImplementedError(plot, run, rows, density)


def _phase(results: xr.Dataset, density_name: str, folder: Path, plot: Any) -> Path:
    raise NotImplementedError
