"""What only the source of a public name says: where it is defined, annotations as written, and comments on fields."""

import ast
import importlib
import inspect
import io
import textwrap
import tokenize
from functools import cache
from types import ModuleType
from typing import Any

ModuleSource = tuple[ast.Module, dict[int, str], list[str]]


@cache
def parsed(module: str) -> ModuleSource:
    """The syntax tree of a module, its comments by line, and its lines."""
    text = inspect.getsource(importlib.import_module(module))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {t.start[0]: t.string.lstrip("#: ").rstrip() for t in tokens if t.type == tokenize.COMMENT}
    return ast.parse(text), comments, text.splitlines()


def home(module: str, name: str) -> tuple[str, str]:
    """The module that defines a name which `module` offers, and the name that it has there."""
    tree = parsed(module)[0]
    if assigned(module, name) is not None:
        return module, name
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("superposition"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return home(node.module, alias.name)
    return module, name


def assigned(module: str, name: str) -> ast.Assign | ast.AnnAssign | None:
    """The statement at the top of a module that assigns a name."""
    for node in parsed(module)[0].body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [t.id for t in targets if isinstance(t, ast.Name)]
        names += [
            e.id for t in targets if isinstance(t, ast.Tuple) for e in t.elts if isinstance(e, ast.Name)
        ]
        if name in names and isinstance(node, ast.Assign | ast.AnnAssign):
            return node
    return None


def constant_doc(module: str, name: str) -> str:
    """What the source says of a constant: the string below it, the comment behind it, or the comment above it."""
    node = assigned(module, name)
    if node is None:
        return ""
    tree, comments, lines = parsed(module)
    return _said(node, tree.body, comments, lines)


def _said(node: ast.stmt, body: list[ast.stmt], comments: dict[int, str], lines: list[str]) -> str:
    after = body[body.index(node) + 1 :]
    below = after[0].value if after and isinstance(after[0], ast.Expr) else None
    if isinstance(below, ast.Constant) and isinstance(below.value, str):
        return inspect.cleandoc(below.value)
    behind = [comments[i] for i in range(node.lineno, (node.end_lineno or node.lineno) + 1) if i in comments]
    if node.lineno == node.end_lineno and behind:
        return _sentence(behind[0])
    above: list[str] = []
    i = node.lineno - 1
    while i in comments and lines[i - 1].lstrip().startswith("#"):
        above.insert(0, comments[i])
        i -= 1
    return _sentence(" ".join(above)) if above else ""


def _sentence(text: str) -> str:
    """A comment as a sentence: noqa, type and fmt remarks are no documentation."""
    text = text.split("  #")[0].strip()
    if not text or text.startswith(("noqa", "type:", "fmt:", "--")):
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?", ":")) else ".")


def field_docs(kind: type) -> dict[str, tuple[str, str]]:
    """Of the fields in the body of a class: the annotation as it is written, and what is said of each."""
    module = importlib.import_module(kind.__module__)
    tree, comments, lines = parsed(module.__name__)
    node = class_node(tree, kind.__qualname__)
    if node is None:
        return {}
    result = {}
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            result[one.target.id] = (written(one.annotation), _said(one, node.body, comments, lines))
    return result


def class_node(tree: ast.Module, qualname: str) -> ast.ClassDef | None:
    """The definition of a class at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == qualname:
            return node
    return None


def function_node(function: Any) -> ast.FunctionDef | None:
    """The definition of a function, through decorators; None where there is no source."""
    try:
        text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, IndentationError):
        return None
    return node if isinstance(node, ast.FunctionDef) else None


def written(annotation: ast.expr | None) -> str:
    """An annotation as it is written, without the quotes of a forward reference."""
    if annotation is None:
        return ""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


class _Shapes(ast.NodeTransformer):
    """Put in place of an alias of `superposition.typing` the shape that it stands for."""

    def __init__(self, module: str) -> None:
        """Read annotations that stand in this module."""
        self.module = module

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The shape of one name; other names stay."""
        if home(self.module, node.id)[0] != "superposition.typing":
            return node
        stands_for = assigned("superposition.typing", node.id)
        text = "" if stands_for is None or stands_for.value is None else ast.unparse(stands_for.value)
        return ast.parse(text, mode="eval").body if "[Array, " in text or "[np.ndarray, " in text else node


def signature(function: Any, *, bound: bool = False) -> str:
    """`(a, b: int = 2) -> Array` as it is written; without the first argument where it is `bound`."""
    node = function_node(function)
    if node is None:
        return "(...)"
    arguments = node.args
    for one in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if isinstance(one.annotation, ast.Constant) and isinstance(one.annotation.value, str):
            one.annotation = ast.parse(one.annotation.value, mode="eval").body
    if bound:
        (arguments.posonlyargs or arguments.args).pop(0)
    shown = _Shapes(inspect.unwrap(function).__module__)
    arguments, node.returns = shown.visit(arguments), node.returns and shown.visit(node.returns)
    returned = f" -> {written(node.returns)}" if node.returns is not None else ""
    return f"({ast.unparse(arguments)}){returned}"


def first_line(value: Any) -> str:
    """The first sentence, or the first line, of a docstring."""
    return ((inspect.getdoc(value) or "").strip().split("\n\n")[0]).replace("\n", " ")


def module_doc(module: ModuleType) -> str:
    """The docstring of a module."""
    return inspect.cleandoc(module.__doc__ or "")
