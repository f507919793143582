"""Pages in a real Chromium: long lists, the map, texts, hostile tokens, and copies."""

import base64
import csv
import io
import json

import numpy as np

from tests.oracles.pages import HOSTILE, LINES, pages
from tests.support.browser import ActionChains, Keys, Select


def test_siblings_are_loaded_when_asked_for_and_the_neighbours_ahead(page):
    page.open(n=150)
    loaded = "return [...document.querySelectorAll('head script[src]')].map((s) => s.getAttribute('src'))"
    assert page.js(loaded) == []
    page.js("location.hash = 'f=140'")
    page.heading("latent 140")
    assert set(page.js(loaded)) == {f"features/{i}.js" for i in (139, 140, 141)}


def test_all_of_a_long_list_can_be_reached(page):
    page.open(n=150)
    assert len(page.names()) < 150
    page.wait(
        "scrollTo(0, document.body.scrollHeight); return document.querySelectorAll('.features tbody tr').length === 150"
    )
    assert page.names() == pages(150)[0]["columns"]["name"]
    assert not [b for b in page.all("main button") if b.text == "Show more"]


def test_the_map_is_pointed_at_clicked_and_walked_by_keys(page):
    page.open()
    said = "return document.querySelector('.pointed').textContent"
    canvas = page.all("canvas")[0]
    x, y = (pages(12)[0]["columns"][c] for c in "xy")
    size = canvas.rect["width"]
    scale = (size - 24) / max(max(x) - min(x), max(y) - min(y))
    place = [
        (scale * (a - (max(x) + min(x)) / 2), -scale * (b - (max(y) + min(y)) / 2))
        for a, b in zip(x, y, strict=True)
    ]
    page.point(canvas, *map(round, place[7]))
    assert page.js(said).startswith("latent 7")
    page.js("document.querySelector('.map').focus()")
    seen = {page.js(said)}
    for key in (Keys.ARROW_UP, Keys.ARROW_LEFT, Keys.ARROW_DOWN, Keys.ARROW_RIGHT):
        page.press(key, key)
        seen.add(page.js(said))
    assert len(seen) > 2
    now = page.js(said).split(" ")[1]
    page.press(Keys.ENTER)
    page.wait("return location.hash.startsWith('#f=')")
    assert page.js("return location.hash") == "#f=" + "".join(c for c in now[:2] if c.isdigit())
    page.driver.back()
    page.heading("Latents of a made-up SAE")
    page.point(page.all("canvas")[0], *map(round, place[5]))
    ActionChains(page.driver).click().perform()
    page.heading("latent 5")
    assert page.js("return location.hash") == "#f=5"


def test_the_last_feature_is_marked_in_list_and_map(page):
    page.open()
    picture = "return document.querySelector('canvas').toDataURL()"
    before = page.js(picture)
    assert page.js(picture) == before
    page.js("location.hash = 'f=6'")
    page.heading("latent 6")
    page.driver.back()
    page.heading("Latents of a made-up SAE")
    assert page.texts(".features .current a") == ["latent 6"]
    assert page.js(picture) != before


def test_a_text_shows_token_by_token_what_fires(page):
    text = list(pages(12)[2])[1]
    ids = np.frombuffer(base64.b64decode(text["features"]), "<i4").reshape(-1, text["k"])
    shares = np.frombuffer(base64.b64decode(text["act"]), "u1").reshape(-1, text["k"])
    at = next(i for i in range(len(ids)) if (ids[i] >= 0).sum() > 1)
    page.open("#t=1")
    assert page.texts("main h1") == ["arabic"]
    page.js("document.querySelectorAll('.line > span')[arguments[0]].focus()", at)
    order = [
        f"latent {ids[at, j]}" for j in np.argsort(-shares[at].astype(int), kind="stable") if ids[at, j] >= 0
    ]
    assert page.texts(".text section:nth-of-type(1) tbody th a") == order
    best = {i: shares[ids == i].max() for i in set(ids[ids >= 0].tolist())}
    listed = page.texts(".text section:nth-of-type(2) tbody th a")
    assert [best[int(name[7:])] for name in listed] == sorted(best.values(), reverse=True)
    other = next(i for i in range(at + 1, len(ids)) if (ids[i] >= 0).any())
    page.js("document.activeElement.blur()")
    page.point(page.all(".line > span")[other])
    assert page.texts(".text h2 small") == [f" token {other}"]
    page.all(".line > span")[at].click()
    page.point(page.all(".line > span")[other])
    assert page.texts(".text h2 small") == [f" token {at}"]  # kept by the click
    Select(page.all("#metric")[0]).select_by_value("direct")
    assert not page.all(".line > .on")
    assert page.all(".line > .helped")
    assert page.all(".line > .hurt")
    page.all(".text button")[0].click()
    (pressed,) = page.all("[aria-pressed=true]")
    only = int(pressed.get_attribute("id").removeprefix("show-"))
    marked = page.js(
        "return [...document.querySelectorAll('.line > span')].map((s) => s.matches('.helped, .hurt'))"
    )
    assert not any(m for m, row in zip(marked, ids, strict=True) if only not in row)
    assert any(marked)
    Select(page.all("#text")[0]).select_by_visible_text("hebrew")
    page.heading("hebrew")
    page.hash("#t=2")


def test_hostile_tokens_are_shown_as_they_are_in_every_place(page):
    for view in ("", *(f"#f={i}" for i in range(12)), *(f"#t={i}" for i in range(len(LINES)))):
        page.open(view)
        assert (
            page.js("return document.querySelectorAll('main img, main b b, main script, main iframe').length")
            == 0
        )
    page.open(f"#t={list(LINES).index('hostile')}")
    assert page.texts(".line > span") == [word.replace("\ud800", "\ufffd") for word in HOSTILE] * 6
    assert page.js("return {}.__pwned === undefined && Object.keys(Object.prototype).length === 0")


def clipboard(page):
    page.js(
        "window.copied = undefined; navigator.clipboard.writeText = async (text) => { window.copied = text.toWellFormed() }"
    )


def test_copy_as_json_and_as_csv(page):
    feature = list(pages(12)[1])[7]
    page.open("#f=7")
    clipboard(page)
    page.js(
        "[...document.querySelectorAll('.tools button')].find((b) => b.textContent === 'Copy JSON').click()"
    )
    page.wait("return document.getElementById('said').textContent === 'JSON copied.'")
    copied = json.loads(page.js("return window.copied"))
    assert copied["panels"][:6] == feature["panels"][:6]
    assert copied["dictionary"] == feature["dictionary"]
    rows = copied["panels"][6]["rows"]
    assert rows[0]["tokens"] == LINES["english"].split("|")
    assert max(rows[0]["act"]) <= feature["panels"][6]["scale_act"]
    page.js(
        "[...document.querySelectorAll('.tools button')].find((b) => b.textContent === 'Copy CSV').click()"
    )
    page.wait("return document.getElementById('said').textContent.startsWith('CSV')")
    table = list(csv.DictReader(io.StringIO(page.js("return window.copied"), newline="")))
    assert len(table) == sum(len(row["tokens"]) for row in rows)
    assert [line["token"] for line in table[: len(rows[0]["tokens"])]] == rows[0]["tokens"]
    assert float(table[0]["activation"]) == rows[0]["act"][0]
    assert float(table[0]["full_ablation"]) == rows[0]["full"][0]
    tokens = [line["token"] for line in table]
    for word in HOSTILE:
        if word[0] in "=+-@\t":
            assert "'" + word in tokens
            assert word not in tokens
        elif "\ud800" not in word:
            assert word in tokens
