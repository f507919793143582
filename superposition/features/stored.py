"""Laws of features from what files say of them: the JSON of a recipe, and settings as NAME=VALUE."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features._base import FeatureLaw
from superposition.features.hierarchical import Levels
from superposition.features.magnitudes import MAGNITUDES
from superposition.features.rates import Constant, Geometric, LinearRates, Zipf

# How densities differ between features: the laws of rates, by name.
RATES = {
    "zipf": Zipf,
    "linear": LinearRates,
    "geometric": Geometric,
    "constant": Constant,
    "levels": Levels,
}
PARTS: dict[str, Mapping[str, Any]] = {"magnitudes": MAGNITUDES, "density": RATES}


def from_recipe(stored: Mapping[str, Any], laws: Mapping[str, type[FeatureLaw]]) -> FeatureLaw:
    """The law that `storage.provenance.recipe` wrote as JSON. ConfigError for a class that is not known.

    >>> from superposition.features import FEATURES
    >>> from_recipe({"recipe": "Correlated", "density": [0.1, 0.2], "n_sets": 2}, FEATURES)
    Correlated(density=(0.1, 0.2))
    """
    kinds = {kind.__name__: kind for part in (laws, *PARTS.values()) for kind in part.values()}

    def made(value: Any) -> Any:
        if isinstance(value, Mapping):
            settings = {name: made(entry) for name, entry in value.items() if name != "recipe"}
            if value.get("recipe") not in kinds:
                raise ConfigError(
                    f"features of {validate.shown(value.get('recipe'))} are not known here; known: {', '.join(kinds)}"
                )
            return kinds[value["recipe"]](**settings)
        return tuple(made(entry) for entry in value) if isinstance(value, list) else value

    law = made(stored)
    validate.instance("features", law, FeatureLaw)
    return law


def with_settings(law: FeatureLaw, settings: Sequence[str]) -> FeatureLaw:
    """The law with settings given as NAME=VALUE; a part of it by its name, then its own settings after a dot.

    Raises ConfigError for a name that it has not, or a value of another type.

    >>> from superposition.features import Hierarchical
    >>> law = with_settings(Hierarchical(), ["roots=2", "magnitudes=normal", "magnitudes.first=3"])
    >>> law.roots, law.magnitudes.first
    (2, 3.0)
    """
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"settings of the law are NAME=VALUE, as n_sets=3; got {text!r}")
        law = _with(law, name, value, type(law).__name__)
    return law


def _with(recipe: Any, name: str, text: str, owner: str) -> Any:
    first, dot, rest = name.partition(".")
    fields = [f.name for f in dataclasses.fields(recipe) if f.name != "sparsity"]
    if first not in fields:
        raise ConfigError(f"{owner} has no {first}; its settings are {', '.join(fields)}")
    old = getattr(recipe, first)
    if dot:
        if not dataclasses.is_dataclass(old):
            raise ConfigError(f"{owner}'s {first} has no settings of its own; got {name}={text}")
        return dataclasses.replace(recipe, **{first: _with(old, rest, text, f"{owner}'s {first}")})
    return dataclasses.replace(recipe, **{first: _value(first, old, text)})


def _value(name: str, old: Any, text: str) -> Any:
    if text in PARTS.get(name, {}):
        return PARTS[name][text]()
    if isinstance(old, bool):
        validate.choice(name, text.lower(), ("true", "false"))
        return text.lower() == "true"
    if isinstance(old, str):
        return text
    try:
        return int(text) if isinstance(old, int) else float(text)
    except ValueError as error:
        accepted = f", or one of {', '.join(PARTS[name])}" if name in PARTS else ""
        raise ConfigError(f"{name} must be a number{accepted}; got {text!r}") from error
