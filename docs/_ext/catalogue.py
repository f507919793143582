"""The catalogue of errors: every kind, with its cause and its mend, and every message that the library raises."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import superposition
from docs._ext import markdown

ROOT = Path(superposition.__file__).parent


class Kind(NamedTuple):
    """What a kind of error means: when it is raised, and what to do then."""

    cause: str
    mend: str


class Message(NamedTuple):
    """A place that raises: its kind, the module, the function, and the message with `...` for what was given."""

    kind: str
    module: str
    function: str
    text: str

    @property
    def parts(self) -> tuple[str, str]:
        """What is wrong, and how to mend it, which stands behind the last semicolon or after "; got"."""
        cause, _, mend = self.text.rpartition("; ")
        return (cause, mend) if cause and not mend.startswith("got ") else (self.text, "")


# What is said of a kind beyond its docstring. A test holds this against the classes that there are.
KINDS: dict[str, Kind] = {
    "SuperpositionError": Kind(
        "The parent of all others; nothing raises it itself. `except sp.SuperpositionError` catches whatever the library"
        " refuses on purpose, and no defect of it.",
        "See the kind that was raised. An exception that is not a `SuperpositionError` and came from good input is a defect:"
        " please report it.",
    ),
    "ConfigError": Kind(
        "A setting, an argument, an array or a file of settings is outside what is accepted: a wrong type, a number out of"
        " range, shapes that do not fit, a name that is not known, settings that exclude each other, a package that is not"
        " installed. It is a `ValueError`, and is raised before any work begins.",
        "The message says what was given, what is accepted and how to mend it. Nothing was trained or written.",
    ),
    "StoreError": Kind(
        "A result cannot be written or read: the disk is full or refuses, a file is missing, another process writes the same"
        " directory, another program's files are in the way, or another version wrote it.",
        "Free space, choose another path, or wait for the other process; run again with `resume=True` (`--resume`). What was"
        " finished before is kept.",
    ),
    "CorruptError": Kind(
        "The bytes of a file are not those that were written: a digest differs, a file was cut short, edited or removed. Every"
        " read checks, so that no damaged number is ever used.",
        "Restore the file from where it came. The blocks of a sweep and the shards of a cache are made again by running the same"
        " command with `--resume`. A checkpoint falls back to the step before.",
    ),
    "Interrupted": Kind(
        "Ctrl-C or SIGTERM arrived while training or writing. The work stopped at a consistent point and was saved.",
        "Run the same again with `resume=True` (`--resume`): it goes on to the same bits. The exit status is 130.",
    ),
    "TrainingError": Kind(
        "A loss or a gradient became infinite or NaN while one model was trained. In a sweep it is no error: the grid point is"
        " marked as diverged, and its `fault` says when.",
        "The message names the step and the term, and the parameters before it are kept. Lower the learning rate, or the"
        " coefficient of the term that is named, or scale the data.",
    ),
    "RanDryError": Kind(
        "The documents ended before there were as many tokens as were asked for. It is a `ConfigError`, whose `tokens` holds"
        " what there was.",
        "Ask for fewer tokens, or give more text.",
    ),
    "MemoryShortError": Kind(
        "More memory was asked for than the machine has.",
        "The message says which setting takes less: smaller batches, fewer examples at once, a smaller `memory_gb`.",
    ),
}


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """(dotted name, syntax tree) of every module of the library."""
    result = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["superposition", *path.relative_to(ROOT).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        result.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(result)


@cache
def kinds() -> dict[str, tuple[str, str]]:
    """Every error of the library -> its module and its docstring: what descends from `SuperpositionError`."""
    classes = {
        n.name: (name, n) for name, tree in modules() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)
    }
    result = {"SuperpositionError": classes["SuperpositionError"]}
    grown = True
    while grown:
        new = {
            name: held
            for name, held in classes.items()
            if name not in result and any(isinstance(b, ast.Name) and b.id in result for b in held[1].bases)
        }
        result |= new
        grown = bool(new)
    return {name: (module, ast.get_docstring(node) or "") for name, (module, node) in result.items()}


@cache
def messages() -> tuple[Message, ...]:
    """Every place in the library that makes an error with a message of its own."""
    return tuple(message for name, tree in modules() for message in _of(tree, name, ""))


def _of(node: ast.AST, module: str, function: str) -> Iterator[Message]:
    for child in ast.iter_child_nodes(node):
        inner = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{function}.{child.name}".lstrip(".")
        if (
            isinstance(child, ast.Call)
            and isinstance(child.func, ast.Name)
            and child.func.id in kinds()
            and child.args
        ):
            yield Message(child.func.id, module, function, " ".join(_text(child.args[0]).split()))
        yield from _of(child, module, inner)


def _text(node: ast.expr) -> str:
    """A message as it reads, with an ellipsis where a value stands."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return _text(node.body)
    return "…"


def page() -> str:
    """The page: kinds first, then every message by room."""
    lines = [
        "# Error catalogue", "",
        "An error says in one line what was given, what is accepted and how to mend it. Every kind descends from",
        "{py:obj}`SuperpositionError <superposition.SuperpositionError>`; the commands print the line, and return its exit",
        "status.",
        "",
        "## Kinds", "",
    ]  # fmt: skip
    for name, (module, doc) in kinds().items():
        said = KINDS[name]
        raised = sum(1 for message in messages() if message.kind == name)
        count = f"; {raised} message{'s' if raised > 1 else ''} below" if raised else ""
        lines += [
            f"### {name}", "", markdown.docstring(doc), "",
            f"- **Cause.** {said.cause}", f"- **Mend.** {said.mend}", f"- **Where.** `{module}.{name}`{count}", "",
        ]  # fmt: skip
    lines += [
        "## Messages", "",
        "Every message of the library with its cause and its mend, by room. `…` stands for what was given: look for words of",
        "your message that surround it.", "",
    ]  # fmt: skip
    rooms: dict[str, list[Message]] = {}
    for message in messages():
        if set(message.text) - set("… .:;") and message.module != "superposition.errors":
            rooms.setdefault(message.module.split(".")[1], []).append(message)
    for room, held in rooms.items():
        rows = sorted({(m.kind, *m.parts, m.module.removeprefix("superposition.")) for m in held})
        cells = [(f"`{k}`", markdown.cell(c), markdown.cell(m), f"`{place}`") for k, c, m, place in rows]
        title = room.removeprefix("_")
        lines += [f"### {title}", "", markdown.table(("kind", "what is wrong", "mend", "module"), cells), ""]
    return "\n".join(lines)


def undescribed() -> set[str]:
    """Kinds of which nothing is said here, and names said of no kind."""
    return set(kinds()) ^ set(KINDS)
