"""The gallery of pictures in a real Chromium: its keys, its filter, accessibility, and no request but for its pictures."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from experiments.lab import gallery, stored
from experiments.lab.claim import Claim, Source
from tests.support.browser import Page, faults


def claim(holds):
    return stored.to_json(Claim("F1", "a < b", "says so", "3", holds))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four experiments: one on a slide, of which a claim does not hold; one of which all hold."""
    root = tmp_path_factory.mktemp("gallery")
    about = PngImagePlugin.PngInfo()
    about.add_text("Description", "Bars that fall from left to right.")
    for name, verdicts in {
        "steering": [True, False],
        "intro": [True],
        "mine": [False],
        "other": [True],
    }.items():
        content = {
            "experiment": name,
            "title": f"About {name}",
            "claims": list(map(claim, verdicts)),
            "seconds": 2.0,
        }
        (root / f"{name}.json").write_text(json.dumps(content))
        Image.fromarray(np.zeros((300, 500), np.uint8)).save(root / f"{name}.png", pnginfo=about)
    gallery.write(root)
    return root


@pytest.fixture
def shown(driver, folder):
    """The gallery, and after the test: no error in the console, and no request but for its own files."""
    page = Page(driver, {})
    page.media(prefers_color_scheme="light")
    page.size(1280)
    driver.get_log("performance"), driver.get_log("browser")
    driver.get((folder / "index.html").as_uri())
    page.wait("return document.readyState === 'complete'")
    yield page
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert urls
    assert [url for url in urls if not url.startswith(folder.as_uri())] == []


def now(page):
    return page.js("return document.activeElement.closest('article')?.id ?? null")


def articles(page):
    return [article.get_attribute("id") for article in page.all("article")]


def test_j_and_k_go_from_picture_to_picture_and_stop_at_the_ends(shown):
    order = articles(shown)
    assert order[0] == "steering"  # the lecture's stand first
    assert len(order) == 4
    assert now(shown) is None
    for wanted in [*order, order[-1]]:
        shown.press("j")
        assert now(shown) == wanted
    assert 0 <= shown.js("return document.activeElement.getBoundingClientRect().top") < 900
    for wanted in [*order[-2::-1], order[0]]:
        shown.press("k")
        assert now(shown) == wanted


def test_the_filter_leaves_what_does_not_hold_and_the_keys_follow_it(shown):
    counted = len(shown.all("tbody tr"))
    assert counted == len(Source)  # of each source how many hold; the claims themselves are folded away
    assert not shown.all("article tbody tr")
    shown.all("#failing")[0].click()
    assert articles(shown) == ["steering", "mine"]
    assert {row.get_attribute("class") for row in shown.all("article tbody tr")} == {"fails"}
    assert len(shown.all("tbody tr")) == counted + 2
    shown.js("document.activeElement.blur()")
    visited = []
    for _ in range(3):
        shown.press("j")
        visited.append(now(shown))
    assert visited == ["steering", "mine", "mine"]
    shown.all("#failing")[0].click()
    assert len(articles(shown)) == 4
    assert not shown.all("article tbody tr")


def test_the_skip_link_is_the_first_stop_and_pictures_have_words(shown):
    from tests.support.browser import Keys

    shown.press(Keys.TAB)
    assert shown.focused().get_attribute("class") == "skip"
    assert shown.js("return [...document.images].every((one) => one.alt.length > 10)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_gallery(shown, scheme):
    shown.media(prefers_color_scheme=scheme)
    for narrow in (1280, 390):
        shown.size(narrow)
        for open_lists in (False, True):
            shown.js(
                "document.querySelectorAll('details').forEach((one) => { one.open = arguments[0] })",
                open_lists,
            )
            assert faults(shown) == []
    assert not shown.js("return document.documentElement.scrollWidth > innerWidth + 1")
