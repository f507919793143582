"""`superposition sae eval`, `convert` and the tables of all: SAEs from directories, numbers to terminal and JSON."""

import itertools
import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from superposition import metrics
from superposition._internal import atomic
from superposition.cli.sae.commands import ConvertConfig, EvalConfig
from superposition.cli.sae.data import Data, open_data
from superposition.cli.settings import choose
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.evaluation.metrics import METRICS
from superposition.evaluation.pairs import splitting, universality
from superposition.evaluation.sae import evaluate
from superposition.sae.transforms import fold_input_bias
from superposition.storage import formats
from superposition.storage.formats import Loaded
from superposition.storage.provenance import provenance
from superposition.storage.sae_runs import RESULTS, finite, read_results

MAX_ROWS = 60
WIDE = 200
COLUMNS = {name: metric.column for name, metric in METRICS.items() if metric.column is not None}


class Named(NamedTuple):
    """An SAE from disk under a short name."""

    name: str
    path: Path
    loaded: Loaded


def table(records: Sequence[Mapping[str, Any]], title: str, of: str = "SAE") -> None:
    """Print one row an SAE (or whatever `of` says): its settings or name, and its metrics."""
    settings = list(dict.fromkeys(k for r in records for k in r.get("settings", {})))
    shown = {k: v for k, v in COLUMNS.items() if any(k in r["metrics"] for r in records)}
    faulty = any(r.get("fault") for r in records)
    drawn = Table(title=escape(visible(title)), box=SIMPLE_HEAD, pad_edge=False)
    for name in (*(settings or [of]), *shown.values(), *(["fault"] if faulty else [])):
        drawn.add_column(escape(visible(name)), justify="right", no_wrap=bool(settings))
    for record in records[:MAX_ROWS]:
        own = record.get("settings", {})
        first = [_number(own.get(k)) for k in settings] if settings else [Text(visible(record["name"]))]
        values = [_number(record["metrics"].get(k), 3) for k in shown]
        drawn.add_row(*first, *values, *([Text(visible(record.get("fault") or ""))] if faulty else []))
    console().print(drawn)
    for record in records[:MAX_ROWS]:
        for warning in record.get("warnings") or ():
            print(f"warning: {visible(record['name'])}: {warning}")
    if len(records) > MAX_ROWS:
        print(f"... and {len(records) - MAX_ROWS} more {of}s")


def console() -> Console:
    """Standard output; where that is no terminal, wide enough that no number is cut."""
    usual = Console()
    return usual if usual.is_terminal else Console(width=WIDE)


def visible(text: str) -> str:
    """Text that a terminal only shows: control characters, and what its encoding lacks, as escapes."""
    shown = "".join(c.encode("unicode_escape").decode() if _controls(c) else c for c in text)
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _controls(character: str) -> bool:
    """Line ends are text, and so are the joiners of scripts; other invisible characters may act on a terminal."""
    kind = unicodedata.category(character)
    return character not in "\n\u200c\u200d" and (kind[0] == "C" or kind in ("Zl", "Zp"))


def _number(value: Any, digits: int = 6) -> str:
    if value is None:
        return "-"
    with suppress(OverflowError):  # an integer that is no float
        return f"{value:.{digits}g}" if isinstance(value, int | float) else escape(visible(str(value)))
    return str(value)


def load_all(paths: Sequence[Path], *, allow_pt: bool = False) -> list[Named]:
    """The SAEs at `paths`, a run's directory standing for all of its. ConfigError where there is nothing."""
    found: list[Path] = []
    for path in paths:
        if not os.path.lexists(path):
            raise ConfigError(f"{path}: no such file or directory; give an SAE or a run")
        if (path / RESULTS).is_file():
            found += [path / record["name"] for record in read_results(path)["records"]]
        else:
            found.append(path)
    if not found:
        raise ConfigError("give at least one SAE directory, or the directory of a run, before the options")
    return [
        Named(name, path, formats.load(path, allow_pt=allow_pt))
        for name, path in zip(_names_of(found), found, strict=True)
    ]


def _names_of(paths: Sequence[Path]) -> list[str]:
    """Short names for SAEs: the last part of each path, the whole where that is ambiguous."""
    short = [path.resolve().name for path in paths]
    return [str(p) if short.count(n) > 1 else n for p, n in zip(paths, short, strict=True)]


