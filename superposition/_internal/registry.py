"""Names that a room lists, read from its source: asking for them does not import the room, nor JAX."""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


@cache
def listed(room: str, registry: str) -> tuple[str, ...]:
    """The keys of the dict, or the entries of the tuple, that `superposition.<room>` assigns to `registry`."""
    value = _assigned(room, registry)
    if value is None:  # installed without sources
        return tuple(getattr(import_module(f"superposition.{room}"), registry))
    keys: list[Any] = value.keys if isinstance(value, ast.Dict) else value.elts  # type: ignore[attr-defined]
    return tuple(ast.literal_eval(key) for key in keys)


@cache
def classes(room: str, registry: str) -> tuple[str, ...]:
    """The names of the classes that are the values of a room's registry."""
    value = _assigned(room, registry)
    if value is None:
        return tuple(
            kind.__name__ for kind in getattr(import_module(f"superposition.{room}"), registry).values()
        )
    return tuple(name.id for name in value.values)  # type: ignore[attr-defined]


def _assigned(room: str, registry: str) -> ast.expr | None:
    """The expression that a room assigns to a name; None where there are no sources."""
    place = Path(__file__).parents[1].joinpath(*room.split("."))
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if source.is_file():
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == registry for target in targets):
                return node.value  # type: ignore[attr-defined,no-any-return]
    return None
