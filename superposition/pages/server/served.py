"""What a server of pages has to give: a list of files made at its start, and the first page with its secret."""

import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from superposition._internal.strict_json import strict_json
from superposition.errors import ConfigError, CorruptError
from superposition.pages import check

INDEX = "index.html"
FOLDERS = ("features", "texts")
NAME = re.compile(r"(0|[1-9][0-9]{0,15})\.js")
AGAIN = "write pages with `superposition page`, and give their folder"
OTHER = f"is no page that superposition wrote; {AGAIN}"
BEGIN, END = b'<script type="application/json" id="index">', b"</script>"


class File(NamedTuple):
    """A file as it was at the start: one that is another by then is not served."""

    path: Path
    same: tuple[int, int]

    def read(self) -> bytes | None:
        """What it holds; None if it is gone, or another."""
        try:
            with open(self.path, "rb", opener=_no_link) as file:
                return file.read() if _identity(os.fstat(file.fileno())) == self.same else None
        except OSError:
            return None


def listed(folder: Path) -> dict[str, File]:
    """The siblings of the first page, by the path of their request; nothing else, and no links."""
    found: dict[str, File] = {}
    for kind in FOLDERS:
        place = folder / kind
        if place.is_symlink() or not place.is_dir():
            continue
        for entry in os.scandir(place):
            if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                same = _identity(entry.stat(follow_symlinks=False))
                found[f"/{kind}/{entry.name}"] = File(Path(entry.path), same)
    return found


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of pages; ConfigError where there is none, CorruptError where it contradicts itself."""
    path = folder / INDEX
    page = _page(path)
    if BEGIN not in page:
        raise ConfigError(f"{path} {OTHER}")
    try:
        value = strict_json(path, page.partition(BEGIN)[2].partition(END)[0])
        check.index(value)
        maxima = value["columns"]["max"] if value["kind"] == "llm" else []
        if maxima and len(maxima) != len(value["columns"]["id"]):
            raise ValueError(f"{len(maxima)} maxima for {len(value['columns']['id'])} features")
        if odd := [m for m in maxima if m is not None and (isinstance(m, bool) or not math.isfinite(m))]:
            raise ValueError(f"the maxima {odd[:4]!r:.80}")
    except (AttributeError, CorruptError, KeyError, OverflowError, TypeError, ValueError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200]
        raise CorruptError(f"{path} is damaged: {said.removeprefix(f'{path}: ')}; {AGAIN}") from error
    return value


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _no_link(path: str, flags: int) -> int:
    """Open what is there itself, and do not wait for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


class _Policy(HTMLParser):
    """The Content-Security-Policy that a page gives itself."""

    found: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the first."""
        held = dict(attrs)
        name = (held.get("http-equiv") or "").lower()
        if self.found is None and tag == "meta" and name == "content-security-policy":
            self.found = held.get("content") or ""


def first_page(path: Path, token: str) -> tuple[bytes, str]:
    """The page with the secret in it, and its own policy as a header, which can also forbid frames."""
    page = _page(path)
    head, begin, rest = page.partition(b"<head>")
    parser = _Policy()
    parser.feed(rest.partition(b"</head>")[0].decode(errors="replace"))
    policy = " ".join((parser.found or "").split())
    if not begin or not policy or not (policy.isascii() and policy.isprintable()):
        raise ConfigError(f"{path} {OTHER}")
    meta = f'<meta name="superposition-token" content="{token}">'.encode()
    return head + begin + meta + rest, f"{policy}; frame-ancestors 'none'"


def _page(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_no_link) as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; {AGAIN}") from error
