"""What is wrong with a command line, said before it is parsed: the word, what is accepted, and the mend.

Flags and commands are read off the dataclasses that the parser itself reads. What is right passes on, an integer's
`1e4` as 10000; what is not named here is left to the parser. Importing this does not import JAX.
"""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from superposition.errors import ConfigError

ASKS = ("-h", "--help")
COMPLETION = ("--tyro-print-completion", "--tyro-write-completion")
HELP = (*ASKS, *COMPLETION)
LONGEST = 10**18  # integers beyond are a slip, and could take all memory to write out
NEGATIVE = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)
RANGE = re.compile(r"(\d{1,10})\.\.(\d{1,10})")  # 0..9 is 0 1 2 3 4 5 6 7 8 9
MOST = 10**6  # numbers of a range
# What a flag may have meant that is called otherwise, in the order in which it is looked for.
OTHERWISE = {
    "--densities": ("--density",),
    "--sparsity": ("--density",),
    "--sparsities": ("--sparsity", "--density"),
    "--seeds": ("--seed",),
    "--first-seed": ("--seed",),
}


class Flag(NamedTuple):
    """A flag: its values' type (int, float, bool, or None for any other), whether it takes a list of them, or `None`."""

    kind: type | None
    many: bool = False
    optional: bool = False


class Leaf(NamedTuple):
    """A command: its flags by name, whether it takes words without one, and the first flag of every field."""

    flags: dict[str, Flag]
    words: bool
    flag_of: dict[str, str]


def checked(kind: type, arguments: Sequence[str], prog: str) -> list[str]:
    """The arguments with numbers as the parser takes them; ConfigError for what it would not understand."""
    return _options(tree(kind), prog, list(arguments))


def tree(kind: type) -> Leaf:
    """The flags that set a dataclass, and those of dataclasses in its fields, as --field.name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    flags: dict[str, Flag] = {}
    flag_of: dict[str, str] = {}
    words = False
    for field in fields(kind):
        plain, extras = _plain(hints[field.name])
        if any("Positional" in repr(extra) for extra in extras):
            words = True
            continue
        name = next((extra.name for extra in extras if getattr(extra, "name", None)), field.name)
        flag = flag_of[field.name] = f"--{name.replace('_', '-')}"
        if is_dataclass(plain):
            flags |= {f"{flag}.{inside[2:]}": part for inside, part in tree(plain).flags.items()}  # type: ignore[arg-type]
        else:
            flags |= _flags(flag, plain, optional=None in extras)
    return Leaf(flags, words, flag_of)


def _plain(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its annotations, and those; of `X | None`, X."""
    extras: tuple[Any, ...] = ()
    while typing.get_origin(hint) is typing.Annotated:
        extras += hint.__metadata__
        hint = hint.__origin__
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(options) == 1:
            plain, more = _plain(options[0])
            return plain, (*extras, *more, None)
    return hint, extras


def _flags(flag: str, plain: Any, *, optional: bool) -> dict[str, Flag]:
    """The flags that set a field: two for a truth value."""
    if typing.get_origin(plain) in (tuple, list):
        inner = {_plain(part)[0] for part in typing.get_args(plain)} - {Ellipsis}
        return {flag: Flag(inner.pop() if inner in ({int}, {float}) else None, True)}
    both = {flag: Flag(plain if plain in (int, float, bool) else None, optional=optional)}
    if plain is bool:
        head, _, last = flag.rpartition(".")
        off = f"--no-{flag[2:]}" if not head else f"{head}.no-{last}"
        both[off] = both[flag]
    return both


def _options(leaf: Leaf, path: str, rest: list[str]) -> list[str]:
    """The flags and values after a command."""
    done: list[str] = []
    flag: Flag | None = None
    name, values = "", []  # type: str, list[str]
    switches: dict[str, str] = {}
    for word in [*rest, None]:  # None ends the last flag
        if word is not None and not _is_flag(word):
            if flag is None:
                if not leaf.words:
                    hint = " (flags begin with two hyphens)" if word[:1] in "–—-" else ""
                    raise ConfigError(f"{path} takes flags alone{hint}; got {word!r}: see {path} --help")
                done.append(word)
            else:
                values.append(word)
            continue
        if flag is not None:
            done += _values(name, flag, values, leaf, path)
        if word is None or word in HELP:
            done += [] if word is None else [word]
            flag, values = None, []
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if name not in leaf.flags:
            raise ConfigError(f"{path} has no {name}{_instead(name, leaf.flags)} (see {path} --help)")
        flag, values = leaf.flags[name], [value] if equals else []
        if flag.kind is bool:
            on = name.replace("no-", "", 1)
            is_off = on in leaf.flags and on != name
            if (other := switches.setdefault(on if is_off else name, name)) != name:
                raise ConfigError(f"{other} and {name} contradict each other; give one of them")
            if is_off and flag.optional:
                name, values, flag = on, ["False"], Flag(None)
        done.append(name)
    return done


