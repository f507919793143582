"""Every public name says what it is and has an example that runs (the examples themselves run as doctests)."""

import doctest
import importlib
import inspect
import pkgutil
import types

import pytest

import superposition as sp

# Modules without a list of their own: their public names are those that they define.
UNLISTED = ("superposition.expected_loss",)
HELP = {
    "superposition.SweepConfig": "plan"
}  # its docstring is the help of a command; this method has the example
ALIASES = (types.GenericAlias, types.UnionType)  # names of types, which have no docstring of their own


def _modules():
    """Every public module that says what it offers, the package and the rooms first."""
    yield sp
    for found in pkgutil.walk_packages(sp.__path__, "superposition."):
        private = any(part.startswith("_") for part in found.name.split("."))
        if private or found.name.startswith("superposition.cli"):
            continue
        module = importlib.import_module(found.name)
        if hasattr(module, "__all__") or found.name in UNLISTED:
            yield module


def _names(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _exported():
    """Dotted name -> value, each value once, under the first name that it has: classes and functions, no constants."""
    known, result = set(), {}
    for module in _modules():
        for name in _names(module):
            value = getattr(module, name)
            named = inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "__wrapped__")
            if not named or isinstance(value, ALIASES) or id(value) in known:
                continue
            known.add(id(value))
            result[f"{module.__name__}.{name}"] = value
    return result


EXPORTED = _exported()


@pytest.mark.parametrize("name", EXPORTED)
def test_every_public_name_has_an_example(name):
    value = EXPORTED[name]
    if name in HELP:
        value = getattr(value, HELP[name])
    assert value.__doc__, f"{name} has no docstring"
    assert doctest.DocTestParser().get_examples(value.__doc__), (
        f"the docstring of {name} has no example (>>>): show in a line or two what it is for"
    )


def test_the_list_of_public_names_is_not_empty_by_mistake():
    for name in (
        "superposition.fit",
        "superposition.metrics.l0",
        "superposition.expected_loss.expected_loss",
    ):
        assert name in EXPORTED
    assert len(EXPORTED) > 250
