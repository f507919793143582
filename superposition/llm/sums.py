"""Digests of a model's folder, in a file of their own: transformers looks at nothing of that name, and copies nothing.

`superposition.sha256` has a line a file, as `sha256sum` writes them: `sha256sum -c superposition.sha256` checks it.
"""

import hashlib
import re
from pathlib import Path

from superposition._internal.foreign import regular
from superposition.errors import CorruptError

SUMS = "superposition.sha256"
READ = (  # what loading a model reads, and fetches from the hub; a card or a record of its training may change
    "config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*",
    "*_tokens*.json", "vocab.json", "merges.txt",
)  # fmt: skip
LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.\-]*)")
MAX_BYTES = 1 << 20


def seal(folder: Path) -> Path:
    """Write the digests of the files that loading reads, to be called again after each change that is meant."""
    names = sorted({path.name for pattern in READ for path in folder.glob(pattern) if path.is_file()})
    path = folder / SUMS
    path.write_text("".join(f"{_digest(folder / name)}  {name}\n" for name in names))
    return path


def check(folder: Path) -> None:
    """CorruptError for a folder whose files are not those that it has digests of; one without digests passes."""
    path = folder / SUMS
    if not path.exists():
        return
    with open(regular(path), "rb") as file:
        lines = file.read(MAX_BYTES).decode("ascii", "replace").splitlines()
    for line in lines:
        if (match := LINE.fullmatch(line)) is None:
            raise CorruptError(
                f"{path}: expected lines of a SHA-256 and a name, got {line[:80]!r}; {_mend(path)}"
            )
        known, name = match.groups()
        if not (folder / name).exists():
            raise CorruptError(
                f"{folder / name} is missing, and {SUMS} says that it was written; {_mend(path)}"
            )
        if _digest(folder / name) != known:
            raise CorruptError(
                f"{folder / name} is not as it was written, by its SHA-256 in {SUMS}; {_mend(path)}"
            )


def _mend(path: Path) -> str:
    return f"restore the folder, or if the change is meant delete {path}"


def _digest(path: Path) -> str:
    with open(regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
