"""`superposition sweep` and `superposition show`: train toy models, and show what was trained."""

import sys

from superposition.cli.toy.config import ShowConfig
from superposition.cli.toy.show import figures, summary
from superposition.cli.toy.sweep_config import SweepConfig
from superposition.training import open_sweep
from superposition.training.progress import terminal


def sweep(config: SweepConfig) -> None:
    """Train every model of the grid, print a table, and say where the results are."""
    if min(config.n_hidden) >= min(config.n_features):
        print(
            f"n_hidden={min(config.n_hidden)} is no less than n_features={min(config.n_features)}: every feature has"
            " room for a dimension of its own, and none needs superposition",
            file=sys.stderr,
        )
    summary(config.run(progress=terminal))
    print(f"results in {config.out}; see them with: superposition show {config.out}")


def show(config: ShowConfig) -> None:
    """Print a table of a stored sweep and write its figures."""
    results = open_sweep(config.results)
    summary(results)
    folder = config.figures or config.results.with_suffix(".figures")
    for path in figures(results, folder):
        print(path)
