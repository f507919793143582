"""What a page says that the library has: calls with their arguments, commands, and files of the repository."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import superposition as sp
from superposition.cli.main import COMMANDS, GROUPS
from superposition.interventions import Attached
from superposition.training.sweeps import Sweep

ROOT = Path(__file__).parents[2]
# What the pages call things: a value of which class a name is.
VALUES: dict[str, type] = {
    "lm": sp.LanguageModel, "attached": Attached, "sae": sp.Trained, "toy": sp.Trained, "toys": Sweep, "sweep": Sweep,
    "best": sp.Trained,
}  # fmt: skip
_NO_CODE = re.compile(r" <|\.(json|py|sha256)$")  # a link, or the name of a file
_NAMES = ("superposition/small-lm", "figures/index.html")  # models that ship; what `make reproduce` writes
_PATH = re.compile(r"(?:superposition|tests|experiments|benchmarks|notebooks|figures|docs)/[\w./-]+")


class Unknown(Exception):
    """Something that the library has not."""


def wrong(text: str) -> list[str]:
    """All that a page says of the library and that is not so, one line each."""
    result = []
    for code in [*snippets(text), *blocks(text)]:
        try:
            result += list(_wrong_code(code))
        except SyntaxError as error:
            result.append(f"not Python: {code!r} ({error.msg})")
    for command in commands(text):
        if not is_command(command.split()[1:]):
            result.append(f"no such command: {command}")
    result += [f"no such file: {path}" for path in paths(text) if not (ROOT / path).exists()]
    return result


def ours(text: str) -> str:
    """A page without the first column of tables that compare others' calls with ours."""
    lines, theirs = [], False
    for line in text.splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if not line.startswith("|"):
            theirs = False
        elif cells[-2].strip() in ("superposition", "here"):
            theirs = True
        lines.append("|".join(["", "", *cells[2:]]) if theirs else line)
    return "\n".join(lines)


def snippets(text: str) -> list[str]:
    """Code in backticks that speaks of `sp` or of a value with a known name."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)
    names = "|".join(["sp", "superposition", *VALUES])
    code = [one for one in found if re.match(rf"(?:{names})\.\w", one) and not _NO_CODE.search(one)]
    return [re.sub(r"\.\.\.(, )?", "", one) for one in code]


def blocks(text: str, language: str = "python") -> list[str]:
    """The blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands on a page: in code, and in blocks without a language."""
    plain = "\n".join(re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    lines = [line.split("#")[0].strip() for line in plain.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"(?<!`)`(superposition [^`\n]+)`(?!`)", text)
    return [one for one in [*lines, *spans] if one.startswith("superposition ")]


def is_command(words: list[str]) -> bool:
    """Whether words after `superposition` begin with a command of the library."""
    count = 1 + (words[:1] != [] and words[0] in GROUPS)
    begin = [word for word in words[:count] if not word.startswith("-")]
    return not begin or " ".join(begin) in {*COMMANDS, *GROUPS}


def paths(text: str) -> list[str]:
    """Files and folders of the repository that a page names in code."""
    found = [one for one in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text) if _PATH.fullmatch(one)]
    return [one for one in found if not one.startswith(_NAMES)]


def _wrong_code(code: str) -> Iterator[str]:
    """Names and arguments in code that the library has not."""
    tree = ast.parse(code)
    stored = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    } - VALUES.keys()
    for node in ast.walk(tree):
        target = node.func if isinstance(node, ast.Call) else node
        if not isinstance(target, ast.Attribute) or _root(target) in stored:
            continue
        try:
            value, bound = _resolved(target)
            if isinstance(node, ast.Call) and value is not None:
                _bind(value, node, bound=bound)
        except Unknown as error:
            yield f"{error} in {ast.unparse(node)}"


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _resolved(node: ast.Attribute) -> tuple[Any, bool]:
    """The value of a dotted name, and whether it is a method of a value; None where nobody can say."""
    parts = [node.attr]
    at = node.value
    while isinstance(at, ast.Attribute):
        parts.insert(0, at.attr)
        at = at.value
    if not isinstance(at, ast.Name):
        return None, False
    if at.id in VALUES:
        kind = VALUES[at.id]
        if not hasattr(kind, parts[0]) and parts[0] not in getattr(kind, "__dataclass_fields__", {}):
            raise Unknown(f"{kind.__name__} has no {parts[0]}")
        return (getattr(kind, parts[0], None), True) if len(parts) == 1 else (None, False)
    if at.id not in ("sp", "superposition"):
        return None, False
    value: Any = sp
    for part in parts:
        value = _member(value, part)
    return value, False


def _member(value: Any, part: str) -> Any:
    if hasattr(value, part):
        return getattr(value, part)
    if inspect.ismodule(value):
        try:
            return importlib.import_module(f"{value.__name__}.{part}")
        except ModuleNotFoundError:
            pass
    raise Unknown(f"{getattr(value, '__name__', value)} has no {part}")


def _bind(value: Any, call: ast.Call, *, bound: bool) -> None:
    """Unknown for arguments that a function does not take."""
    if any(isinstance(one, ast.Starred) for one in call.args) or not callable(value):
        return
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return
    first = [None] if bound and inspect.isfunction(value) else []
    try:
        signature.bind_partial(
            *first, *call.args, **{k.arg: None for k in call.keywords if k.arg is not None}
        )
    except TypeError as error:
        raise Unknown(f"{error}") from error
