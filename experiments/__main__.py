"""`python -m experiments`: list the experiments; `--all` runs them and ends with the verdicts."""

import importlib
import pkgutil
import sys
from types import ModuleType

import experiments
from experiments import _base, _report


def discover() -> list[ModuleType]:
    """Every experiment, by file name: what has a `draw`. Scripts that make a model have none."""
    names = sorted(m.name for m in pkgutil.iter_modules(experiments.__path__) if not m.name.startswith("_"))
    modules = [importlib.import_module(f"experiments.{name}") for name in names]
    return [module for module in modules if hasattr(module, "draw")]


def run_all(quick: bool) -> int:
    """Run every experiment; 1 if a verdict is not the expected one."""
    folder = _base.FIGURES / "quick" if quick else _base.FIGURES
    claims = []
    for module in discover():
        claims += _base.execute(module, module.Config.quick() if quick else module.Config(), folder).claims
    _report.show(claims)
    print(f"pictures: {folder}/*.png   report: {folder}/REPORT.md")
    return 0 if quick else _report.status(claims)


def main() -> None:
    """List, or run all."""
    arguments = set(sys.argv[1:])
    if not arguments <= {"--all", "--quick"}:
        sys.exit("usage: python -m experiments [--all [--quick]], or python -m experiments.<name> --help")
    if "--all" in arguments:
        sys.exit(run_all("--quick" in arguments))
    for module in discover():
        print(f"{module.__name__.rsplit('.', 1)[-1]:16} {_base.title_of(module)}")


if __name__ == "__main__":
    main()
