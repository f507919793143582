"""A set of pages on disk: a folder that opens as a file, and is there as a whole or not at all."""

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from superposition._internal import atomic
from superposition.errors import ConfigError, StoreError
from superposition.pages import check

EMBEDDED = 100  # features up to which all is in one file
MARK = '<meta name="generator" content="superposition pages">'
_SIBLING = re.compile(r"(0|[1-9][0-9]*)\.js")
# < and & begin and end markup, U+2028 and U+2029 lines of JavaScript, and a lone surrogate is not UTF-8.
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_ASSETS = resources.files("superposition.pages") / "assets"


class Pages(NamedTuple):
    """A set of pages: its index, and its features and texts, each made when it is taken (once).

    >>> pages = Pages({"title": "Mine"}, features=iter([{"id": 0}]), texts=iter(()))
    >>> pages.index["title"], next(pages.features)
    ('Mine', {'id': 0})
    """

    index: dict[str, Any]  # type: ignore[assignment]
    features: Iterator[dict[str, Any]]
    texts: Iterator[dict[str, Any]]


def write(
    out: str | os.PathLike[str],
    index: Mapping[str, Any],
    features: Iterable[Mapping[str, Any]],
    texts: Iterable[Mapping[str, Any]] = (),
    *,
    overwrite: bool = False,
) -> Path:
    """Write index.html and, above 100 features, a file for every feature and text; returns the folder.

    The features are taken one by one in the order of the index. The bytes depend on the arguments alone. With
    `overwrite` a folder that holds pages and nothing else is replaced. Raises ConfigError for pages that contradict
    themselves, StoreError for a folder that cannot be written; what was there then stays.
    """
    path = Path(os.path.abspath(out))
    check.index(index)
    pages = _pages(index, features, texts)
    siblings = len(index["columns"]["id"]) > EMBEDDED
    with atomic.system(path):
        replaceable(path, overwrite)
        atomic.create(path.parent)
        with atomic.replacing(path, check=lambda: replaceable(path, overwrite)) as new:
            data = {"index": as_json(index, "the index")}
            if siblings:
                for key, text in pages:
                    _put(new / f"{key}.js", _call(key, text))
            else:
                data |= dict(pages)
            _put(new / "index.html", _page(index, data, siblings))
    return path


def _pages(
    index: Mapping[str, Any], features: Iterable[Mapping[str, Any]], texts: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """(key, JSON) of every feature and text: as many as the index names, and those."""
    ids, names = index["columns"]["id"], index["texts"]
    known = frozenset(ids)
    for kind, fits, expected, given in (
        ("feature", check.feature, ids, iter(features)),
        ("text", check.text, names, iter(texts)),
    ):
        for n, wanted in enumerate(expected):
            if (page := next(given, None)) is None:
                raise ConfigError(f"expected {len(expected)} {kind}s as in the index, got {n}")
            fits(page, wanted, known)
            key = f"{kind}s/{wanted if kind == 'feature' else n}"
            yield key, as_json(page, key)
        if next(given, None) is not None:
            raise ConfigError(f"expected {len(expected)} {kind}s as in the index, got more")


def as_json(value: Any, what: str) -> str:
    """JSON that is safe inside a <script> element, and UTF-8."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: must be JSON with finite numbers (unknown is None): {error}") from error
    return _UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _call(key: str, text: str) -> str:
    """A sibling: JSON in a raw string, in which ` and ${ alone would be code; it is parsed as data."""
    raw = text.replace("`", "\\u0060").replace("$", "\\u0024")
    return f"superposition.take({json.dumps(key)},String.raw`{raw}`);\n"


def _page(index: Mapping[str, Any], data: Mapping[str, str], siblings: bool) -> str:
    module, style = ((_ASSETS / name).read_text("utf-8") for name in ("page.js", "page.css"))
    own = " 'self'" if siblings else ""
    policy = (
        f"default-src 'none'; script-src {hash_of(module)}{own}; "
        f"style-src {hash_of(style)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    scripts = "\n".join(
        f'<script type="application/json" id="{key}">{text}</script>' for key, text in data.items()
    )
    parts = {
        "policy": policy,
        "mark": MARK,
        "title": html.escape(index["title"]),
        "unit": html.escape(index["unit"]),
        "style": style,
        "data": scripts,
        "module": module,
    }
    shell = (_ASSETS / "shell.html").read_text("utf-8")
    return re.sub(
        r"\{\{(\w+)\}\}", lambda m: parts[m[1]], shell
    )  # once: what is put in is not looked at again


def hash_of(text: str) -> str:
    """A script or a style as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    atomic.put(path, text.encode("utf-8", "xmlcharrefreplace"))  # a lone surrogate in the title


def replaceable(path: Path, overwrite: bool) -> bool:
    """Whether there are pages to replace.

    StoreError unless there is nothing at `path`, an empty folder, or with `overwrite` pages and nothing else.
    """
    try:
        names = atomic.names_in(path)
    except NotADirectoryError as error:
        raise StoreError(
            f"{path}: expected a folder or nothing, got something else; choose another path"
        ) from error
    if names and not _ours(path, names):
        raise StoreError(f"{path}: holds {names[:8]}, not pages and nothing else; choose another path")
    if names and not overwrite:
        raise StoreError(f"{path}: pages are there; give overwrite=True to replace them")
    return bool(names)


def writable(out: str | os.PathLike[str]) -> Path:
    """Where pages go, as an absolute path; StoreError where they could not be written, whatever they replace."""
    path = Path(os.path.abspath(out))
    replaceable(path, overwrite=True)
    parent = next(folder for folder in path.parents if os.path.lexists(folder))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"{out}: cannot write in {parent}; give another folder")
    return path


def _sibling(path: Path) -> bool:
    return _SIBLING.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def _ours(path: Path, names: list[str]) -> bool:
    for name in names:
        child = path / name
        if child.is_symlink() or name not in ("index.html", "features", "texts"):
            return False
        if name != "index.html" and not (
            child.is_dir() and all(_sibling(child / name) for name in os.listdir(child))
        ):
            return False
    page = path / "index.html"
    if not page.is_file():
        return False
    with open(page, "rb") as file:
        return MARK.encode() in file.read(2048)
