"""What a sweep's store holds, file by file: a SHA-256 of each, by which damage is noticed.

`records/store.json` names everything that was there before the first model: the metadata of every array and the
coordinates, and holds a second copy of the recipe. `records/block-G-R.json` is written after the chunks of a block
and before its `status`: from then on the block is there. It names the chunks, holds those of `status` themselves (a kill
may come between the two), and says in which environments the block was trained. A file that no record names is
not there for a reader. All records carry a SHA-256 of themselves.
"""

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from superposition._internal import atomic
from superposition._internal.sealed_json import decode, digest, encode
from superposition.errors import CorruptError, StoreError
from superposition.storage.provenance import Environment, distinct

FORMAT = 2  # stores of format 1 have no records
FOLDER = "records"
STORE = f"{FOLDER}/store.json"
ROOT = "zarr.json"
MEND = "run the same sweep with --resume, which mends it"
_BLOCK = re.compile(r"(block-[0-9]+-[0-9]+)\.json")
_GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Block(NamedTuple):
    """A finished block: SHA-256 of its chunks by key, those of its status by key, and what trained it."""

    files: dict[str, str]
    status: dict[str, bytes]
    environments: list[Environment]


class Ledger(NamedTuple):
    """All that a store holds: SHA-256 by key, chunks of status by key, and the environments of the blocks."""

    files: dict[str, str]
    status: dict[str, bytes]
    environments: list[Environment]


def read(path: Path) -> bytes | None:
    """The bytes of a file, None if there is none; StoreError where the system refuses."""
    with atomic.system(path):
        try:
            return path.read_bytes()
        except _GONE:
            return None


def write(path: Path, data: bytes) -> None:
    """Write a file as a whole, in place of one of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        atomic.remove(temporary)
        raise


def is_good(root: Path, key: str, sha256: str) -> bool:
    """Whether a file is what was written."""
    data = read(root / key)
    return data is not None and digest(data) == sha256


def write_store(root: Path, attributes: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Record what is there before the first model."""
    digests = {key: digest(data) for key, data in sorted(files.items())}
    write(root / STORE, encode({"format": FORMAT, "attributes": dict(attributes), "files": digests}))


def read_store(root: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The attributes of the store, and SHA-256 by key of what was there before the first model."""
    record = _read(root, STORE)
    if record["format"] != FORMAT:
        raise StoreError(f"{root} has format {record['format']}; read it with the version that wrote it")
    return record["attributes"], record["files"]


def recipe_digest(attributes: Mapping[str, Any]) -> str:
    """By which a block knows its sweep: SHA-256 of the run, the axes and the plan of the blocks."""
    recipe = [attributes[name] for name in ("config", "block_shape", "shared_draw") if name in attributes]
    return digest(json.dumps(recipe).encode())


def write_block(root: Path, name: str, attributes: Mapping[str, Any], block: Block) -> None:
    """Record a block: with this it is there."""
    body = {
        "block": name,
        "recipe": recipe_digest(attributes),
        "block_shape": attributes["block_shape"],
        "environments": block.environments,
        "files": block.files,
        "status": {key: base64.b64encode(data).decode() for key, data in block.status.items()},
    }
    write(root / FOLDER / f"{name}.json", encode(body))


def read_block(root: Path, name: str, attributes: Mapping[str, Any]) -> Block:
    """The record of a block; CorruptError if it is damaged, missing, or of another block or sweep."""
    key = f"{FOLDER}/{name}.json"
    record = _read(root, key)
    if record["block"] != name or record["recipe"] != recipe_digest(attributes):
        raise CorruptError(f"{root}: {key} is the record of another block; {MEND}")
    status = {key: base64.b64decode(data) for key, data in record["status"].items()}
    return Block(record["files"], status, record["environments"])


def names(root: Path) -> list[str]:
    """The blocks that have a record, good or not."""
    with atomic.system(root):
        try:
            found = sorted(os.listdir(root / FOLDER))
        except _GONE:
            return []
    return [match[1] for name in found if (match := _BLOCK.fullmatch(name))]


def status_chunks(root: Path) -> list[str]:
    """The keys of the chunks of `status` that are on the disk."""
    chunks = root / "status" / "c"
    found = [chunks, *chunks.rglob("*")]
    return [p.relative_to(root).as_posix() for p in found if p.is_file() and p.suffix != ".partial"]


def ledger(root: Path) -> Ledger:
    """All that the store holds; CorruptError if a record is damaged or missing."""
    begun = status_chunks(root)  # looked for before the records, which a running sweep writes before them
    attributes, files = read_store(root)
    blocks = [read_block(root, name, attributes) for name in names(root)]
    for block in blocks:
        files |= block.files
    for key in begun:
        if key not in files:
            raise CorruptError(f"{root}: the record of the block of {key} is missing; {MEND}")
    environments = distinct(one for block in blocks for one in block.environments)
    status = {key: data for block in blocks for key, data in block.status.items()}
    return Ledger(files, status, environments)


def checked(root: Path, key: str, book: Ledger) -> bytes:
    """The bytes of a file that are those written; CorruptError if they are not."""
    data = read(root / key)
    if data is None:
        data = book.status.get(key)
    if data is None:
        raise CorruptError(f"{root}: {key} is missing; {MEND}")
    if digest(data) != book.files[key]:
        raise CorruptError(f"{root}: {key} is damaged: it is not what was written; {MEND}")
    return data


def _read(root: Path, key: str) -> dict[str, Any]:
    data = read(root / key)
    if data is None:
        raise CorruptError(f"{root}: {key} is missing; {MEND}")
    try:
        return decode(data)
    except ValueError as error:
        raise CorruptError(f"{root}: {key} is damaged: it is not what was written; {MEND}") from error
