"""What every recipe shows of itself: one line without the settings that are as usual, and a table in a notebook."""

from dataclasses import MISSING, Field, fields
from typing import Any

from superposition._internal import html

# Sizes are shown even where they are the default: without them a model says nothing.
SIZES = frozenset({"n_features", "n_hidden", "d_in", "d_sae", "k"})


class Recipe:
    """A frozen dataclass of settings whose repr leaves out what equals its default.

    Where every setting has a repr that builds it again, so has the recipe: eval(repr(recipe)) == recipe. What is stored
    of a recipe are its fields (`storage.provenance.recipe`), never its repr.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # `dataclass` writes a repr into every class that has none of its own, and so over an inherited one.
        if "__repr__" not in vars(cls):
            cls.__repr__ = Recipe.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        changed, usual = _settings(self)
        shown = {name: value for name, value in (changed | usual).items() if name in changed or name in SIZES}
        order = [field.name for field in fields(self)]  # type: ignore[arg-type]
        parts = [f"{name}={shown[name]!r}" for name in order if shown.get(name) is not None]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        changed, usual = _settings(self)
        rows = [(name, _short(value), "") for name, value in changed.items()]
        rows += [(name, _short(value), "default") for name, value in usual.items()]
        return html.table(rows, type(self).__name__)


def _settings(recipe: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields that differ from their defaults, and the others; data are no setting."""
    changed: dict[str, Any] = {}
    usual: dict[str, Any] = {}
    for field in fields(recipe):
        if field.repr:
            value = getattr(recipe, field.name)
            (usual if _is_usual(value, field) else changed)[field.name] = value
    return changed, usual


def _is_usual(value: Any, field: Field[Any]) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    if default is MISSING or type(value) is not type(default) or hasattr(value, "shape"):
        return False  # arrays, which a program may be tracing, are not compared
    return bool(value == default)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
