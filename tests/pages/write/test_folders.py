"""Pages on disk: whole or not there, and nobody else's files are replaced."""

import base64

import pytest

from superposition.errors import ConfigError, StoreError
from superposition.pages.write import write
from tests.oracles.pages import LINES, b64, feature, pages
from tests.support.written_pages import data_of, files


def test_features_are_taken_one_by_one(tmp_path):
    """When a feature is asked for, those before it are on disk."""
    index, features, texts = pages(110)
    seen = []

    def counting():
        for value in features:
            (folder,) = tmp_path.glob(".tmp-new-*")
            seen.append(len(list(folder.glob("features/*"))))
            yield value

    write(tmp_path / "pages", index, counting(), texts)
    assert seen == list(range(110))


def raising(features, after):
    for i, value in enumerate(features):
        if i == after:
            raise RuntimeError("no more")
        yield value


@pytest.mark.parametrize("n", [12, 110])
def test_pages_that_break_off_leave_nothing_and_touch_nothing(n, tmp_path):
    index, features, texts = pages(n)
    with pytest.raises(RuntimeError, match="no more"):
        write(tmp_path / "new", index, raising(features, 7), texts)
    assert list(tmp_path.iterdir()) == []
    old = files(write(tmp_path / "old", *pages(3)))
    with pytest.raises(RuntimeError, match="no more"):
        write(tmp_path / "old", index, raising(pages(n)[1], 7), texts, overwrite=True)
    assert files(tmp_path / "old") == old
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_leaves_the_old_pages(tmp_path, monkeypatch):
    old = files(write(tmp_path / "pages", *pages(3)))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write(tmp_path / "pages", *pages(4), overwrite=True)
    assert files(tmp_path / "pages") == old
    assert [p.name for p in tmp_path.iterdir()] == ["pages"]


def test_pages_are_replaced_only_when_asked(tmp_path):
    out = write(tmp_path / "a" / "pages", *pages(110))
    with pytest.raises(StoreError, match="overwrite=True"):
        write(out, *pages(3))
    assert len(files(out)) == 1 + 110 + len(LINES)
    assert write(out, *pages(3), overwrite=True) == out
    assert list(files(out)) == ["index.html"]
    assert [p.name for p in out.parent.iterdir()] == ["pages"]


@pytest.mark.parametrize(
    "extra", ["notes.txt", "features/mine.js", "features/7.js.bak", "texts/sub/1.js", "texts/7.js/mine"]
)
def test_a_folder_with_anything_else_in_it_is_never_replaced(extra, tmp_path):
    out = write(tmp_path / "pages", *pages(110))
    (out / extra).parent.mkdir(exist_ok=True)
    (out / extra).write_text("mine")
    before = files(out)
    with pytest.raises(StoreError, match="not pages and nothing else"):
        write(out, *pages(3), overwrite=True)
    assert files(out) == before