def _is_flag(word: str) -> bool:
    return word in HELP or (word.startswith("--") and word != "--")


def _values(name: str, flag: Flag, values: list[str], leaf: Leaf, path: str) -> list[str]:
    """A flag's values, numbers as the parser takes them."""
    if flag.kind is bool and flag.optional and not values:
        return ["True"]  # for the parser takes a word where a truth value may be left open
    if flag.kind is None or flag.kind is bool:
        return values
    if not values and not flag.many:
        raise ConfigError(
            f"{name} needs {_article(flag.kind)}; for example {name} {1 if flag.kind is int else 0.1}"
        )
    if len(values) > 1 and not flag.many and not leaf.words:
        raise ConfigError(f"{name} takes one number; got {' '.join(values)}")
    if flag.many and flag.kind is int:
        values = [number for value in values for number in _range(name, value)]
    count = len(values) if flag.many else 1  # the rest are words of the command
    if flag.optional and values[:count] == ["None"]:
        return values
    return [_number(name, flag, value, words=leaf.words) for value in values[:count]] + values[count:]


def _range(name: str, text: str) -> list[str]:
    """The numbers of `0..9`, its ends included; any other word as it is."""
    ends = RANGE.fullmatch(text)
    if ends is None:
        return [text]
    low, high = map(int, ends.groups())
    if not 0 <= high - low < MOST:
        raise ConfigError(
            f"{name} takes a range of 1 to {MOST} numbers, the lower first, as 0..9; got {text!r}"
        )
    return [str(number) for number in range(low, high + 1)]


def _number(name: str, flag: Flag, text: str, *, words: bool) -> str:
    """The number in the parser's form, or ConfigError with what the text means."""
    accepted = _article(flag.kind)
    if text.endswith("%"):
        share = _decimal(text[:-1])
        known = share is not None and flag.kind is float
        mend = f"; a share, not per cent: {name} {share / 100}" if known else ""  # type: ignore[operator]
        raise ConfigError(f"{name} takes {accepted}; got {text!r}{mend}")
    value = _decimal(text)
    if value is None:
        parts = [part for part in re.split(r"[,;\s\[\]()]+", text) if part]
        if len(parts) > 1 and all(_decimal(part) is not None for part in parts):
            comma = re.fullmatch(r"\d+,\d+", text)
            point = (
                f"decimals take a point: {name} {text.replace(',', '.')}"
                if comma and flag.kind is float
                else ""
            )
            spaces = (
                f"numbers of a list are separated by spaces: {name} {' '.join(parts)}" if flag.many else ""
            )
            mends = "; ".join(mend for mend in (spaces, point) if mend) or f"give one number, as {parts[0]}"
            raise ConfigError(f"{name} takes {accepted}; got {text!r}: {mends}")
        place = "; words that belong to no flag go before the flags" if words and flag.many else ""
        raise ConfigError(f"{name} takes {accepted}; got {text!r}{place}")
    if flag.kind is float:
        return text.strip().replace("_", "")
    if not value.is_finite() or abs(value) > LONGEST or value != value.to_integral_value():
        raise ConfigError(f"{name} takes an integer; got {text!r}")
    return str(int(value))


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text.strip().replace("_", ""))
    except InvalidOperation:
        return None


def _article(kind: type | None) -> str:
    return "an integer" if kind is int else "a number"


def _instead(name: str, flags: Iterable[str]) -> str:
    """What a flag that is not there may have meant: its other name, else the nearest of this command."""
    known = list(flags)
    for other in OTHERWISE.get(name, ()):
        if other in known:
            note = " (density = 1 - sparsity)" if "sparsi" in name and "densi" in other else ""
            return f"; did you mean {other}{note}?{_meaning(name, known)}"
    return near(name, known)


def _meaning(name: str, known: list[str]) -> str:
    """What is to be said besides of a name that is gone, or stood for something else."""
    if name in ("--seeds", "--first-seed"):
        return " It was a count; --seed takes the seeds themselves: --seed 0 1 2, or 0..9 for ten of them"
    if name == "--sparsity" and "--sparsity-loss" in known:
        return " The kind of jumprelu's loss is --sparsity-loss"
    return ""


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` with at most three of the known words that are like it."""
    names = list(known)
    starts = [name for name in names if len(word) > 4 and name.startswith(word)]
    near = dict.fromkeys([*starts, *difflib.get_close_matches(word, names, n=3, cutoff=0.6)])
    return f"; did you mean {' or '.join(list(near)[:3])}?" if near else ""
