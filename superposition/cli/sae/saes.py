"""SAEs on disk that a command names."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from superposition._internal import atomic
from superposition.errors import ConfigError
from superposition.storage import formats
from superposition.storage.provenance import provenance
from superposition.storage.sae_runs import RESULTS, finite, read_results


class Named(NamedTuple):
    """An SAE from disk under a short name."""

    name: str
    path: Path
    loaded: formats.Loaded


def load_all(paths: Sequence[Path], *, allow_pt: bool = False) -> list[Named]:
    """The SAEs at `paths`, a run's directory standing for all of its. ConfigError where there is nothing."""
    places: list[Path] = []
    for path in paths:
        if not os.path.lexists(path):
            raise ConfigError(f"{path}: no such file or directory; give an SAE or a run")
        is_run = (path / RESULTS).is_file()
        places += [path / one["name"] for one in read_results(path)["records"]] if is_run else [path]
    if not places:
        raise ConfigError("give at least one SAE directory, or the directory of a run, before the options")
    short = [path.resolve().name for path in places]
    return [
        Named(str(path) if short.count(name) > 1 else name, path, formats.load(path, allow_pt=allow_pt))
        for path, name in zip(places, short, strict=True)
    ]


def load_one(path: str, *, allow_pt: bool = False) -> Named:
    """The SAE at `path`; ConfigError for a run of several."""
    saes = load_all([Path(path)], allow_pt=allow_pt)
    if len(saes) > 1:
        raise ConfigError(f"{path} holds {len(saes)} SAEs; give one of them, such as {saes[0].path}")
    return saes[0]


def published(path: Path | None, result: dict[str, Any]) -> dict[str, Any]:
    """The numbers with their provenance, without NaN; written to `path`, whole or not at all, where one is given."""
    result = finite({"provenance": provenance(), **result})
    if path is not None:
        with atomic.system(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_file(path, json.dumps(result, indent=1, allow_nan=False).encode())
        print(f"numbers in {path}")
    return result
