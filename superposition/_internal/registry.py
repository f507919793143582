"""Names that a room lists, read from its source: asking for them does not import the room, nor JAX."""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path


@cache
def listed(room: str, registry: str) -> tuple[str, ...]:
    """The keys of the dict, or the entries of the tuple, that `superposition.<room>` assigns to `registry`."""
    place = Path(__file__).parents[1].joinpath(*room.split("."))
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if source.is_file():
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == registry for target in targets):
                value = ast.literal_eval(ast.unparse(_names(node.value)))  # type: ignore[attr-defined]
                return tuple(value)
    return tuple(getattr(import_module(f"superposition.{room}"), registry))  # installed without sources


def _names(value: ast.expr) -> ast.expr:
    """A dict's keys as a list; anything else as it is."""
    return ast.List([key for key in value.keys if key is not None]) if isinstance(value, ast.Dict) else value
