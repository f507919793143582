"""Finds experiments by name: whatever stands in the folder of a work is one, and nothing has to list it."""

import ast
import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from superposition.errors import ConfigError

HERE = Path(__file__).parent.parent
WORKS = {
    "toy_models": "Toy Models of Superposition (Elhage et al. 2022)",
    "autoencoders": "Sparse autoencoders where the truth is known",
    "language_model": "Sparse autoencoders on the small language model",
}
"""The folders that hold experiments, and what their experiments are about."""
SCRIPTS = "scripts"  # programs that make a model: they have no picture and no claims
NO_EXPERIMENT = "shared"  # what the experiments of one work share


def members(folder: str) -> dict[str, str]:
    """Return the modules of a folder by name: {"intro": "experiments.toy_models.intro", ...}."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(HERE / folder)]))
    return {
        name: f"experiments.{folder}.{name}"
        for name in names
        if name != NO_EXPERIMENT and not name.startswith("_")
    }


def experiments() -> dict[str, str]:
    """Return the module of every experiment by the experiment's name."""
    return {name: path for work in WORKS for name, path in members(work).items()}


def scripts() -> dict[str, str]:
    """Return the module of every script that can be run by the script's name."""
    return members(SCRIPTS)


def load(name: str) -> ModuleType:
    """Import the experiment or the script of this name; ConfigError, with the nearest name, if there is none."""
    known = experiments() | scripts()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "`python -m experiments` lists them"
        raise ConfigError(f"there is no experiment {name!r}; {hint}")
    return importlib.import_module(known[name])


def load_all() -> list[ModuleType]:
    """Import every experiment, in the order of their names."""
    found = experiments()
    return [importlib.import_module(found[name]) for name in sorted(found)]


def source(path: str) -> Path:
    """Return the file that holds the docstring of a module."""
    file = HERE.parent / path.replace(".", "/")
    return file / "__init__.py" if file.is_dir() else file.with_suffix(".py")


def title(path: str) -> str:
    """Return the first line of a module's docstring without importing the module."""
    return first_line(ast.get_docstring(ast.parse(source(path).read_text())))


def first_line(docstring: str | None) -> str:
    """Return the first line of a docstring, which is the title of an experiment."""
    return (docstring or "").strip().split("\n")[0]


def name_of(module: ModuleType) -> str:
    """Return the name that an experiment goes by."""
    return module.__name__.rsplit(".", 1)[-1]
