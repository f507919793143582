"""Pages on disk: parsed without a browser, and safe whatever the tokens are."""

import base64
import hashlib
import json
import re
from importlib import resources

import pytest

from superposition.pages.write import write
from tests.oracles.pages import HOSTILE, LINES, b64, feature, pages
from tests.support.written_pages import data_of, files, parsed

ASSETS = resources.files("superposition.pages") / "assets"


def sibling(path):
    """Key and value of a sibling: one call of a string and a raw string, in which nothing but its end has a meaning."""
    key, value = re.fullmatch(
        r'superposition\.take\(("[^"]*"),String\.raw`(.*)`\);\n', path.read_text("utf-8")
    ).groups()
    assert not set(value) & set("`$")
    return json.loads(key), json.loads(value)


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
