"""Documents by source: text files, JSON, and Hugging Face datasets."""

import codecs
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from superposition._internal.optional import needed_for
from superposition.errors import ConfigError

FIELDS = ("text", "content", "document", "body", "story", "passage", "sentence")
ABOUT = (
    "*license*",
    "*licence*",
    "copying*",
    "notice*",
    "provenance*",
    "readme*",
)  # about the text, not text

MARKS = {  # UTF-32's begin as UTF-16's do
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

PACKED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}


class Texts(dict[str, list[str]]):
    """Documents by source; origin: the file of each source."""

    def __init__(self) -> None:
        super().__init__()
        self.origin: dict[str, Path] = {}


def read_text(paths: str | Path | Sequence[str | Path], *, skip: Sequence[str] = ABOUT) -> Texts:
    """Documents of every file, by source; a source is one file, named by its path below the folder given.

    A folder is searched through (hidden files, and names matching `skip` in lower case, left out). .json and
    .jsonl hold strings or objects with a text field, one document each; any other file is one document of
    UTF-8 text (or of UTF-16 or UTF-32 with a byte order mark); .gz and .xz are unpacked. Raises ConfigError for what is
    missing, empty, binary or of another encoding.
    """
    texts = Texts()
    for path, root in _files([paths] if isinstance(paths, str | Path) else paths, skip):
        name = _name(path.relative_to(root))
        if name in texts:
            raise ConfigError(
                f"{texts.origin[name]} and {path} would both be the source {name!r}; rename one, or give the "
                "folder that holds both"
            )
        texts[name], texts.origin[name] = read_documents(path), path
    return texts


def read_documents(path: Path) -> list[str]:
    """The documents of one file, none of them empty."""
    text = _decode(path, _read(path))
    suffix = Path(_unpacked_name(path)).suffix.lower()
    if suffix == ".jsonl":
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        found = [_record(f"{path}, line {n}", _json(path, line, n)) for n, line in lines]
    elif suffix == ".json":
        found = [_record(f"{path}, item {n}", item) for n, item in enumerate(_items(path, text))]
    else:
        found = [text]
    documents = [document for document in found if document.strip()]
    if not documents:
        raise ConfigError(f"{path} holds no text; leave it out, or fill it")
    return documents


def dataset_text(
    name_or_path: str,
    *,
    split: str = "train",
    column: str = "text",
    config: str | None = None,
    streaming: bool = True,
) -> Iterator[str]:
    """Documents of a Hugging Face dataset, or of a folder in its layout; code from a repository is never run."""
    with needed_for("reading a dataset", "datasets", "give text files"):
        import datasets
    try:
        rows = datasets.load_dataset(name_or_path, config, split=split, streaming=streaming)
        columns = rows.column_names or list(next(iter(rows), {}))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ConfigError(
            f"the dataset {name_or_path!r} (config {config!r}, split {split!r}) cannot be read: "
            f"{_first_line(error)}. Without a network, give the path of a folder of .txt, .jsonl or .parquet files"
        ) from error
    if column not in columns:
        raise ConfigError(f"{name_or_path} has no column {column!r}; its columns are {', '.join(columns)}")
    return _column(name_or_path, rows, column)


def _column(name: str, rows: Any, column: str) -> Iterator[str]:
    for number, row in enumerate(rows.select_columns([column])):
        document = row[column]
        if not isinstance(document, str):
            kind = type(document).__name__
            raise ConfigError(f"{name}, row {number}: column {column!r} must hold text; got {kind}")
        if document.strip():
            yield document


def _files(paths: Sequence[str | Path], skip: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Every file with the folder it is named from, in a fixed order."""
    for given in map(Path, paths):
        if given.is_dir():
            inside = sorted(path for path in given.rglob("*") if path.is_file())
            kept = [path for path in inside if not _left_out(path.relative_to(given), skip)]
            if not kept:
                raise ConfigError(f"the folder {given} holds no text files")
            yield from ((path, given) for path in kept)
        elif given.exists():
            yield given, given.parent
        else:
            raise ConfigError(f"there is no file or folder {given}")


def _left_out(path: Path, skip: Sequence[str]) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or any(fnmatch(path.name.lower(), pattern) for pattern in skip)


def _name(path: Path) -> str:
    bare = path.with_name(_unpacked_name(path))
    return bare.with_suffix("").as_posix()


def _unpacked_name(path: Path) -> str:
    return path.stem if path.suffix in PACKED else path.name


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return PACKED[path.suffix](data) if path.suffix in PACKED else data
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _decode(path: Path, data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 or UTF-32 that a byte order mark announces; line ends of Windows made plain."""
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise ConfigError(
                f"{path} begins as {encoding.upper()} and is none: {error.reason} at offset {error.start}; save it "
                "as UTF-8"
            ) from error
        if 0 in data:
            raise ConfigError(_binary(path, data)) from error
        at = error.start + (3 if data.startswith(codecs.BOM_UTF8) else 0)
        raise ConfigError(
            f"{path} is not UTF-8: byte 0x{data[at]:02x} at offset {at}; convert it, for instance with "
            "`iconv -f latin1 -t utf-8`"
        ) from error
    if "\0" in text:
        raise ConfigError(_binary(path, data))
    return text.replace("\r\n", "\n")


def _binary(path: Path, data: bytes) -> str:
    """What is said of a file with zero bytes: every second one is zero in UTF-16 of European languages."""
    for first, order in ((1, "le"), (0, "be")):
        half = data[first::2]
        if half.count(0) * 2 > len(half) and data[1 - first :: 2].count(0) == 0:
            return (
                f"{path} seems to be UTF-16; convert it, for instance with `iconv -f utf-16{order} -t utf-8`"
            )
    return f"{path} is binary, not text (a zero byte at {data.find(0)}); leave it out, or move it away"


def _json(path: Path, text: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        at = f"line {line + getattr(error, 'lineno', 1) - 1}"
        raise ConfigError(f"{path} is not JSON ({at}: {_first_line(error)})") from error


def _items(path: Path, text: str) -> list[Any]:
    """The list in a .json file: the whole of it, or the one list in an object."""
    whole = _json(path, text)
    lists = [value for value in whole.values() if isinstance(value, list)] if isinstance(whole, dict) else []
    if isinstance(whole, list):
        return whole
    if len(lists) == 1:
        return lists[0]
    raise ConfigError(
        f"{path} must be a list of texts, of objects with a text field, or an object with one such list"
    )


def _record(where: str, item: Any) -> str:
    """The text of a string, or of an object with a text field."""
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        raise ConfigError(f"{where} must be text or an object with a text field; got {type(item).__name__}")
    strings = [name for name, value in item.items() if isinstance(value, str)]
    named = [name for name in FIELDS if name in strings]
    if not named and len(strings) != 1:
        fields = ", ".join(map(str, item)) or "nothing"
        raise ConfigError(f"{where} has no text field ({', '.join(FIELDS)}); it holds {fields}")
    return item[(named or strings)[0]]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
