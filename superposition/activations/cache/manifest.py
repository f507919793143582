"""What a cache directory holds, and whether it is what was written.

`shard-000002-65536.safetensors` (number and rows) holds, for each row, the activations of every hook and where
it is from, int32 `sequence` and `position`; in its header stand the cache and the number it belongs to.
`tokens.safetensors` holds `tokens` (n_sequences, ctx). `MANIFEST.json` holds the settings that decide the numbers,
size and SHA-256 of every other file, and the SHA-256 of all that. A file counts once the manifest names it.
"""

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superposition._internal import atomic
from superposition._internal.sealed_json import decode, encode
from superposition.activations.files import stamp
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.storage import checkpoint, trees

FORMAT = 1
MANIFEST, TOKENS = "MANIFEST.json", "tokens.safetensors"
SEQUENCE, POSITION = "sequence", "position"
SHARD = re.compile("shard-([0-9]{6})-([0-9]+)[.]safetensors")
TEMPORARY = ".tmp-"
LABEL = "superposition"
DTYPES = ("float32", "bfloat16", "float16")
MAX_BYTES = 64 << 20  # of MANIFEST.json


class Place(NamedTuple):
    """Where a row is from."""

    sequence: int
    position: int


@dataclass(frozen=True)
class File:
    """A file as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard(File):
    """A shard: its rows, the places of the first and last of them, and the sum of their norms at every hook."""

    rows: int
    first: Place
    last: Place
    norms: dict[str, float]


@dataclass(frozen=True)
class Tokens(File):
    """The file of tokens (n_sequences, ctx)."""

    shape: tuple[int, int]


@dataclass(frozen=True)
class Manifest:
    """The content of MANIFEST.json. `settings` (about, hooks, dtype ...) decide what the rows are."""

    settings: dict[str, Any]
    promised: int
    tokens: Tokens | None = None
    shards: tuple[Shard, ...] = field(default=())

    @property
    def rows(self) -> int:
        """Rows in finished shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def mean_norms(self) -> dict[str, float]:
        """Mean norm of every hook's rows, over all of them."""
        hooks = self.settings["hooks"] if self.shards else ()
        return {hook: math.fsum(s.norms[hook] for s in self.shards) / self.rows for hook in hooks}

    @property
    def dtype(self) -> np.dtype:
        """Of the activations."""
        return np.dtype(self.settings["dtype"])

    def with_shard(self, index: int, shard: Shard) -> "Manifest":
        """The same with shard `index` replaced or, at the end, added."""
        return replace(self, shards=(*self.shards[:index], shard, *self.shards[index + 1 :]))

    def name(self, index: int) -> str:
        """File name of a shard."""
        return shard_name(index, self.shards[index].rows)

    def label(self, index: int) -> dict[str, Any]:
        """What stands in the header of a shard."""
        settings = json.dumps(self.settings, sort_keys=True).encode()
        return {"cache": hashlib.sha256(settings).hexdigest()[:16], "shard": index}


def shard_name(index: int, rows: int) -> str:
    """File name of a shard; a shard that has grown has another."""
    return f"shard-{index:06d}-{rows}.safetensors"


def is_cache(directory: Path) -> bool:
    """Whether a directory says that it is a cache.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     is_cache(Path(folder))
    False
    """
    return (directory / MANIFEST).is_file()


def read(directory: Path) -> Manifest:
    """The manifest. Raises ConfigError where there is none, CorruptError, StoreError for another format."""
    path = directory / MANIFEST
    if not path.exists():
        raise ConfigError(f"{directory}: no cache of activations here, {MANIFEST} is missing; check the path")
    with atomic.system(path):
        data = checkpoint._read(path, 0, MAX_BYTES)
    try:
        body = decode(data)
        if body["format"] != FORMAT:
            found = f"expected format {FORMAT}, got {body['format']!r}"
            raise StoreError(f"{path}: {found}; read it with the version that wrote it")
        tokens = body["tokens"]
        if tokens is not None:
            tokens = Tokens(**{**tokens, "shape": tuple(tokens["shape"])})
        places = [(Place(*s.pop("first")), Place(*s.pop("last")), s) for s in body["shards"]]
        shards = tuple(Shard(**rest, first=first, last=last) for first, last, rest in places)
        return Manifest(body["settings"], body["promised"], tokens, shards)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = f"{error}" if str(error).startswith("expected") else f"expected a manifest, got {error!r}"
        raise CorruptError(f"{path}: {said}") from error


def write(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest."""
    body = {"format": FORMAT, **asdict(manifest), "rows": manifest.rows, "mean_norms": manifest.mean_norms}
    publish(directory / MANIFEST, encode(json.loads(json.dumps(body))))


def publish(path: Path, data: bytes) -> None:
    """Write a file that has its name only once all its bytes are on the disk. Raises StoreError."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    with atomic.system(path):
        atomic.write_file(path, data, temporary=temporary)


def check(path: Path, expected: File, *, verify: bool) -> tuple[int, int]:
    """The stamp of a file of the right size and, to `verify`, of the right SHA-256. Raises CorruptError."""
    with atomic.system(path):
        if not path.is_file():
            raise CorruptError(f"{path}: expected a file of {expected.bytes} bytes, got none")
        with FileIO(path) as file:
            at = stamp(file)
            if at[0] != expected.bytes:
                raise CorruptError(f"{path}: expected {expected.bytes} bytes, got {at[0]}")
            if verify and (got := hashlib.file_digest(file, "sha256").hexdigest()) != expected.sha256:
                raise CorruptError(f"{path}: expected SHA-256 {expected.sha256}, got {got}")
    return at


def offsets(path: Path, tensors: Mapping[str, tuple[tuple[int, ...], str]], label: Any) -> dict[str, int]:
    """Byte at which each tensor (shape, dtype) begins. Raises CorruptError if the header says anything else."""
    with atomic.system(path), open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        data = file.read(min(length, checkpoint.MAX_HEADER))
        size = os.fstat(file.fileno()).st_size
    try:
        header = json.loads(data)
        got_label = json.loads(header.pop("__metadata__")[LABEL])
        if got_label != label:
            raise CorruptError(f"{path}: expected {label}, got {got_label}: a file of another place")
        got = {name: (tuple(entry["shape"]), entry["dtype"]) for name, entry in header.items()}
        wanted = {name: (shape, trees.DTYPES[dtype]) for name, (shape, dtype) in tensors.items()}
        if got != wanted:
            raise ValueError(f"expected {wanted}, got {got}")
        begins = {}
        for name, (shape, dtype) in tensors.items():
            begin, end = header[name]["data_offsets"]
            begins[name] = 8 + length + begin
            wide = math.prod(shape) * np.dtype(dtype).itemsize
            if end - begin != wide or begin < 0 or 8 + length + end > size:
                raise ValueError(f"expected {wide} bytes of {name}, got {begin} to {end}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: expected the header of a shard, got {error}") from error
    return begins
