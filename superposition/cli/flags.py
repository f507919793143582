"""Flags made from the fields of recipes, read from their source. Importing this does not import JAX.

A field with a docstring is a flag; one without is decided by the data or the run. A flag that is not given leaves the
recipe's own default.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_origin

from superposition._internal import recipe_fields

Floats = tuple[float, ...]
Flag = tuple[str, Any, Any]  # name, type and field, as make_dataclass takes them
T = TypeVar("T")
# How a field is annotated -> the type of its flag: a list where several values make an axis, or are one vector.
KINDS: dict[str, Any] = {
    "float": Floats,
    "float | None": Floats,
    "float | tuple[float, ...]": Floats,
    "Numbers | None": Floats,
    "Numbers | Rates | None": Floats,
    "tuple[int, ...] | None": tuple[int, ...],
    "int": int | None,
    "int | None": int | None,
    "str": str | None,
    "bool": bool | None,
}


class Flags:
    """What settings with flags of recipes derive from: these have the fields that `with_flags` adds."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def with_flags(*parts: list[Flag]) -> Callable[[type[T]], type[T]]:
    """Give a frozen dataclass of settings the flags of recipes beside its own, which win where a name is in both."""

    def extended(cls: type[T]) -> type[T]:
        own = {it.name for it in fields(cls)}  # type: ignore[arg-type]
        made = [flag for part in parts for flag in part if flag[0] not in own]
        same = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
        return make_dataclass(cls.__name__, made, bases=(cls,), frozen=True, namespace=same)

    return extended


def recipe_flags(
    group: str,
    part: str,
    recipes: Mapping[str, Mapping[str, recipe_fields.Field]],
    text: Mapping[str, str] | None = None,
    *,
    choices: Mapping[str, Any] | None = None,
    int_axes: bool = False,
    plain: bool = False,
    first: tuple[str, ...] = (),
) -> list[Flag]:
    """A flag for every field with a docstring that one of the recipes (name -> fields) has.

    group: the heading in help. part: by which `given` finds them. text: help that stands for the docstrings, also of
    fields without. choices: what a flag accepts by name. int_axes: an integer's flag takes several values too. plain:
    every flag takes one value, and has the recipe's default. first: names that stand before the others.
    """
    text = text or {}
    having: dict[str, list[str]] = {}
    for recipe, named in recipes.items():
        for name, it in named.items():
            is_recipe = it.annotation not in {*KINDS, "Any"} and not it.annotation.startswith("Literal")
            if not is_recipe and (it.doc or name in text):
                having.setdefault(name, []).append(recipe)
    made = []
    for name in sorted(having, key=lambda name: first.index(name) if name in first else len(first)):
        of = {recipe: recipes[recipe][name] for recipe in having[name]}
        it = next(iter(of.values()))
        hint: Any = KINDS["str"] if it.annotation.startswith("Literal") else KINDS.get(it.annotation)
        if it.annotation == "Any":  # may be traced: a number, or a width where it may be left out
            hint = tuple[int, ...] if it.default == "None" else Floats
        elif plain:
            hint = {"int": int, "float": float, "bool": bool, "str": str}[it.annotation]
        elif int_axes and hint == int | None:
            hint = tuple[int, ...]
        words = text.get(name) or _told(of, len(recipes))
        empty = () if get_origin(hint) is tuple else None
        about = {"group": group, "part": part, "help": words if plain else f"{words}{_default(of)}"}
        hint = Annotated[hint, choices[name]] if choices and name in choices else hint
        made.append((name, hint, field(default=value_of(it.default) if plain else empty, metadata=about)))
    return made


def given(config: Any, part: str) -> dict[str, Any]:
    """The flags of one part that were given, those of another default too."""
    values = {f.name: getattr(config, f.name) for f in of_part(config, part)}
    return {name: value for name, value in values.items() if value is not None and value != ()}


def of_part(kind: Any, part: str) -> tuple["Field[Any]", ...]:
    """The fields that are flags of one part."""
    return tuple(f for f in fields(kind) if f.metadata.get("part") == part)


def value_of(text: str) -> Any:
    """What a default is, as it is written in source; None where it is no number, word or truth value."""
    try:
        return eval(text, {"__builtins__": {}})  # our own source: a literal, or a fraction of two
    except Exception:
        return None


def _told(of: Mapping[str, recipe_fields.Field], count: int) -> str:
    """The docstrings of one field, with the recipes that have it where these are not all, or say different things."""
    docs: dict[str, list[str]] = {}
    for recipe, it in of.items():
        docs.setdefault(it.doc, []).append(recipe)
    if len(docs) == 1 and len(of) == count:
        return next(iter(docs))
    return " ".join(f"{', '.join(names)}: {doc[:1].lower()}{doc[1:]}" for doc, names in docs.items() if doc)


def _default(of: Mapping[str, recipe_fields.Field]) -> str:
    """` Default 1.`, with the recipes where they differ; nothing where the docstring says what is done by default."""
    if any("Default" in it.doc for it in of.values()):
        return ""
    values: dict[str, list[str]] = {}
    for recipe, it in of.items():
        value = value_of(it.default)
        if value is not None and value is not False:
            shown = "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
            values.setdefault(shown, []).append(recipe)
    if len(values) == 1 and sum(map(len, values.values())) == len(of):
        return f" Default {next(iter(values))}."
    listed_values = ", ".join(f"{value} ({', '.join(names)})" for value, names in values.items())
    return f" Default {listed_values}." if values else ""
