"""`python -m experiments`: list the experiments; `--all` runs them and ends with the verdicts."""

import argparse
import importlib
import pkgutil
import sys
from types import ModuleType

import experiments
from experiments import _all, _base, _report


def discover() -> list[ModuleType]:
    """Every experiment, by file name: what has a `draw`. Scripts that make a model have none."""
    names = sorted(m.name for m in pkgutil.iter_modules(experiments.__path__) if not m.name.startswith("_"))
    modules = [importlib.import_module(f"experiments.{name}") for name in names]
    return [module for module in modules if hasattr(module, "draw")]


def run_all(quick: bool, jobs: int) -> int:
    """Run every experiment; 1 if a verdict is not the expected one."""
    folder = _base.FIGURES / "quick" if quick else _base.FIGURES
    claims = _all.run(discover(), quick, folder, jobs)
    _report.write(folder)
    _report.show(claims)
    print(f"pictures: {folder}/*.png   report: {folder}/REPORT.md")
    return 0 if quick else _report.status(claims)


def main() -> None:
    """List, or run all."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Lists the experiments. One of them: python -m experiments.<name> --help",
    )
    parser.add_argument("--all", action="store_true", help="run every experiment, and end with the verdicts")
    parser.add_argument(
        "--quick", action="store_true", help="small versions, into figures/quick: structure, not science"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes at once, up to 2.4 GB each (default 2)"
    )
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {arguments.jobs}")
    if arguments.all:
        sys.exit(run_all(arguments.quick, arguments.jobs))
    for module in discover():
        print(f"{module.__name__.rsplit('.', 1)[-1]:24} {_base.title_of(module)}")


if __name__ == "__main__":
    main()
