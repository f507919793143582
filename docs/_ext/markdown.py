"""Docstrings as MyST Markdown: examples, Google's sections and names that link to where they are described."""

import inspect
import re
from collections.abc import Callable, Sequence

SECTIONS = {
    "Args:": "param", "Attributes:": "ivar", "Raises:": "raises", "Returns:": "returns", "Yields:": "returns",
    "Example:": "example", "Examples:": "example",
}  # fmt: skip
_CODE = re.compile(r"(`+[^`]+`+|\$\$.+?\$\$|(?<![\w$])\$[^$\n]+\$)", re.DOTALL)
_ITEM = re.compile(r"([*\w][\w., *]*?): +(.*)")

Link = Callable[[str], str | None]


def no_link(name: str) -> str | None:
    """No name links anywhere."""
    del name
    return None


def docstring(text: str, link: Link = no_link) -> str:
    """A docstring as Markdown. `link` gives the full name that a name in backticks means, or None."""
    result: list[str] = []
    for block in _blocks(text):
        head = block[0].strip()
        if SECTIONS.get(head) == "example" and len(block) > 1:
            result += [docstring(inspect.cleandoc("\n".join(["", *block[1:]])), link), ""]
        elif head in SECTIONS and len(block) > 1:
            result += _section(SECTIONS[head], block[1:], link)
        elif head.startswith(">>>"):
            result += ["```pycon", *block, "```", ""]
        elif all(line.startswith("    ") for line in block):
            result += ["```text", *(line[4:] for line in block), "```", ""]
        elif head.startswith("|"):
            result += [*block, ""]
        else:
            result += [*prose("\n".join(block), link).split("\n"), ""]
    return "\n".join(result).strip()


def _blocks(text: str) -> list[list[str]]:
    """Paragraphs; an example, a section and a list each begin one."""
    result: list[list[str]] = [[]]
    for line in text.expandtabs().splitlines():
        new = line.strip() in SECTIONS or (line.startswith((">>>", "- ", "|")) and result[-1] != [])
        same = bool(result[-1]) and result[-1][0][:1] == line[:1] and line[:1] in ("|", ">", "-")
        if not line.strip():
            result.append([])
        elif new and not same:
            result.append([line])
        else:
            result[-1].append(line)
    return [block for block in result if block]


def attributes(text: str) -> tuple[str, dict[str, str]]:
    """A docstring without its section on attributes, and what that says of each."""
    kept, said = [], {}
    for block in _blocks(text):
        if block[0].strip() == "Attributes:":
            said = dict(_items(block[1:]))
        else:
            kept.append("\n".join(block))
    return "\n\n".join(kept), said


def _section(kind: str, lines: list[str], link: Link) -> list[str]:
    """A section as fields: one an argument or an error, one in all for what is returned."""
    result = []
    if kind == "returns":
        return [f":returns: {prose(' '.join(line.strip() for line in lines), link)}", ""]
    for name, said in _items(lines):
        result.append(f":{kind} {name}: {prose(said, link)}")
    return [*result, ""]


def _items(lines: list[str]) -> list[tuple[str, str]]:
    """(name, what is said of it) of the entries of a section."""
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    result: list[tuple[str, str]] = []
    for line in (line[indent:] for line in lines):
        match = None if line.startswith(" ") else _ITEM.match(line)
        if match:
            result.append((match[1], match[2]))
        elif result:
            result[-1] = (result[-1][0], f"{result[-1][1]} {line.strip()}")
    return result


def prose(text: str, link: Link = no_link) -> str:
    """Plain text as Markdown in which nothing but code, equations and lists is markup."""
    parts = _CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2 and part.startswith("`"):
            name = part.strip("`")
            target = link(name)
            parts[i] = f"{{py:obj}}`{name} <{target}>`" if target else part
        elif i % 2 == 0:
            parts[i] = re.sub(
                r"([*<>\[\]{}$|~]|(?<!\w)_|_(?!\w)|^#|^\d+(?=\.\s)|^\+)", r"\\\1", part, flags=re.MULTILINE
            )
            parts[i] = re.sub(r"^\\(\d+)(?=\.\s)", r"\1\\", parts[i], flags=re.MULTILINE)
    return "".join(parts)


def cell(text: str, link: Link = no_link) -> str:
    """Prose for a cell of a table, in one line; its bars are escaped."""
    parts = _CODE.split(" ".join(text.split()))
    line = "".join(p.replace("|", "\\|") if i % 2 else p for i, p in enumerate(parts))
    return prose(line, link)


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table whose cells are Markdown already."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
