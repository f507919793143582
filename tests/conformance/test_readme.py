"""README and the pages that carry what it has no room for: every block can be pasted, every link leads somewhere."""

import ast
import builtins
import re
import shlex
import symtable
from pathlib import Path

import pytest

from experiments.lab import find, run
from superposition.cli import main

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/language_models.md",
    "docs/paper.md",
    "docs/saes.md",
    "docs/sweeps.md",
    "docs/tutorial_saelens.md",
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"pip", "jupyter"}  # of others: what follows is theirs


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for name, body in BLOCK.findall(text) if name == language]


PYTHON = [
    pytest.param(code, id=f"{page}-{n}") for page in PAGES for n, code in enumerate(blocks(page, "python"))
]
COMMANDS = [
    line
    for page in PAGES
    for block in blocks(page, "")
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]


def unknown(code):
    """Names that a block uses and nothing in it defines."""
    names = symtable.symtable(code, "block", "exec").get_symbols()
    return [n.get_name() for n in names if n.is_referenced() and not n.is_assigned() and not n.is_imported()
            and not hasattr(builtins, n.get_name())]  # fmt: skip


@pytest.mark.parametrize("code", PYTHON)
def test_python_blocks_define_every_name_that_they_use(code):
    assert unknown(code) == []
    assert ast.parse(code).body


def test_a_block_that_leaves_a_name_open_is_found_out():
    assert unknown("from superposition import geometry\ngeometry.recognise(W).name\n") == ["W"]


@pytest.mark.slow
@pytest.mark.parametrize("code", PYTHON)
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {})


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_read_by_the_programs_they_call(line):
    words = shlex.split(line, comments=True)
    if words[0] == "superposition":
        main.read(words[1:])
    elif words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
    elif words[:3] == ["python", "-m", "experiments"]:
        if len(words) > 3:
            run.configured(find.load(words[3]), words[4:])
    else:
        assert words[0] in PROGRAMS


def links(page):
    text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_there_are(page):
    assert [
        target for target in links(page) if not ((ROOT / page).parent / target.split("#")[0]).exists()
    ] == []


def test_readme_is_short_and_has_its_parts():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    first = text[: text.index("## ")]
    for part in ("pip install .", "superposition demo", "make reproduce", "make test"):
        assert part in first
    for part in ("notebooks/README.md", *(page for page in PAGES if page != "README.md")):
        assert f"({part})" in text
