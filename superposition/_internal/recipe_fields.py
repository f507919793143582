"""The fields of recipes with their one-line docstrings, read from source: nothing is imported, nor JAX."""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]


class Field(NamedTuple):
    """A field of a dataclass: its annotation and default as they are written ("" for none), and its docstring, or ""."""

    annotation: str
    default: str
    doc: str


@cache
def recipe_fields(room: str, registry: str) -> dict[str, dict[str, Field]]:
    """Of every class in the dict `superposition.<room>.<registry>`: field name -> Field, inherited fields first.

    A field that a subclass writes again keeps its place, and its docstring where the subclass gives none.
    """
    place = f"superposition.{room}"
    entries = next(
        node.value
        for node in _tree(place).body
        if isinstance(node, ast.AnnAssign | ast.Assign)
        and registry in (getattr(target, "id", None) for target in _targets(node))
    )
    assert isinstance(entries, ast.Dict)
    names = [ast.literal_eval(key) for key in entries.keys if key is not None]
    return {name: _fields(place, value) for name, value in zip(names, entries.values, strict=True)}


@cache
def class_fields(module: str, name: str) -> dict[str, Field]:
    """Of the class `module.name`, such as superposition.training.toy.ToyRun: field name -> Field, inherited ones first."""
    return _fields(module, ast.Name(name))


def _targets(node: ast.AnnAssign | ast.Assign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _fields(module: str, reference: ast.expr) -> dict[str, Field]:
    """Fields of the class that `reference` (a name, or module.name) means in `module`."""
    found = _class(module, reference)
    if found is None:
        return {}
    home, definition = found
    fields: dict[str, Field] = {}
    for base in definition.bases:
        fields |= _fields(home, base)
    for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        annotation, name = ast.unparse(node.annotation), node.target.id
        if annotation.startswith("ClassVar"):
            continue
        doc = fields[name].doc if name in fields else ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            doc = str(following.value.value)
        default = "" if node.value is None else ast.unparse(node.value)
        fields[name] = Field(annotation, default, doc)
    return fields


def _class(module: str, reference: ast.expr) -> tuple[str, ast.ClassDef] | None:
    """The module that defines a class, and the definition; None for one of another library."""
    tree = _tree(module)
    if isinstance(reference, ast.Attribute):
        home = _imported(tree).get(ast.unparse(reference.value))
        return None if home is None else _class(home, ast.Name(reference.attr))
    if not isinstance(reference, ast.Name):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == reference.id:
            return module, node
    path = _imported(tree).get(reference.id)
    return None if path is None else _class(path.rpartition(".")[0], reference)


def _imported(tree: ast.Module) -> dict[str, str]:
    """Name -> where it is from, of what a module takes from this package."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("superposition")
        for alias in node.names
    }


@cache
def _tree(module: str) -> ast.Module:
    place = PACKAGE.joinpath(*module.split(".")[1:])
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(source.read_text(encoding="utf-8"))
