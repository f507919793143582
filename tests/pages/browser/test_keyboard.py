"""Pages in a real Chromium: keys, search, sorting, and links."""

import time

import pytest

from tests.oracles.pages import pages
from tests.support.browser import Keys, Select


def test_arrow_keys_go_to_the_neighbours_in_the_current_order(page):
    page.open()
    Select(page.all("#sort")[0]).select_by_visible_text("density")
    order = page.names()
    page.all(".features tbody a")[0].click()
    page.heading(order[0])
    page.press(Keys.ARROW_RIGHT)
    page.heading(order[1])
    page.press(Keys.ARROW_RIGHT)
    page.heading(order[2])
    page.press(Keys.ARROW_LEFT)
    page.heading(order[1])
    assert "2 of 12 by density" in page.texts(".tools")[0]
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.heading(order[0])


def test_slash_searches_escape_leaves_and_arrows_type(page):
    page.open("#f=7")
    page.press("/")
    assert page.focused().get_attribute("id") == "search"
    page.press("wav", Keys.ARROW_LEFT, Keys.ARROW_LEFT, "x/?")
    assert page.js("return document.getElementById('search').value") == "wx/?av"
    assert not page.js("return document.getElementById('help').open")
    page.press(Keys.ESCAPE)
    assert page.focused().get_attribute("id") != "search"


def test_the_question_mark_shows_the_keys_and_they_can_be_closed(page):
    page.open("#f=7")
    page.press("?")
    assert len(page.all("#help kbd")) == 6
    page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ESCAPE)
    assert not page.all("#help kbd")
    page.hash("#f=7")
    page.press("?")
    page.all("#help button")[0].click()
    assert not page.all("#help kbd")


@pytest.mark.parametrize(
    ("query", "where"),
    [("WAVES", " waves"), ("جميع", " جميع"), ("בני", " בני"), ("E\u0301", "é"), ("__proto__", "__proto__"),
     ("</SCRIPT>", "</script>")],
)  # fmt: skip
def test_search_finds_by_token_in_any_script(page, query, where):
    index = pages(150)[0]
    ref = index["dictionary"].index(where)
    columns = index["columns"]
    wanted = {
        name
        for name, label, top, promoted in zip(
            *(columns[c] for c in ("name", "label", "top", "promoted")), strict=True
        )
        if any(where.strip().lower() in index["dictionary"][r].lower() for r in top + promoted)
        or where.strip().lower() in label.lower()
    }
    assert any(ref in top for top in columns["top"])
    page.open(n=150)
    page.press("/", query)
    assert set(page.names()) == wanted
    assert 0 < len(wanted) < 60
    assert page.texts(".found")[0].startswith(f"{len(wanted)} latent")


def test_search_finds_by_label_name_and_number_and_the_number_itself_first(page):
    page.open(n=150)
    page.press("/", "fires on went")
    assert page.names()
    assert set(page.texts(".features tbody th small")) == {"fires on went"}
    page.press(Keys.ESCAPE)
    page.all("#direction")[0].click()
    page.press("/", "14")
    assert page.names()[:2] == ["latent 14", "latent 149"]
    assert len(page.names()) > 5
    page.press(Keys.ENTER)
    page.heading("latent 14")
    page.press("/", "no such thing at all")
    page.heading("Latents of a made-up SAE")
    assert page.names() == []
    assert page.texts(".found") == ["0 latents with “no such thing at all”"]


def test_sort_and_direction_change_the_order_and_the_unknown_come_last(page):
    columns = pages(12)[0]["columns"]
    page.open()
    assert page.names() == columns["name"]
    Select(page.all("#sort")[0]).select_by_visible_text("quality")
    known = sorted(
        (i for i in range(12) if columns["quality"][i] is not None), key=lambda i: -columns["quality"][i]
    )
    unknown = [i for i in range(12) if columns["quality"][i] is None]
    assert page.names() == [columns["name"][i] for i in known + unknown]
    page.all("#direction")[0].click()
    assert page.names() == [columns["name"][i] for i in known[::-1] + unknown]


def test_deep_links_back_and_forward(page):
    page.open("#f=7", n=150)
    page.heading("latent 7")
    assert page.js("return document.title") == "latent 7 – Latents of a made-up SAE"
    page.all("[data-type=table] a")[0].click()
    page.heading("latent 8")
    page.all("nav a")[0].click()
    page.heading("Latents of a made-up SAE")
    page.driver.back()
    page.heading("latent 8")
    page.driver.back()
    page.heading("latent 7")
    page.driver.forward()
    page.heading("latent 8")


def test_back_to_the_overview_is_back_to_its_place(page):
    page.open(n=1000)
    page.js("scrollTo(0, 2500)")
    page.wait("return scrollY === 2500")
    page.js(
        "[...document.querySelectorAll('.features tbody a')].find((a) => a.getBoundingClientRect().y > 50).click()"
    )
    page.wait("return document.querySelector('.tools')")
    assert page.js("return scrollY") == 0
    page.driver.back()
    page.heading("Latents of a made-up SAE")
    assert page.js("return scrollY") == 2500


@pytest.mark.parametrize(
    "link",
    [
        "#f=999999",
        "#f=-1",
        "#f=",
        "#f=1e999",
        "#f=__proto__",
        "#f=<img src=x onerror=window.__pwned=1>",
        "#t=77",
        "#t=toString",
    ],
)
def test_an_unknown_link_says_so(page, link):
    page.open(link)
    assert page.all("[role=alert]")
    assert "There is no" in page.texts("[role=alert]")[0]
    assert page.js("return document.querySelector('main img')") is None


def test_a_missing_sibling_is_named_and_can_come_back(page, folders):
    file, away = folders[150] / "features" / "77.js", folders[150].parent / "77.js"
    page.open("#f=5", n=150)
    file.rename(away)
    try:
        page.js("location.hash = 'f=77'")
        page.wait("return document.querySelector('[role=alert]')")
        assert "features/77.js cannot be read" in page.texts("[role=alert]")[0]
    finally:
        away.rename(file)
    page.js("location.hash = 'f=5'")
    page.heading("latent 5")
    page.js("location.hash = 'f=77'")
    page.heading("latent 77")
    logged = page.driver.get_log("browser")
    assert len(logged) == 1
    assert "77.js - Failed to load resource: net::ERR_FILE_NOT_FOUND" in logged[0]["message"]


def test_a_late_file_does_not_take_the_place_of_what_was_asked_for_after_it(page):
    page.open(n=150)
    page.js("""const head = document.head, append = head.append.bind(head);
        head.append = (node) => node.src.endsWith('/20.js') ? setTimeout(() => append(node), 300) : append(node);
        location.hash = 'f=20'""")
    page.js("location.hash = 'f=90'")
    page.heading("latent 90")
    page.wait("return document.querySelector('head script[src$=\"/20.js\"]')")
    time.sleep(0.3)
    page.heading("latent 90")
    page.hash("#f=90")
