"""Flags of the architectures' own settings, made from the fields of their classes. Importing this does not import JAX.

A field with a docstring is a flag; one without is decided by the data or the run. A number's flag takes several
values, which make an axis of the grid. Of fields of the same name the first docstring stands.
"""

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from superposition._internal.recipe_fields import Field, recipe_fields
from superposition._internal.registry import listed

Floats = tuple[float, ...]
FIRST = ("k", "width", "penalty", "l0_target")  # in help, before the others
KINDS: dict[
    str, tuple[Any, Any]
] = {  # how a field is annotated: its flag's type and value where it is not given
    "float": (Floats, ()),
    "float | None": (Floats, ()),
    "int": (int | None, None),
    "int | None": (int | None, None),
    "tuple[int, ...] | None": (tuple[int, ...], ()),
    "str": (str | None, None),
    "bool": (bool | None, None),
}
OF_THE_RUN = {"l0_target": "Architectures with a penalty: move it until this many latents fire."}


def trained() -> tuple[str, ...]:
    """The names of the architectures that are trained."""
    baselines = listed("sae", "BASELINES")
    return tuple(name for name in listed("sae", "ARCHITECTURES") if name not in baselines)


def one_of(names: tuple[str, ...]) -> str:
    """The names as a sentence: a, b or c."""
    return f"{', '.join(names[:-1])} or {names[-1]}."


def _kind(it: Field) -> tuple[Any, Any]:
    """A field that may be traced (Any) is a list of numbers, or of widths where it may be left out."""
    if it.annotation == "Any":
        return (tuple[int, ...] if it.default == "None" else Floats), ()
    return KINDS[it.annotation]


def _hyperparameters() -> type:
    own = recipe_fields("sae", "ARCHITECTURES")
    names = trained()
    first: dict[str, Field] = {}
    for architecture in names:
        for name, it in own[architecture].items():
            if it.doc:
                first.setdefault(name, it)
    made = []
    for name, it in first.items():
        having = [architecture for architecture in names if name in own[architecture]]
        doc = it.doc[:1].lower() + it.doc[1:]
        text = it.doc if len(having) == len(names) else f"{', '.join(having)}: {doc}"
        hint, default = _kind(it)
        argument = tyro.conf.arg(help=OF_THE_RUN.get(name, text))
        made.append((name, Annotated[hint, argument], field(default=default)))
    place = {kind: i for i, kind in enumerate(KINDS)}
    order = {name: (FIRST.index(name) if name in FIRST else len(FIRST), place.get(it.annotation, 0))
             for name, it in first.items()}  # fmt: skip
    made.sort(key=lambda entry: order[entry[0]])
    return make_dataclass("Hyperparameters", made, frozen=True, namespace={"__doc__": __doc__})


if TYPE_CHECKING:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Hyperparameters:
        """Settings of the architectures: these, which the code names, and one for every field with a docstring."""

        k: Floats = ()
        width: tuple[int, ...] = ()
        l0_target: Floats = ()
        sparsity: str | None = None

else:
    Hyperparameters = _hyperparameters()
    Hyperparameters.__module__ = __name__
    Hyperparameters.__doc__ = (
        "Settings of the architectures; several values of a number make an axis of the grid."
    )