def eval_saes(config: EvalConfig) -> dict[str, Any]:
    """Measure SAEs, print tables, write JSON; returns what is written. Raises ConfigError and StoreError."""
    saes = load_all(config.saes, allow_pt=config.allow_pt)
    data = open_data(config, train=False)
    for one in saes:
        _matches(one, data)
    records = []
    for one in saes:
        sae, params = one.loaded.sae, one.loaded.params
        dictionary = data.dictionary if sae.d_out is None else None
        measured = evaluate(sae, params, data.batches(config.examples, sae.d_sae), dictionary)
        records.append(
            {
                "name": one.name,
                "path": str(one.path),
                "metrics": measured.numbers,
                "log10_density": log10_density(measured.firing_rates),
            }
        )
    examples = int(records[0]["metrics"]["examples"])  # type: ignore[index]
    table(records, f"{len(saes)} SAE{'s' if len(saes) > 1 else ''} on {examples} examples")
    result: dict[str, Any] = {"data": data.about, "provenance": provenance(), "saes": records}
    if len(saes) > 1:
        result |= _compared(saes, data, config.examples)
    if config.json is not None:
        write_json(config.json, result)
        print(f"numbers in {config.json}")
    return result


def log10_density(densities: np.ndarray) -> dict[str, Any]:
    """How many latents fire how often, as JSON."""
    counts, edges, dead = metrics.density_histogram(densities)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "dead": dead}


def _matches(one: Named, data: Data) -> None:
    """The data are of the SAE's widths, or ConfigError."""
    sae = one.loaded.sae
    if sae.d_in != data.d_in:
        raise ConfigError(f"{one.path}: d_in is {sae.d_in}, and the activations have {data.d_in} columns")
    if sae.d_out is not None and sae.d_out != data.d_out:
        has = "none" if data.d_out is None else f"{data.d_out} columns"
        raise ConfigError(f"{one.path}: a transcoder to {sae.d_out} numbers, and the targets have {has}")
    if sae.d_out is None and data.d_out is not None:
        raise ConfigError(f"{one.path}: reconstructs its input; leave the targets out")


def _compared(saes: Sequence[Named], data: Data, examples: int) -> dict[str, Any]:
    """Universality of every pair, and splitting from each SAE to the next where that is wider."""
    names = [one.name for one in saes]
    pairs = universality(names, [np.asarray(one.loaded.params["W_dec"]) for one in saes])
    if not pairs:
        return {"universality": [], "splitting": []}
    title = f"Universality: latents with a partner of cosine >= {pairs[0]['threshold']:g}"
    drawn = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    columns = ("a", "b", "mmcs_ab", "mmcs_ba", "mmcs_by_chance", "a_in_b", "b_in_a")
    for name in columns:
        drawn.add_column(name.replace("_", " "), justify="right", overflow="fold")
    for pair in pairs[:MAX_ROWS]:
        drawn.add_row(*(_number(pair[c], 4) for c in columns))
    console().print(drawn)
    split = []
    for a, b in itertools.pairwise(saes):
        one, other = a.loaded, b.loaded
        if one.sae.d_sae < other.sae.d_sae:
            batches = data.batches(examples, other.sae.d_sae)
            found = splitting((one.sae, one.params), (other.sae, other.params), batches)
            split.append({"narrow": a.name, "wide": b.name, **found})
            print(
                f"splitting {a.name} -> {b.name}: {100 * found['split_fraction']:.1f} % of its latents split, "
                f"{100 * found['novel_fraction']:.1f} % of the wide ones are new"
            )
    return {"universality": pairs, "splitting": split}


def write_json(path: Path, value: Any) -> None:
    """Write JSON that is there as a whole or not at all; StoreError where the system refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_file(path, json.dumps(finite(value), indent=1, allow_nan=False).encode())
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free space or give another path"
        ) from error


def convert_sae(config: ConvertConfig) -> str:
    """Write an SAE in another format, read it back and compare every number; returns where it is.

    Raises ConfigError for what the format cannot hold and where something is already, StoreError for the disk,
    CorruptError if what was read back differs.
    """
    if config.from_format is not None:
        choose("from", config.from_format, formats.FORMATS)
    sae, params, metadata, sparsity = formats.load(
        config.source, config.from_format, allow_pt=config.allow_pt
    )
    if config.fold_b_dec:
        sae, params = fold_input_bias(sae, params)
    if config.drop_metadata:
        metadata = {}
    elif metadata and config.to == "gemma-scope":
        raise ConfigError("gemma-scope has no place for metadata; give --drop-metadata to leave them out")
    kept = sparsity if config.to == "saelens" else None
    formats.save(config.destination, sae, params, metadata, config.to, dtype=config.dtype, sparsity=kept)
    back = formats.load(config.destination, config.to, allow_pt=True)  # our own
    if config.dtype == "float32" and type(back.sae) is type(sae):
        for name, array in params.items():
            if not np.array_equal(np.asarray(array), np.asarray(back.params[name])):
                raise CorruptError(f"{config.destination}: {name} differs from that of {config.source}")
    if sparsity is not None and kept is None:
        print(f"{config.to} has no place for firing frequencies; they stay in {config.source}")
    if type(back.sae) is not type(sae):
        print(f"{type(sae).__name__} is {type(back.sae).__name__} in {config.to}")
    return str(config.destination)
