"""The help of a command: what it does, command lines that run, and its flags under headings. Nothing heavy is imported."""

import inspect
import shutil
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from superposition.cli.command_line import tree
from superposition.cli.settings import Needed, help_of, marks_of

ORDER = (
    "Arguments", "Model", "SAE", "Text", "Activations", "Data", "Architecture", "Training", "Steering", "Ablation", "Pages",
    "Output",
)  # fmt: skip
WORDS = {int: "INT", float: "FLOAT", str: "TEXT"}
OPTIONS = (
    ("-h, --help", "Show this help."),
    ("--tyro-print-completion SHELL", "Print a completion script for bash, zsh or tcsh."),
)


def of_command(path: str, settings: type) -> str:
    """Help of the command that has these settings."""
    groups: dict[str, list[tuple[str, str]]] = {}
    arguments, flag_of = [], tree(settings).flag_of
    hints = typing.get_type_hints(settings)
    for field in sorted(fields(settings), key=lambda field: "part" in field.metadata):  # of recipes last
        line = _help(settings, field)
        if field.name in flag_of:
            head = _flag(flag_of[field.name], hints[field.name], field.default)
            groups.setdefault(_group(settings, field), []).append((head, line))
        else:
            word = field.name.upper() + (" ..." if _many(hints[field.name]) else "")
            arguments.append(word if field.default is MISSING else f"[{word}]")
            groups.setdefault("Arguments", []).append((word, line))
    about = inspect.cleandoc(settings.__doc__ or "").partition("\n$ ")[0].strip()
    usage = " ".join(["usage:", path, *arguments, "[flags]"])
    parts = [usage, about, _examples(examples_of(settings))]
    parts += [_section(name, groups[name]) for name in sorted(groups, key=ORDER.index)]
    return "\n\n".join([*parts, _section("Options", OPTIONS)]) + "\n"


def first_line(settings: type) -> str:
    """The first line of what a command does."""
    return inspect.cleandoc(settings.__doc__ or "").partition("\n")[0]


def examples_of(settings: type) -> list[str]:
    """The command lines in the docstring of a command's settings, after `$ `."""
    lines = inspect.cleandoc(settings.__doc__ or "").splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]


def of_commands(path: str, about: str, commands: Mapping[str, str], examples: Sequence[str]) -> str:
    """Help of commands under one word: name -> what it does."""
    options = [*OPTIONS, *([("--version", "Show the version.")] if " " not in path else [])]
    parts = [f"usage: {path} COMMAND [flags]", about.strip(), _examples(examples)]
    parts += [
        _section("Commands", commands.items()),
        _section("Options", options),
        f"{path} COMMAND --help shows a command's flags.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _group(settings: type, field: "Field[Any]") -> str:
    """The heading that the recipe's flags, or the class that first has the field, stand under."""
    if "group" in field.metadata:
        return str(field.metadata["group"])
    home = next(part for part in reversed(settings.__mro__) if field.name in inspect.get_annotations(part))
    return str(vars(home)["GROUP"])


def _help(settings: type, field: "Field[Any]") -> str:
    """What a flag's help says, with the default where the words do not name it."""
    text, value = help_of(settings, field.name), field.default
    marks = marks_of(typing.get_type_hints(settings, include_extras=True)[field.name])
    if any(isinstance(mark, Needed) for mark in marks):
        return f"{text} Required."
    if "Default" in text or value is False or value is None or value in (MISSING, (), ""):
        return text
    shown = value if isinstance(value, tuple) else (value,)
    words = "yes" if value is True else " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in shown)
    return f"{text} Default {words}." if words else text


def _many(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple


def _flag(flag: str, hint: Any, default: Any) -> str:
    """A flag and what it takes: --steps INT, --seed INT ..., --resume."""
    kinds = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)] or [hint]
    if kinds == [bool]:
        off = f"--no-{flag[2:]}"
        return flag if default is False else f"{flag}, {off}"
    return f"{flag} {WORDS.get(kinds[0], 'PATH')}{' ...' if _many(hint) else ''}"


def _section(title: str, lines: Iterable[tuple[str, str]]) -> str:
    width = min(shutil.get_terminal_size().columns, 110)
    out = [f"{title}:"]
    column = 30 if width > 70 else 12
    for head, text in lines:
        wrapped = textwrap.wrap(text, max(width - column, 30), break_on_hyphens=False) or [""]
        first = f"  {head}"
        if len(first) < column - 1:
            first, wrapped = f"{first:<{column}}{wrapped[0]}", wrapped[1:]
        out += [first, *(" " * column + line for line in wrapped)]
    return "\n".join(out)


def _examples(examples: Sequence[str]) -> str:
    if not examples:
        return ""
    return "\n".join([f"Example{'s' * (len(examples) > 1)}:", *(f"  {line}" for line in examples)])