def test_a_page_of_somebody_else_is_never_replaced(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<!doctype html><title>mine</title>")
    with pytest.raises(StoreError, match="not pages"):
        write(tmp_path / "site", *pages(3), overwrite=True)
    assert (tmp_path / "site" / "index.html").read_text() == "<!doctype html><title>mine</title>"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    assert data_of(write(tmp_path / "empty", *pages(2)))["index"] == pages(2)[0]


@pytest.mark.parametrize("kind", ["file", "link", "link to pages", "below a file"])
def test_what_is_no_folder_is_refused(kind, tmp_path):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "link":
        out.symlink_to(tmp_path / "nowhere")
    elif kind == "link to pages":
        out.symlink_to(write(tmp_path / "real", *pages(2)))
    else:
        (tmp_path / "file").write_text("mine")
        out = tmp_path / "file" / "out"
    with pytest.raises(StoreError):
        write(out, *pages(3), overwrite=True)
    assert kind != "file" or out.read_text() == "mine"
    assert kind != "link to pages" or data_of(tmp_path / "real")["index"] == pages(2)[0]


def changed(path, value):
    """(index, features, texts) of 3 features with one entry of the index, or of feature 1, or text 1, another."""
    index, features, texts = pages(3)
    parts = {"index": index, "features": list(features), "texts": list(texts)}
    *way, last = path
    target = parts
    for step in way:
        target = target[step]
    target[last] = value
    return parts.values()


EXAMPLES = ("features", 1, "panels", 6)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("index", "columns", "id"), [0, 1, 1], "distinct"),
        (("index", "columns", "id"), [0, 1, -1], "whole numbers"),
        (("index", "columns", "id"), [0, 1, "../2"], "whole numbers"),
        (("index", "columns", "id"), [0, 1, True], "whole numbers"),
        (("index", "columns", "id"), [0, 1, 2.0], "whole numbers"),
        (("index", "columns", "id"), [0, 1], "one length"),
        (("index", "columns", "density"), [0.1, 0.2], "one length"),
        (("index", "columns", "density"), [0.1, float("nan"), 0.2], "finite"),
        (("index", "columns", "top"), [[0], [1], [10**6]], "column top"),
        (("index", "columns", "promoted"), [[0], [-1], [0]], "column promoted"),
        (("index", "columns", "extra"), [{1}] * 3, "must be JSON"),
        (("index", "sorts"), [["beauty", "beauty", "asc"]], "beauty"),
        (("index", "sorts"), [], "sort"),
        (("index", "texts"), [*LINES, "one more"], "expected 7 texts"),
        (("index", "texts"), list(LINES)[:-1], "expected 5 texts"),
        (("features", 1, "id"), 2, "expected feature 1"),
        (("features", 1, "id"), True, "expected feature 1"),
        (("features", 2), feature(1, 3, 5.0), "expected feature 2"),
        (("features", 1, "panels", 0), {"type": "script", "title": "", "note": ""}, "'script'"),
        (("features", 1, "panels", 0), {"type": "stats", "title": ""}, r"lacks \['note'"),
        (("features", 1, "panels", 3, "positive"), [[999, 1.0]], "references"),
        (("features", 1, "panels", 4, "rows"), [[{"f": 3}, 1, 2, 3]], "not in the index"),
        (("features", 1, "panels", 4, "rows"), [[{"t": 10**6}, 1, 2, 3]], "references"),
        (("features", 1, "panels", 4, "rows"), [[1]], "cells"),
        ((*EXAMPLES, "tokens"), b64([0], "<u2"), "expected"),
        ((*EXAMPLES, "tokens"), "=", "base64"),
        ((*EXAMPLES, "act"), b64([0], "u1"), "numbers"),
        ((*EXAMPLES, "peak"), [0], "peak has 1"),
        ((*EXAMPLES, "peak"), [99] * 12, "inside its row"),
        ((*EXAMPLES, "groups"), [{"title": "", "note": "", "rows": [99]}], "rows up to 99"),
        (("texts", 1, "features"), b64([7], "<i4"), "expected"),
        (("texts", 1, "k"), 3, "expected"),
        (("texts", 1, "tokens"), b64([9999] * 78, "<u2"), "references"),
    ],
    ids=str,
)  # fmt: skip
def test_pages_that_contradict_themselves_are_refused_before_anything_is_there(
    path, value, message, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        write(tmp_path / "pages", *changed(path, value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [2, 4])
def test_as_many_features_as_the_index_names(n, tmp_path):
    index, _, texts = pages(3)
    with pytest.raises(ConfigError, match="expected 3 features as in the index"):
        write(tmp_path / "pages", index, [feature(i, 3, 5.0) for i in range(n)], texts)


def test_one_text_names_an_unknown_feature(tmp_path):
    index, features, texts = pages(3)
    texts = list(texts)
    n = len(base64.b64decode(texts[2]["act"]))
    texts[2]["features"] = b64([3] * n, "<i4")
    with pytest.raises(ConfigError, match=r"features \[3\] are not in the index"):
        write(tmp_path / "pages", index, features, texts)
