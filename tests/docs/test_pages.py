"""What the pages say that the library has, it has; and the blocks of Python on them run."""

import os
from pathlib import Path

import pytest

from docs._ext import calls
from superposition.evaluation import METRICS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_calls_commands_and_files_exist(name):
    assert calls.wrong(calls.ours((DOCS / name).read_text())) == []


def test_what_does_not_exist_is_found():
    page = "`sp.metrics.mmmcs` `sp.fit(run, sed=0)` `lm.attatch(sae)` `superposition swep` `tests/gone.py` `sae.decode(f, 1, 2)`"
    found = "\n".join(calls.wrong(page))
    for word in (
        "mmmcs",
        "'sed'",
        "no attatch",
        "superposition swep",
        "tests/gone.py",
        "too many positional",
    ):
        assert word in found, found


def test_the_table_of_saelens_has_a_call_of_ours_in_every_row():
    text = (DOCS / "sae_lens.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 25
    assert all("`" in row.split("|")[-2] for row in rows if "any of these" not in row)
    assert len(calls.snippets(calls.ours(text))) > 25


@pytest.mark.parametrize("name", ["quickstart.md", "concepts.md", "sae_lens.md", "how_to_add.md"])
def test_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for entry in set(METRICS):
        monkeypatch.setitem(METRICS, entry, METRICS[entry])
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path))
    scope = {"__name__": "page"}
    before = set(METRICS)
    try:
        for code in calls.blocks((DOCS / name).read_text()):
            exec(compile(code, name, "exec"), scope)
    finally:
        for entry in set(METRICS) - before:
            del METRICS[entry]
    if name == "quickstart.md":
        best = scope["best"]
        assert scope["sp"].geometry.recognise(best.W).name == "pentagon"
    if name == "how_to_add.md":
        assert abs(scope["law"].mean(2)[0] - 0.1 / 3) < 1e-12
