"""What the settings of commands share: where results go, and what is refused before JAX is imported.

Importing JAX takes seconds. `check` refuses what can be judged without, by what a setting's annotation says of it, by its
name, and by the `check` of a class; recipes and readers check again, for scripts that have no command line.
"""

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, dataclass_transform, get_args, get_type_hints

from superposition._internal.recipe_fields import class_fields
from superposition._internal.registry import listed
from superposition.errors import ConfigError

T = TypeVar("T")

SMALL_LM_SAE = "superposition/small-lm-sae"
# What a path may hold: by which file it is known, what it is called, and what opens it.
KINDS = {
    "sweep": (("zarr.json", "loss/zarr.json"), "a sweep of toy models", "superposition show"),
    "run": (("results.json",), "a run of SAEs", "superposition sae show"),
    "sae": (("cfg.json",), "an SAE", "superposition sae show"),
    "pages": (("index.html",), "feature pages (`superposition page` writes them)", "a browser"),
    "model": (("config.json", "tokenizer.json"), "a language model", "--model"),
    "cache": (("MANIFEST.json",), "a cache that `llm activations` wrote", "--cache"),
    "array": ((), "a .npy, .npz, .safetensors or Zarr array", "--activations"),
}
# The least that an integer may be, and the range of a number, whichever command takes it: one name, one meaning.
LEAST = {
    "n_features": 1, "n_hidden": 1, "n_sets": 1, "d_in": 1, "d_sae": 1, "steps": 1, "batch_size": 1, "examples": 1,
    "top": 1, "max_tokens": 1, "ctx": 2, "mixing": 0,
}  # fmt: skip
RANGES: dict[str, dict[str, Any]] = {
    "density": {"high": 1.0, "open_low": True},
    "sparsity": {"high": 1.0, "open_high": True},
    "importance": {"high": 1e30},
    "importance_base": {"high": 1e6},
    "learning_rate": {"high": 1e3},
    "weight_decay": {"high": 1e3},
    "l0_target": {"high": 1e30, "open_low": True},
    "k": {"high": 1e30, "open_low": True},
    "largest": {"high": 1e30, "open_low": True},
}


class Needed(NamedTuple):
    """Of a setting without which a command does not run: what to give, for example."""

    example: str


class Holds(NamedTuple):
    """Of a path: at which of KINDS it may point, and that there is something."""

    kinds: tuple[str, ...]


class OneOf(NamedTuple):
    """Of a name: which registry it is from, and the registry of those of its names that are not accepted."""

    room: str
    registry: str
    without: str | None = None

    def names(self) -> tuple[str, ...]:
        """The names that are accepted."""
        others = () if self.without is None else listed(self.room, self.without)
        return tuple(name for name in listed(self.room, self.registry) if name not in others)

    def __str__(self) -> str:
        *others, last = self.names()
        return f"{', '.join(others)} or {last}"


SAEPath = Annotated[Path, Holds(("sae", "run"))]
SweepPath = Annotated[Path, Holds(("sweep",))]
CachePath = Annotated[Path, Holds(("cache",))]


