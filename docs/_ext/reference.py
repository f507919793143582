"""The reference: a page a room, with every public name, its signature as it is written and its docstring."""

import ast
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from docs._ext import markdown, names, source
from docs._ext.names import Name


def pages() -> dict[str, str]:
    """Markdown by file name."""
    result = {"index.md": _index(), "superposition.md": _top()}
    return result | {f"{room}.md": _room(room) for room in names.rooms()}


def _index() -> str:
    lines = [
        "# Reference",
        "",
        "Every public name, a page a room. `import superposition as sp` reaches all of them:",
    ]
    lines += ["`sp.fit`, `sp.metrics.mmcs`, `sp.geometry.recognise` ...", ""]
    rows = [("{doc}`superposition`", "What `sp.` itself offers")]
    for room in names.rooms():
        said = source.first_line(importlib.import_module(f"superposition.{room}"))
        rows.append((f"{{doc}}`{room}`", markdown.cell(said)))
    toc = ["```{toctree}", ":hidden:", "", "superposition", *names.rooms(), "```", ""]
    return "\n".join([*lines, markdown.table(("room", "holds"), rows), "", *toc])


def _top() -> str:
    own, linked = names.of_top()
    link = _Links("superposition")
    lines = ["# superposition", "", "```{py:module} superposition", "```", ""]
    lines += [markdown.docstring(source.module_doc(importlib.import_module("superposition")), link), ""]
    for one in own:
        lines += [*entry(one, link), ""]
    rows = [(f"{{py:obj}}`{name} <{n.full}>`", markdown.cell(n.line, link)) for name, n in linked]
    return "\n".join([*lines, "## Described with their rooms", "", markdown.table(("name", "is"), rows), ""])


def _room(room: str) -> str:
    lines: list[str] = [f"# {room}", ""]
    for module, found in names.of_room(room):
        link = _Links(module)
        if module.count(".") > 1:
            lines += [f"## {module.removeprefix('superposition.')}", ""]
        lines += [f"```{{py:module}} {module}", "```", ""]
        lines += [markdown.docstring(source.module_doc(importlib.import_module(module)), link), ""]
        if len(found) > 1:
            rows = [(f"{{py:obj}}`{n.name} <{n.full}>`", markdown.cell(n.line, link)) for n in found]
            lines += [markdown.table(("name", "is"), rows), ""]
        for one in found:
            lines += [*entry(one, link), ""]
    rest = names.others(room)
    if rest:
        lines += [
            "## Other modules of the room",
            "",
            "What the commands and the rooms above use; imported by its module.",
            "",
        ]
    for module, others in rest:
        said = source.first_line(importlib.import_module(module))
        lines += [f"### {module.removeprefix('superposition.')}", "", markdown.prose(said), ""]
        rows = [(f"`{name}`", markdown.cell(line)) for name, line in others]
        lines += [markdown.table(("name", "is"), rows), ""]
    return "\n".join(lines)


class _Links:
    """The full name that a name in backticks means, for a reader of `module`: there, or the only one of that name."""

    def __init__(self, module: str) -> None:
        self.module = module

    @cached_property
    def known(self) -> Mapping[str, list[str]]:
        """Full names by their last part."""
        result: dict[str, list[str]] = {}
        for one in names.everything():
            result.setdefault(one.name, []).append(one.full)
        return result

    def __call__(self, name: str) -> str | None:
        found = self.known.get(name.rsplit(".")[-1], [])
        if "." in name:
            found = [full for full in found if full.endswith(f".{name}")]
        near = [full for full in found if full.rsplit(".", 1)[0] == self.module]
        top = [full for full in found if full.count(".") == 1]
        best = near or top or found
        return best[0] if len(best) == 1 else None


def entry(one: Name, link: markdown.Link) -> list[str]:
    """A public name as a directive, its docstring inside, and the members of a class inside that."""
    if inspect.isclass(one.value):
        return _class(one, link)
    if names.is_constant(one.value):
        return _constant(one, link)
    head = f"{{py:function}} {one.name}{source.signature(one.value)}"
    return _fenced(6, head, [], markdown.docstring(one.doc, link).splitlines())


def _fenced(ticks: int, head: str, options: list[str], body: list[str]) -> list[str]:
    return ["`" * ticks + head, *options, "", *body, "`" * ticks]


