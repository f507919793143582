"""`superposition sweep` and `superposition show`: train toy models, and show what was trained."""

import sys
from typing import Any

from superposition.cli.terminal import draw
from superposition.cli.toy.config import ShowConfig, SweepConfig
from superposition.evaluation.settings_table import settings_table
from superposition.training import open_sweep
from superposition.training.progress import terminal
from superposition.training.toy_results import title_of
from superposition.training.toy_sweep import sweep_grid


def sweep(config: SweepConfig) -> str:
    """Train every model of the grid and print a table; returns where the results are."""
    run, axes = config.plan()
    hidden, features = (min(axes.get(n, (getattr(run.model, n),))) for n in ("n_hidden", "n_features"))
    if hidden >= features:
        print(
            f"n_hidden={hidden} is no less than n_features={features}: every feature has room for a dimension of its own,"
            " and none needs superposition",
            file=sys.stderr,
        )
    results = sweep_grid(
        run,
        axes,
        out=config.out,
        progress=terminal,
        resume=config.resume,
        allow_mixed=config.allow_mixed,
        memory_gb=config.memory_gb,
    )
    _table(results)
    return f"results in {config.out}; see them with: superposition show {config.out}"


def show(config: ShowConfig) -> str:
    """Print a table of a stored sweep and write its figures; returns their names."""
    from superposition.plot.overview import save_sweep

    results = open_sweep(config.results)
    _table(results)
    folder = config.figures or config.results.with_suffix(".figures")
    return "\n".join(map(str, save_sweep(results, folder)))


def _table(results: Any) -> None:
    """Losses and what is represented, a row a setting."""
    rows = settings_table(results)
    draw(title_of(results), list(rows[0]), [list(row.values()) for row in rows], digits=6, fold=False)
