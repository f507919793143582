"""What the settings of commands share: where results go, and what is refused before JAX is imported.

Importing JAX takes seconds. A class of settings refuses in `check(self)` what it can judge without; recipes and readers
check again, for scripts that have no command line. `GROUP` is the heading of a class's own flags in help.
"""

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from superposition.errors import ConfigError

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


@dataclass(frozen=True)
class Output:
    """Where results go."""

    GROUP: ClassVar[str] = "Output"

    out: Path | None = None
    """Where to write: a path at which there is nothing yet. Required."""

    def check(self) -> None:
        """ConfigError where there is no place to write."""
        if self.out is None:
            raise ConfigError("give --out, where to write; for example --out runs/first")


@dataclass(frozen=True)
class Resumable(Output):
    """Results that a run which was killed goes on to write."""

    GROUP: ClassVar[str] = "Output"

    resume: bool = False
    """Continue what is in --out."""

    def check(self) -> None:
        """ConfigError where something stands in the way."""
        free(self.out, self.resume, "--resume to continue it, or another --out")


@dataclass(frozen=True)
class Trained(Resumable):
    """Models that are trained."""

    GROUP: ClassVar[str] = "Output"

    allow_mixed: bool = False
    """Continue it in another environment too (JAX, device, XLA flags, processor), which changes bits."""


@dataclass(frozen=True)
class Numbers:
    """Numbers that go to the terminal, and to a file where one is named."""

    GROUP: ClassVar[str] = "Output"

    json: Path | None = None
    """File for the numbers."""
    overwrite: bool = False
    """Replace that file."""

    def check(self) -> None:
        """ConfigError where the file would replace another unasked."""
        free(self.json, self.overwrite, "--overwrite to replace it, or another --json")


@dataclass(frozen=True, kw_only=True)
class ReadsSAEs:
    """Files of SAEs that others wrote."""

    GROUP: ClassVar[str] = "SAE"

    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""


def check(settings: Any) -> None:
    """ConfigError for what is wrong with a command's settings, the first that a class of them finds."""
    from superposition._internal import validate  # here, for `--help` does not wait for NumPy

    for field in fields(settings):
        value, name = getattr(settings, field.name), field.name
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            if name in LEAST:
                validate.integer(name, one, LEAST[name])
            elif name in ("seed", "data_seed"):
                validate.integer(name, one, 0, validate.MAX_SEED)
            elif name in RANGES:
                validate.in_range(name, one, 0.0, **RANGES[name])
            elif name == "memory_gb":
                validate.positive(name, one)
    for part in reversed(type(settings).__mro__):
        if "check" in vars(part):
            part.check(settings)  # type: ignore[attr-defined]


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
