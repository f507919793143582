"""What a sweep found: one row a setting in the terminal, the paper's drawings as files."""

from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from superposition import geometry
from superposition.training import DIVERGED, PENDING
from superposition.training.toy_results import stored

MAX_ROWS = 60
MONOSEMANTIC = 0.9  # share of a neuron's squared weights from which one feature has it


def summary(results: xr.Dataset) -> None:
    """Print loss and what is represented, best seed first chosen, one row for each other setting."""
    table = Table(title=_title(results))
    others = [d for d in results["loss"].dims if d != "seed"]
    of_features = ("norm>½", "superposed") if tied(results) else ()
    for name in (*others, "best loss", "mean loss", *of_features, "pending", "diverged"):
        table.add_column(str(name), justify="right", no_wrap=True)
    rows = best_rows(results)
    for row in rows[:MAX_ROWS]:
        table.add_row(*row)
    Console().print(table)
    if len(rows) > MAX_ROWS:
        print(f"... and {len(rows) - MAX_ROWS} more settings")


def _title(results: xr.Dataset) -> str:
    run, _ = stored(results)
    model = run.model
    return f"{type(model).__name__} n={model.n_features} m={model.n_hidden}, {run.steps} steps"


def best_rows(results: xr.Dataset) -> list[tuple[str, ...]]:
    """The table's rows: settings, losses, features with norm > 1/2, and with interference > 1/2."""
    flat, dims = by_setting(results)
    loss = np.where(flat["status"].values == PENDING, np.nan, flat["loss"].values)
    best = np.arange(len(loss)), best_seed(loss)
    W = np.nan_to_num(flat["W"].values[best]) if tied(results) else None
    rows = []
    for k in range(len(loss)):
        finite = loss[k][np.isfinite(loss[k])]
        status = flat["status"].values[k]
        numbers = (f"{finite.min():.5g}", f"{finite.mean():.5g}") if len(finite) else ("-", "-")
        of_features = [] if W is None else _represented(W[k])
        labels = [
            f"{np.asarray(flat[d].values[k]).item():.6g}" if _is_number(flat[d]) else str(flat[d].values[k])
            for d in dims
        ]
        counts = (*of_features, (status == PENDING).sum(), (status == DIVERGED).sum())
        rows.append((*labels, *numbers, *(str(c) for c in counts)))
    return rows


def tied(results: xr.Dataset) -> bool:
    """Whether the columns of W are the features' directions: a model without a hidden activation."""
    return stored(results)[0].model.linear_hidden


def _represented(W: np.ndarray) -> list[int]:
    """Features with norm > 1/2, and how many of them have interference > 1/2; W (m, n)."""
    represented = geometry.norms(W) > 0.5
    return [int(represented.sum()), int((represented & (geometry.interference(W) > 0.5)).sum())]


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
    """Draw what the axes allow into `folder`; returns the files.

    Over density alone, or of one setting: W^T W, b and norms of the best seed, a column a density; of models with a
    hidden activation what each neuron is made of. Over density and importance_base at n_features = 2: the phase diagram
    of the second feature.
    """
    from superposition import plot
    from superposition.plot.models import grid_of, toy_models

    model, title, drawn = stored(results)[0].model, _title(results), None
    axes = {str(d) for d in results["loss"].dims} - {"seed"}
    rates = axes & {"density", "sparsity"}
    if axes == rates and (models := toy_models(results)) is not None:
        W = np.nan_to_num(models.W)
        if tied(results):
            group = (type(model).__name__, 0, len(W) - 1, "")
            drawn = "columns", plot.columns(results, groups=[group])
            alt, counts = "W^T W, b and feature norms. Features with norm over 1/2", geometry.represented(W)
        else:
            drawn = "neurons", plot.neurons(results, signed=True, scale="neuron")
            alt = "Input weights of every neuron. Neurons with one weight of over 0.9 of their square"
            counts = (geometry.concentration(W) > MONOSEMANTIC).sum(-1)
        where = [t if isinstance(t, str) else f"1-S={t:g}" for t in models.titles]
        alt += f": {', '.join(f'{c} at {t}' for c, t in zip(counts, where, strict=True))}."
    elif (
        axes == {*rates, "importance_base"}
        and tied(results)
        and model.n_features == 2
        and min(results.sizes[axis] for axis in axes) > 1
        and (grid := grid_of(results)) is not None
    ):
        share = float(((grid.norm > 0.5) & (grid.interference > 0.5)).mean())
        drawn = "phase_diagram", plot.phase_diagram(results)
        alt = f"Phase diagram of the second feature; it is in superposition in {100 * share:.0f} % of cells."
    return [] if drawn is None else [plot.save(drawn[1], folder / f"{drawn[0]}.png", alt=alt, title=title)]
