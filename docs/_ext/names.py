"""The public names of the library: those of `dir(superposition)`, of every room, and of modules that list theirs."""

import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import superposition as sp
from docs._ext import source


class Undocumented(Exception):
    """A public name of which nothing is said, or that cannot be found."""


class Name(NamedTuple):
    """A public name: the module that offers it, the name, what it is, and what its docstring or comment says."""

    module: str
    name: str
    value: Any
    doc: str

    @property
    def full(self) -> str:
        """The dotted name."""
        return f"{self.module}.{self.name}"

    @property
    def line(self) -> str:
        """What it is, in a line."""
        return " ".join(self.doc.strip().split("\n\n")[0].split())


@cache
def rooms() -> tuple[str, ...]:
    """The rooms of the library, as `dir(superposition)` has them."""
    return tuple(name for name in sp.__all__ if inspect.ismodule(getattr(sp, name)))


def offered(module: ModuleType) -> list[str]:
    """The names that a module offers: its list, or what it defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


@cache
def submodules(room: str) -> tuple[str, ...]:
    """The public modules below a room, by dotted name."""
    package = importlib.import_module(f"superposition.{room}")
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return tuple(one.name for one in found if not any(part.startswith("_") for part in one.name.split(".")))


def _name(module: str, name: str) -> Name:
    try:
        value = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise Undocumented(f"{module} lists {name}, which it has not") from error
    if is_constant(value):
        doc = source.constant_doc(*source.home(module, name))
    else:
        doc = inspect.getdoc(value) or ""
        if inspect.isclass(value) and "__doc__" not in vars(value):
            doc = ""
    if not doc.strip():
        raise Undocumented(
            f"nothing is said of {module}.{name}: give it a docstring, or a comment if it is a constant"
        )
    return Name(module, name, value, doc)


def is_constant(value: Any) -> bool:
    """Whether a name is a number, a table or an alias of a type, which have no docstring of their own."""
    return not (inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "__wrapped__"))


@cache
def of_room(room: str) -> tuple[tuple[str, tuple[Name, ...]], ...]:
    """(module, names) of a room: its own, and those of modules in it that list theirs; each value once."""
    known: set[tuple[int | str, str]] = set()
    result = []
    for module in (f"superposition.{room}", *submodules(room)):
        imported = importlib.import_module(module)
        if module.count(".") > 1 and not hasattr(imported, "__all__"):
            continue
        names = []
        for name in sorted(offered(imported), key=lambda n: (not n.isupper(), n[0].islower(), n.lower())):
            one = _name(module, name)
            origin = source.home(module, name) if is_constant(one.value) else (id(one.value), name)
            if origin not in known:
                names.append(one)
            known.add(origin)
        if names or module.count(".") == 1:
            result.append((module, tuple(names)))
    return tuple(result)


@cache
def of_top() -> tuple[tuple[Name, ...], tuple[tuple[str, Name], ...]]:
    """The names of `superposition` itself: those described there, and (name, where it is described) of the others."""
    elsewhere = {(id(n.value), n.name): n for room in rooms() for _, names in of_room(room) for n in names}
    own, linked = [], []
    for name in sp.__all__:
        value = getattr(sp, name)
        if name in rooms() or name == "__version__":
            continue
        if (id(value), name) in elsewhere and not is_constant(value):
            linked.append((name, elsewhere[id(value), name]))
        else:
            own.append(_name("superposition", name))
    return tuple(own), tuple(linked)


@cache
def everything() -> tuple[Name, ...]:
    """Every public name, in the order of the pages."""
    return (*of_top()[0], *(n for room in rooms() for _, names in of_room(room) for n in names))


def others(room: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Of modules that list nothing: what they define and is not described with the room, each with its first line."""
    described = {id(n.value) for n in everything()}
    result = []
    for module in submodules(room):
        imported = importlib.import_module(module)
        if hasattr(imported, "__all__"):
            continue
        values = [(name, getattr(imported, name)) for name in offered(imported)]
        lines = [
            (name, source.first_line(value))
            for name, value in values
            if not is_constant(value) and id(value) not in described
        ]
        if lines:
            result.append((module, lines))
    return result
