"""`superposition sweep` and `superposition show`: train toy models, and show what was trained."""

import sys
from typing import Any

from superposition.cli.toy.config import ShowConfig, SweepConfig
from superposition.cli.toy.show import figures, summary
from superposition.training import open_sweep
from superposition.training.progress import terminal
from superposition.training.toy_sweep import sweep_grid


def sweep(config: SweepConfig) -> str:
    """Train every model of the grid and print a table; returns where the results are."""
    run, axes = config.plan()
    hidden, features = (
        min(axes.get(name, (getattr(run.model, name),))) for name in ("n_hidden", "n_features")
    )
    if hidden >= features:
        print(
            f"n_hidden={hidden} is no less than n_features={features}: every feature has room for a dimension of its own,"
            " and none needs superposition",
            file=sys.stderr,
        )
    options: dict[str, Any] = {
        "resume": config.resume,
        "allow_mixed": config.allow_mixed,
        "memory_gb": config.memory_gb,
    }
    summary(sweep_grid(run, axes, out=config.out, progress=terminal, **options))
    return f"results in {config.out}; see them with: superposition show {config.out}"


def show(config: ShowConfig) -> str:
    """Print a table of a stored sweep and write its figures; returns their names."""
    results = open_sweep(config.results)
    summary(results)
    folder = config.figures or config.results.with_suffix(".figures")
    return "\n".join(map(str, figures(results, folder)))