def _constant(one: Name, link: markdown.Link) -> list[str]:
    node = source.assigned(*source.home(one.module, one.name))
    value = ast.unparse(node.value) if node is not None and node.value is not None else ""
    options = [f":value: {value}"] if 0 < len(value) <= 100 and not isinstance(one.value, dict) else []
    body = markdown.docstring(one.doc, link).splitlines()
    if isinstance(one.value, dict):
        rows = []
        for key, held in one.value.items():
            said = held if inspect.isclass(held) or inspect.isroutine(held) else type(held)
            name = getattr(said, "__name__", "")
            target = link(name)
            shown = f"{{py:obj}}`{name} <{target}>`" if target else f"`{name}`"
            line = source.first_line(said) if said is held else ""
            rows.append((f"`{key}`", shown, markdown.cell(line, link)))
        body += ["", markdown.table(("key", "value", ""), rows)]
    return _fenced(6, f"{{py:data}} {one.name}", options, body)


def _class(one: Name, link: markdown.Link) -> list[str]:
    kind = one.value
    error = issubclass(kind, BaseException)
    directive = "exception" if error else "class"
    doc, attributes = markdown.attributes(one.doc)
    body = markdown.docstring(doc, link).splitlines()
    bases = [f"{{py:obj}}`~{full}`" for base in kind.__mro__[1:] if (full := _described(base)) is not None]
    if bases:
        body += ["", f"Is a {', '.join(bases)}, and has its members."]
    for head, options, said in _members(kind, attributes):
        body += ["", *_fenced(5, head, options, markdown.docstring(said, link).splitlines())]
    return _fenced(7, f"{{py:{directive}}} {one.name}{'' if error else _constructor(kind)}", [], body)


def _described(kind: type) -> str | None:
    """The full name under which a class is described, None where it is not."""
    return next((n.full for n in names.everything() if n.value is kind and inspect.isclass(n.value)), None)


def _constructor(kind: type) -> str:
    """The arguments that make one: the fields of a recipe or a tuple, else those of `__init__`."""
    if dataclasses.is_dataclass(kind):
        parts = []
        for field in dataclasses.fields(kind):
            if field.init:
                default = field.default if field.default is not dataclasses.MISSING else ...
                made = field.default_factory is not dataclasses.MISSING
                parts.append(field.name + (f"={_short(default)}" if default is not ... or made else ""))
        return f"({', '.join(parts)})"
    if hasattr(kind, "_fields"):
        defaults = getattr(kind, "_field_defaults", {})
        return (
            f"({', '.join(n + (f'={_short(defaults[n])}' if n in defaults else '') for n in kind._fields)})"
        )
    initialiser = vars(kind).get("__init__")
    return source.signature(initialiser, bound=True) if inspect.isfunction(initialiser) else ""


def _short(value: Any) -> str:
    """A default as Python writes it, or an ellipsis where that is long."""
    text = repr(value)
    return text if len(text) <= 40 and "<" not in text and "\n" not in text else "..."


def _members(kind: type, attributes: Mapping[str, str]) -> Iterator[tuple[str, list[str], str]]:
    """(directive, options, docstring) of the fields, properties and methods of a class that no described base has."""
    own = [base for base in kind.__mro__ if base is kind or (_described(base) is None and _ours(base))]
    fields: dict[str, tuple[str, str]] = {}
    for base in reversed(own):
        fields |= source.field_docs(base)
    for name, (annotation, said) in fields.items():
        if not name.startswith("_"):
            yield f"{{py:attribute}} {name}", [f":type: {annotation}"], said or attributes.get(name, "")
    done = set(fields)
    for base in own:
        for name, value in vars(base).items():
            if name.startswith("_") or name in done:
                continue
            done.add(name)
            yield from _member(name, value)


def _ours(kind: type) -> bool:
    return kind.__module__.startswith("superposition.")


def _member(name: str, value: Any) -> Iterator[tuple[str, list[str], str]]:
    doc = inspect.getdoc(value) or ""
    if isinstance(value, property) or type(value).__name__ == "cached_property":
        function = value.fget if isinstance(value, property) else value.func
        node = source.function_node(function)
        options = (
            [f":type: {source.written(node.returns)}"]
            if node is not None and node.returns is not None
            else []
        )
        yield f"{{py:property}} {name}", options, doc
    elif isinstance(value, classmethod | staticmethod):
        option = ":classmethod:" if isinstance(value, classmethod) else ":staticmethod:"
        signature = source.signature(value.__func__, bound=isinstance(value, classmethod))
        yield f"{{py:method}} {name}{signature}", [option], doc
    elif inspect.isfunction(value) and _ours_function(value):
        yield f"{{py:method}} {name}{source.signature(value, bound=True)}", [], doc


def _ours_function(value: Any) -> bool:
    return getattr(sys.modules.get(value.__module__), "__name__", "").startswith("superposition.")
