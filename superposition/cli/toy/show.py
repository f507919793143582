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

    Over density alone: W^T W, b and norms of the best seed, a column a density. Over density and
    importance_base at n_features = 2: the phase diagram of the second feature. Models with a hidden activation have
    neurons instead: what each is made of, over density alone.
    """
    from superposition import plot

    run, _ = stored(results)
    axes = set(results["loss"].dims) - {"seed"}
    by = "density" if "density" in results.coords else "sparsity"
    density = np.atleast_1d(results[by].values)
    density = 1 - density if by == "sparsity" else density
    flat, _ = by_setting(results)
    best = np.arange(flat.sizes["setting"]), best_seed(flat["loss"].values)
    title, written = _title(results), []
    if not tied(results):
        W = flat[run.model.input_weights].values[best]
        if axes == {by} and W.shape[1:] == (run.model.n_hidden, run.model.n_features):
            figure = plot.neurons(np.nan_to_num(W), [float(p) for p in density], signed=True, scale="neuron")
            counts = ", ".join(
                f"{int((geometry.concentration(w) > MONOSEMANTIC).sum())} at 1-S={p:g}"
                for p, w in zip(density, W, strict=True)
            )
            alt = f"Input weights of every neuron. Neurons with one weight of over 0.9 of their square: {counts}."
            written.append(plot.save(figure, folder / "neurons.png", alt=alt, title=title))
        return written
    W, b = flat["W"].values[best], flat["b"].values[best]
    if axes == {by} and "n_hidden" in results["W"].dims and "n_features" in results["W"].dims:
        figure = plot.columns(
            np.nan_to_num(W),
            np.nan_to_num(b),
            [float(p) for p in density],
            importance_label=f"{run.importance_base:g}^i",
            groups=[(type(run.model).__name__, 0, len(density) - 1, "")],
        )
        counts = ", ".join(f"{c} at 1-S={p:g}" for p, c in zip(density, geometry.represented(W), strict=True))
        alt = f"W^T W, b and feature norms. Features with norm over 1/2: {counts}."
        written.append(plot.save(figure, folder / "columns.png", alt=alt, title=title))
    if axes == {by, "importance_base"} and run.model.n_features == 2 and min(results["loss"].shape[:2]) > 1:
        grid = results["loss"].isel(seed=0).transpose(by, "importance_base")
        order = results["loss"].isel(seed=0).dims
        shape = tuple(results.sizes[d] for d in order)
        norm, interference = (f(W)[:, -1].reshape(shape) for f in (geometry.norms, geometry.interference))
        if order != grid.dims:
            norm, interference = norm.T, interference.T
        figure = plot.phase_diagram(
            [plot.Measured("Trained, best of seeds", norm, interference)],
            results["importance_base"].values,
            density,
        )
        share = float(((norm > 0.5) & (interference > 0.5)).mean())
        alt = f"Phase diagram of the second feature; it is in superposition in {100 * share:.0f} % of cells."
        written.append(plot.save(figure, folder / "phase_diagram.png", alt=alt, title=title))
    return written
