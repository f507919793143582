"""safetensors -> flat parameters, one tensor at a time and without torch."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm._read import DTYPES, Stored, header, read_json
from superposition.llm.families import Family
from superposition.llm.families._base import HEAD
from superposition.llm.spec import Spec

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*\.safetensors")  # a name in the folder, never a path
TARGETS: dict[str, Any] = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}
ROWS = 4096  # of two tables compared at a time

Put = Callable[[str, np.ndarray], Any]


def load(folder: Path, family: Family, spec: Spec, dtype: str, put: Put) -> dict[str, Any]:
    """`put(name, array)` of every parameter of `decoder.shapes(spec)`, by name.

    The largest tensor is the most that is held at once besides what `put` keeps. Raises ConfigError that lists
    every tensor that is missing, surplus or of another shape or type; CorruptError for a damaged file.
    """
    validate.choice("dtype", dtype, tuple(TARGETS))
    sources = family.tensors(spec)
    stored = check(folder, family, spec)
    users: dict[str, list[str]] = {}
    for name, source in sources.items():
        users.setdefault(source.name, []).append(name)
    params = {}
    for tensor, names in users.items():
        array = stored[tensor].read()
        for name in names:
            part = np.ascontiguousarray(sources[name].take(array))
            params[name] = put(name, part.astype(TARGETS[dtype], copy=part.base is not None))
    return {name: params[name] for name in sources}


def check(folder: Path, family: Family, spec: Spec) -> dict[str, Stored]:
    """The tensors of a folder by their names in the family; ConfigError unless they are those of the Spec."""
    found, problems = stored_tensors(folder)
    wanted = {source.name: source.shape for source in family.tensors(spec).values()}
    stored: dict[str, Stored] = {}
    surplus = []
    for key, tensor in found.items():
        name = family.name(key)
        if re.fullmatch(family.ignored, name):
            continue
        if name in stored or name not in wanted.keys() | {HEAD}:
            surplus.append(key)
        stored.setdefault(name, tensor)
    problems += [f"missing: {name}" for name in wanted if name not in stored]
    problems += [f"surplus: {key}" for key in surplus]
    for name, shape in wanted.items():
        if name not in stored:
            continue
        if stored[name].shape != shape:
            problems.append(f"{stored[name].key}: shape {stored[name].shape}, by the config {shape}")
        if stored[name].dtype not in DTYPES:
            problems.append(f"{stored[name].key}: {stored[name].dtype}, accepted: {', '.join(DTYPES)}")
    if HEAD in stored and HEAD not in wanted and not problems:
        problems += _tied(stored, family.tensors(spec)["embed.W"].name)
    if problems:
        raise ConfigError(
            f"{folder}: the weights are not those of a {spec.family} with this config.json:\n  "
            + "\n  ".join(problems)
        )
    return stored


def stored_tensors(folder: Path) -> tuple[dict[str, Stored], list[str]]:
    """Every tensor of a folder by its name there, and what contradicts the index."""
    if (folder / SINGLE).exists():
        return header(folder / SINGLE), []
    if not (folder / INDEX).exists():
        raise ConfigError(f"{folder}: no weights. {no_weights(folder)}")
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ConfigError(f"{folder / INDEX}: expected a weight_map of tensor to file, got {places!r:.80}")
    files = sorted({str(file) for file in places.values()})
    if odd := [file[:80] for file in files if not SHARD.fullmatch(file)]:
        raise ConfigError(f"{folder / INDEX}: expected names of .safetensors files beside it, got {odd}")
    if gone := [file for file in files if not (folder / file).exists()]:
        raise ConfigError(
            f"{folder}: shards named in {INDEX} are missing: {', '.join(gone)}; fetch them again"
        )
    found: dict[str, Stored] = {}
    problems = []
    for file in files:
        held = header(folder / file)
        problems += [f"in {file}, not by {INDEX}: {key}" for key in held if places.get(key) != file]
        found |= {key: tensor for key, tensor in held.items() if places.get(key) == file}
    problems += [f"in {INDEX}, not in {places[key]}: {key[:80]}" for key in places if key not in found]
    return found, problems


def no_weights(folder: Path) -> str:
    """What to do about a folder without safetensors."""
    convert = (
        "is a pickle, which can run code and is never read; convert it once, where you trust it: python -c "
        "'from transformers import AutoModelForCausalLM as M; M.from_pretrained(source).save_pretrained(folder)'"
    )
    if any(folder.glob("pytorch_model*.bin")):
        return f"Its pytorch_model.bin {convert}"
    return f"Expected {SINGLE}, or {INDEX} with its shards. A pytorch_model.bin {convert}"


def _tied(stored: dict[str, Stored], embed: str) -> list[str]:
    """A head stored beside the embedding it is tied to must be the same."""
    a, b = stored[embed], stored[HEAD]
    same = a.shape == b.shape and b.dtype in DTYPES
    for start in range(0, a.shape[0] if same else 0, ROWS):
        rows = slice(start, min(start + ROWS, a.shape[0]))
        same = same and bool((a.read(rows) == b.read(rows)).all())
    return [] if same else [f"{b.key} differs from {a.key}, but tie_word_embeddings says they are one"]
