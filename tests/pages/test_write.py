"""Pages on disk: parsed without a browser, safe whatever the tokens are, whole or not there."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from superposition.errors import ConfigError, StoreError
from superposition.pages.write import write
from tests.oracles.pages import HOSTILE, LINES, b64, feature, pages

ASSETS = resources.files("superposition.pages") / "assets"


class Parsed(HTMLParser):
    """Tags with their attributes, the text of every script, the style and the title, as an HTML parser reads them."""

    def __init__(self, data):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.text = [], [], {"style": "", "title": ""}
        self.feed(data)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append([dict(attributes), ""])

    def handle_data(self, data):
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1][1] += data
        elif self.lasttag in self.text:
            self.text[self.lasttag] += data

    def handle_endtag(self, tag):
        self.lasttag = ""


def parsed(folder):
    return Parsed((folder / "index.html").read_bytes().decode("utf-8"))


def data_of(folder):
    return {
        a["id"]: json.loads(text) for a, text in parsed(folder).scripts if a["type"] == "application/json"
    }


def sibling(path):
    """Key and value of a sibling: one call of a string and a raw string, in which nothing but its end has a meaning."""
    key, value = re.fullmatch(
        r'superposition\.take\(("[^"]*"),String\.raw`(.*)`\);\n', path.read_text("utf-8")
    ).groups()
    assert not set(value) & set("`$")
    return json.loads(key), json.loads(value)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write(tmp_path_factory.mktemp("small") / "pages", *pages(12))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return write(tmp_path_factory.mktemp("large") / "pages", *pages(101))


def test_at_100_features_or_fewer_all_is_in_one_file_and_comes_back_equal(small, tmp_path):
    index, features, texts = pages(12)
    expected = {"index": index}
    expected |= {f"features/{f['id']}": f for f in features} | {f"texts/{i}": t for i, t in enumerate(texts)}
    assert data_of(small) == expected
    assert list(files(small)) == ["index.html"]
    assert list(files(write(tmp_path / "hundred", *pages(100)))) == ["index.html"]


def test_above_100_features_every_feature_and_text_is_a_sibling(large):
    index, features, texts = pages(101)
    assert data_of(large) == {"index": index}
    expected = {f"features/{f['id']}": f for f in features} | {f"texts/{i}": t for i, t in enumerate(texts)}
    found = dict(sibling(p) for p in large.glob("*/*.js"))
    assert found == expected
    assert set(files(large)) == {"index.html", *(f"{key}.js" for key in expected)}


@pytest.mark.parametrize("kind", ["small", "large"])
def test_the_parser_sees_our_scripts_and_no_other_and_no_handlers(kind, request):
    folder = request.getfixturevalue(kind)
    page = parsed(folder)
    kinds = [a["type"] for a, _ in page.scripts]
    assert kinds.count("module") == 1
    assert (
        kinds.count("application/json") == len(kinds) - 1 == (1 if kind == "large" else 1 + 12 + len(LINES))
    )
    assert page.scripts[-1][1] == (ASSETS / "page.js").read_text("utf-8")
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"]
    assert {t for t, _ in page.tags} & {"iframe", "object", "embed", "base", "img"} == set()
    links = [a.get("href") or a.get("src") for _, a in page.tags if "href" in a or "src" in a]
    assert all(link.startswith("#") or link == "data:," for link in links)


def test_it_is_a_document_with_language_title_and_viewport(small):
    page = parsed(small)
    assert (small / "index.html").read_bytes().startswith(b"<!doctype html>\n")
    tags = [(t, tuple(sorted(a.items()))) for t, a in page.tags]
    assert ("html", (("lang", "en"),)) in tags
    assert ("meta", (("charset", "utf-8"),)) in tags
    assert any(a.get("name") == "viewport" for _, a in page.tags)
    assert page.text["title"] == pages(12)[0]["title"]


@pytest.mark.parametrize("kind", ["small", "large"])
def test_the_policy_names_the_hashes_of_what_is_there_and_siblings_only_where_they_are(kind, request):
    page = parsed(request.getfixturevalue(kind))
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = {name: rest for name, *rest in (rule.split() for rule in policy.split(";"))}

    def digest(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": ["'none'"],
        "script-src": [digest(page.scripts[-1][1])] + (["'self'"] if kind == "large" else []),
        "style-src": [digest(page.text["style"])],
        "img-src": ["data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


def test_no_character_of_markup_is_in_the_data(small, large):
    """Browsers end a script at more than Python's parser does: `</script x`, `<!--<script>`."""
    page = (small / "index.html").read_text("utf-8")
    begin, end = page.index('<script type="application/json"'), page.rindex("<script type=")
    blocks = re.sub(r'</?script(?: type="application/json" id="[a-z]+(?:/[0-9]+)?")?>', "", page[begin:end])
    for text in (blocks, *(p.read_text("utf-8") for p in large.glob("*/*.js"))):
        assert set(text) & set("<>&\u2028\u2029") == set()


@pytest.mark.parametrize("kind", ["small", "large"])
def test_no_address_of_another_place_is_in_any_file(kind, request):
    for name, data in files(request.getfixturevalue(kind)).items():
        assert not re.search(rb"https?:|\bimport\s*\(|[\"'(]//\w", data), name


def test_the_module_has_no_way_to_make_markup_or_code_of_text():
    module = (ASSETS / "page.js").read_text("utf-8")
    for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", "DOMParser",
                 "createContextualFragment", "srcdoc", "setTimeout(\"", "localStorage", "import(", "import "):  # fmt: skip
        assert sink not in module


def test_module_and_style_fit_their_budget():
    sizes = {name: len((ASSETS / name).read_bytes()) for name in ("page.js", "page.css")}
    assert sum(sizes.values()) <= 40_000, sizes


@pytest.mark.parametrize("word", HOSTILE, ids=ascii)
def test_a_hostile_word_in_every_place_stays_data(word, tmp_path):
    """As dictionary entry, name, label, title, unit, column head, cell, source, note, name of a text."""
    index, _, _ = pages(1)
    index |= {"title": word, "unit": word, "about": [[word, word]], "texts": [word], "dictionary": [word]}
    index["columns"] |= {"name": [word], "label": [word], "top": [[0]], "promoted": [[0]]}
    page = feature(0, 1, 5.0)
    page |= {"name": word, "dictionary": [word] * len(page["dictionary"])}
    for panel in page["panels"]:
        panel |= {"title": word, "note": word}
    page["panels"] += [
        {"type": "table", "title": word, "note": word, "head": [word], "rows": [[word], [{"t": 0}]]},
        {"type": "empty", "title": word, "note": word},
    ]
    text = {"name": word, "dictionary": [word], "tokens": b64([0], "<u2"), "k": 1, "features": b64([0], "<i4"),
            "act": b64([9], "u1"), "direct": b64([-3], "i1"), "scale_direct": 1.0}  # fmt: skip
    folder = write(tmp_path / "pages", index, [page], [text])
    assert data_of(folder) == {"index": index, "features/0": page, "texts/0": text}
    found, plain = parsed(folder), parsed(write(tmp_path / "plain", *pages(1)))
    own = {"json": len(found.scripts), "module": found.scripts[-1][1]}
    assert own == {"json": 4, "module": plain.scripts[-1][1]}
    assert [t for t, _ in found.tags if t != "script"] == [t for t, _ in plain.tags if t != "script"]


def test_the_same_pages_are_the_same_bytes(large, tmp_path):
    assert files(write(tmp_path / "again", *pages(101))) == files(large)


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