@dataclass_transform(frozen_default=True)
def group(heading: str, *, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a frozen dataclass of settings, whose own flags stand under `heading` in help."""

    def made(kind: type[T]) -> type[T]:
        kind.GROUP = heading  # type: ignore[attr-defined]
        return dataclass(frozen=True, kw_only=kw_only)(kind)

    return made


@group("Output")
class Output:
    """Where results go."""

    out: Annotated[Path | None, Needed("--out runs/first")] = None
    """Where to write: a path at which there is nothing yet."""


@group("Output")
class Resumable(Output):
    """Results that a run which was killed goes on to write."""

    resume: bool = False
    """Continue what is in --out."""

    def check(self) -> None:
        """ConfigError where something stands in the way."""
        free(self.out, self.resume, "--resume to continue it, or another --out")


@group("Output")
class Trained(Resumable):
    """Models that are trained."""

    allow_mixed: bool = False
    """Continue it in another environment too (JAX, device, XLA flags, processor), which changes bits."""


@group("Output")
class Numbers:
    """Numbers that go to the terminal, and to a file where one is named."""

    json: Path | None = None
    """File for the numbers."""
    overwrite: bool = False
    """Replace that file."""

    def check(self) -> None:
        """ConfigError where the file would replace another unasked."""
        free(self.json, self.overwrite, "--overwrite to replace it, or another --json")


@group("SAE", kw_only=True)
class ReadsSAEs:
    """Files of SAEs that others wrote."""

    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""


def check(settings: Any) -> None:
    """ConfigError for what is wrong with a command's settings, the first that is found."""
    kind, values = type(settings), {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        values[field.name] = value if isinstance(value, tuple) else () if value is None else (value,)
    for name, several in values.items():
        _check_numbers(name, several)
    hints = get_type_hints(kind, include_extras=True)
    marks = [(name, mark) for name in values for mark in marks_of(hints[name])]
    for name, mark in marks:
        if isinstance(mark, Needed) and not values[name]:
            text = help_of(kind, name).rstrip(".")
            raise ConfigError(f"give --{name}, {text[0].lower()}{text[1:]}; for example {mark.example}")
        for value in values[name] if isinstance(mark, OneOf) else ():
            choose(name, value, mark.names())
    for part in reversed(kind.__mro__):
        if "check" in vars(part):
            part.check(settings)  # type: ignore[attr-defined]
    for name, mark in marks:
        for value in values[name] if isinstance(mark, Holds) else ():
            expect(value, *mark.kinds)


def _check_numbers(name: str, values: tuple[Any, ...]) -> None:
    """ConfigError for a number that no command takes under this name, and for a seed that is given twice."""
    from superposition._internal import validate  # here, for `--help` does not wait for NumPy

    for value in values:
        if name in LEAST:
            validate.integer(name, value, LEAST[name])
        elif name in ("seed", "data_seed"):
            validate.integer(name, value, 0, validate.MAX_SEED)
        elif name in RANGES:
            validate.in_range(name, value, 0.0, **RANGES[name])
        elif name == "memory_gb":
            validate.positive(name, value)
    if name == "seed":
        distinct(name, values)


def marks_of(hint: Any) -> Iterator[Any]:
    """What the annotation of a setting says of it, of the parts of its type too."""
    yield from getattr(hint, "__metadata__", ())
    for part in get_args(hint):
        yield from marks_of(part)


def help_of(settings: type, name: str) -> str:
    """The sentence or two on a setting; one that ends with a colon goes on with the names that it accepts."""
    field = next(field for field in fields(settings) if field.name == name)  # type: ignore[arg-type]
    text = field.metadata.get("help") or class_fields(settings.__module__, settings.__name__)[name].doc
    text = " ".join(text.split())
    marks = marks_of(get_type_hints(settings, include_extras=True)[name])
    accepted = next((mark for mark in marks if isinstance(mark, OneOf)), None)
    return f"{text} {accepted}." if text.endswith(":") else text


def changed(settings: Any, names: Iterable[str], plain: Any = None) -> list[str]:
    """Those of the settings that are not as they are by default (or in `plain`), as flags."""
    plain = type(settings)() if plain is None else plain
    flags = []
    for name in names:
        value, default = getattr(settings, name), getattr(plain, name)
        if value != default:
            off = value is False and default is None
            flags.append(f"--{'no-' * off}{name.replace('_', '-')}")
    return flags


def choose(name: str, value: str, accepted: Iterable[str]) -> str:
    """One of the accepted names, or ConfigError with the nearest of them."""
    names = list(accepted)
    if value in names:
        return value
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{name} must be one of {', '.join(names)}; got {value!r}{hint}")


def expect(path: Path, *kinds: str) -> None:
    """ConfigError where there is nothing, or something that is known to be of another kind."""
    wanted = " or ".join(KINDS[kind][1] for kind in kinds)
    if not os.path.lexists(path):
        store = ", so not a Zarr store" if kinds == ("sweep",) else ""
        raise ConfigError(f"{path}: no such file or directory{store}; give {wanted}")
    found = kind_of(path)
    if found is not None and found not in kinds:
        _, name, opener = KINDS[found]
        what_opens = f"{opener} {path}" if opener.startswith("superposition") else opener
        raise ConfigError(f"{path} is {name}, not {wanted}; what opens it is {what_opens}")
    if kinds == ("sweep",) and not (path / "zarr.json").is_file():
        raise ConfigError(f"{path} is not a Zarr store of a sweep; give the --out of a `superposition sweep`")


def kind_of(path: Path) -> str | None:
    """Which of KINDS a directory holds, by its files."""
    for kind, (files, _, _) in KINDS.items():
        if files and all((path / file).is_file() for file in files):
            return kind
    return None


def free(path: Path | None, allowed: bool, mend: str) -> None:
    """ConfigError where something is at `path` that may not be replaced."""
    if path is not None and os.path.lexists(path) and not allowed:
        raise ConfigError(f"{path} exists; give {mend}")


def distinct(name: str, values: Iterable[Any]) -> None:
    """ConfigError for no value, or one that is given twice."""
    listed = list(values)
    if not listed:
        raise ConfigError(f"{name} needs at least one value")
    for value in listed:
        if listed.count(value) > 1:
            raise ConfigError(f"{name} lists {value:g} twice; every value is one model")
