"""The documentation builds without a warning, and what is built loads nothing from a network."""

import html.parser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import superposition as sp
from docs._ext import names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_nb")
    out = tmp_path_factory.mktemp("docs") / "html"
    command = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "docs", out]
    said = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return out


class _Loads(html.parser.HTMLParser):
    """What a page loads: scripts, style sheets, pictures, frames; links that a reader may follow are none."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.found.append(given.get("src") or "")
        if tag == "link" and given.get("rel") not in (
            "canonical",
            "author",
            "search",
            "index",
            "next",
            "prev",
        ):
            self.found.append(given.get("href") or "")


def _loads(page):
    parser = _Loads()
    parser.feed(page)
    return parser.found


def test_a_load_from_a_network_is_seen():
    assert _loads('<script src="https://cdn.example/x.js"></script><a href="https://arxiv.org">') == [
        "https://cdn.example/x.js"
    ]


def test_the_build_has_no_warning_and_every_page_reads_without_a_network(built):
    pages = list(built.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not [one for one in _loads(text) if re.match(r"(https?:)?//", one)], page
    for sheet in built.rglob("*.css"):
        assert not re.findall(
            r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")
        ), sheet
    for script in built.rglob("*.js"):
        loads = re.findall(
            r"[\"'](?:https?:)?//(?:cdn|unpkg|fonts)[^\"']*", script.read_text(encoding="utf-8")
        )
        assert not loads, (script, loads)
    assert "<math" in (built / "generated" / "course" / "06_sae.html").read_text(encoding="utf-8")


def test_every_public_name_has_its_place_and_the_map_lists_every_page(built):
    places = {}
    for page in (built / "generated" / "reference").glob("*.html"):
        for anchor in re.findall(r'<dt[^>]* id="([\w.]+)"', page.read_text(encoding="utf-8")):
            places[anchor] = page.name
    assert {name.full for name in names.everything()} <= places.keys()
    text = (built / "llms.txt").read_text(encoding="utf-8")
    for room in names.rooms():
        assert f"generated/reference/{room}.html" in text
    linked = re.findall(r"\]\(([^)]+)\)", text)
    assert len(linked) > 30
    assert all((built / one).is_file() for one in linked)
    assert f"superposition {sp.__version__}" in (built / "index.html").read_text(encoding="utf-8")
