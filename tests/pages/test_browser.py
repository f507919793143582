"""Pages in a real Chromium: what is seen, pressed, searched and copied, and that nothing leaves the page."""

import base64
import csv
import io
import json
import os
import shutil
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from superposition.pages.write import write
from tests.oracles.pages import HOSTILE, LINES, pages

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
DRIVER = shutil.which("chromedriver")
if os.environ.get("SUPERPOSITION_REQUIRE_BROWSER") != "1":
    if not (BROWSER and DRIVER):
        pytest.skip("no chromium with its chromedriver on this machine", allow_module_level=True)
    if not (find_spec("selenium") and find_spec("axe_core_python")):
        pytest.skip("selenium or axe-core-python is not installed", allow_module_level=True)

from axe_core_python.base import AXE_SCRIPT  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

VIEWS = {
    "overview": "",
    "feature": "#f=7",
    "toy": "#f=4",
    "dead": "#f=3",
    "text": "#t=0",
    "unknown": "#f=999999",
}


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """12 features in one file, 150 and 1,000 in siblings."""
    root = tmp_path_factory.mktemp("pages")
    return {n: write(root / str(n), *pages(n)) for n in (12, 150, 1000)}


class Page:
    """The open page, by what a reader does with it."""

    def __init__(self, driver, folders):
        self.driver, self.folders = driver, folders

    def open(self, view="", n=12, base=None):
        self.driver.get("about:blank")
        self.driver.get((base or self.folders[n].as_uri()) + "/index.html" + view)
        self.wait("return document.querySelector('main h1')")

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def wait(self, code, *arguments):
        return WebDriverWait(self.driver, 8, 0.02).until(
            lambda driver: driver.execute_script(code, *arguments), code
        )

    def hash(self, wanted):
        self.wait("return location.hash === arguments[0]", wanted)

    def heading(self, wanted):
        self.wait("return document.querySelector('main h1').textContent === arguments[0]", wanted)

    def all(self, selector):
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())", selector
        )

    def texts(self, selector):
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.toWellFormed())",
            selector,
        )

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def point(self, element, x=None, y=None):
        self.js("arguments[0].scrollIntoView({ block: 'center' })", element)
        chain = ActionChains(self.driver)
        chain.move_to_element(element) if x is None else chain.move_to_element_with_offset(element, x, y)
        chain.perform()

    def focused(self):
        return self.js("return document.activeElement")

    def media(self, kind="", **features):
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})

    def size(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def names(self):
        """Names of the listed features."""
        return self.texts(".features tbody th a")


@pytest.fixture
def page(driver, folders):
    """A page, and after the test: no error in the console, no script of a token run, no request but of our files."""
    page = Page(driver, folders)
    page.media(prefers_color_scheme="light")
    page.size(1280)
    driver.get_log("performance"), driver.get_log("browser")
    yield page
    assert page.js("return window.__pwned") is None
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert [
        u for u in urls if not u.startswith((folders[12].parent.as_uri(), "data:,", "http://127.0.0.1:"))
    ] == []
    assert urls


def test_every_kind_of_panel_is_there_and_seen(page):
    page.open("#f=7")
    for kind in ("stats", "histogram", "tokens", "table", "curve", "examples"):
        (panel, *_) = page.all(f"[data-type={kind}]")
        box = panel.rect
        assert box["width"] > 200, kind
        assert box["height"] > 80, kind
    titles = [p["title"] for p in list(pages(12)[1])[7]["panels"]]
    assert sorted(page.texts("main h2")) == sorted(titles)
    assert page.texts("[data-type=stats] tbody td") == [
        "1.2 %",
        page.texts("[data-type=stats] tbody td")[1],
        "1,048,576",
    ]


def test_a_dead_latent_says_so(page):
    page.open("#f=3")
    assert page.texts("[data-type=empty] p") == ["It never fired, so there are none."]
    assert "never fired" in page.texts(".notice")[0]
    assert page.texts("[data-type=stats] th")


def test_truth_and_latent_are_side_by_side(page):
    page.open("#f=4")
    (truth,), (latent,) = page.all("div.truth"), page.all("div.latent")
    assert truth.rect["y"] == latent.rect["y"]
    assert truth.rect["x"] + truth.rect["width"] <= latent.rect["x"]
    page.size(400)
    assert latent.rect["y"] > truth.rect["y"] + truth.rect["height"] - 1


def test_examples_show_the_tokens_their_activations_and_effects(page):
    feature = list(pages(12)[1])[7]
    panel = feature["panels"][6]
    refs, act, full, direct = (
        np.frombuffer(base64.b64decode(panel[name]), dtype)
        for name, dtype in (("tokens", "<u2"), ("act", "u1"), ("full", "i1"), ("direct", "i1"))
    )
    page.open("#f=7")
    shown = page.js("""return [...document.querySelectorAll('.line > span')].map((s) => [s.textContent.toWellFormed(),
        Number(s.style.getPropertyValue('--a')), [...s.classList].filter((c) => c === 'helped' || c === 'hurt').join()])""")
    words = [feature["dictionary"][r] for r in refs]
    assert [t for t, *_ in shown] == [w.replace("\ud800", "\ufffd") for w in words]
    assert [a for _, a, _ in shown] == pytest.approx((act / 255).tolist(), abs=0.003)
    sign = [("helped" if e > 0.04 * 127 else "hurt" if e < -0.04 * 127 else "") for e in full]
    assert [s for *_, s in shown] == sign
    Select(page.all("#underline")[0]).select_by_visible_text("direct path")
    signs = page.js(
        "return [...document.querySelectorAll('.line > span')].map((s) => s.classList.contains('helped'))"
    )
    assert signs == [e > 0.04 * 127 for e in direct]
    assert full.tolist() != direct.tolist()
    Select(page.all("#underline")[0]).select_by_visible_text("none")
    assert not page.all(".line > .helped, .line > .hurt")


def test_underlines_differ_by_more_than_colour(page):
    page.open("#f=7")
    style = "return getComputedStyle(document.querySelector(arguments[0])).textDecorationStyle"
    assert (page.js(style, ".line > .helped"), page.js(style, ".line > .hurt")) == ("solid", "dashed")


def tip(page):
    return dict(zip(page.texts("#tip dt"), page.texts("#tip dd"), strict=True))


def test_the_tooltip_comes_with_focus_and_pointer_and_goes_with_escape(page):
    page.open("#f=7")
    peak = page.all(".line > .peak")[0]
    assert not page.all("#tip")
    page.js("arguments[0].focus()", peak)
    said = tip(page)
    assert list(said) == ["activation", "full ablation", "direct path", "source", "place"]
    assert "of the maximum" in said["activation"]
    assert (said["source"], said["place"]) == ("english", "sequence 0, position 20")
    assert page.js("return arguments[0].getAttribute('aria-describedby')", peak) == "tip"
    page.press(Keys.ESCAPE)
    assert not page.all("#tip")
    other = page.all(".line > .on")[3]
    page.point(other)
    page.wait("return !document.getElementById('tip').hidden")
    page.point(page.all("#tip")[0])  # it may be pointed at itself
    time.sleep(0.25)
    assert page.all("#tip")
    page.point(page.all("main h1")[0])
    page.wait("return document.getElementById('tip').hidden")


def test_the_activation_of_the_token_is_marked_in_the_histogram(page):
    page.open("#f=7")
    mark = "const mark = document.querySelector('.mark'); return mark.getAttribute('visibility') + mark.getAttribute('x1')"
    assert page.js(mark).startswith("hidden")
    places = []
    for node in page.all(".line > .on")[:2]:
        page.js("arguments[0].focus()", node)
        assert page.js(mark).startswith("visible")
        share = page.js("return Number(arguments[0].style.getPropertyValue('--a'))", node)
        places.append((float(page.js(mark)[7:]), 48 + share * 302))
    assert [a for a, _ in places] == pytest.approx([b for _, b in places], abs=1)
    assert places[0] != places[1]
    page.press(Keys.ESCAPE)
    assert page.js(mark).startswith("hidden")


def test_tokens_are_one_tab_stop_a_line_and_arrows_move_inside(page):
    page.open("#f=7")
    stops = page.js(
        "return [...document.querySelectorAll('.line')].map((l) => l.querySelectorAll('[tabindex=\"0\"]').length)"
    )
    assert set(stops) == {1}
    at = "const s = document.activeElement; return [...s.parentNode.children].indexOf(s)"
    page.js("document.querySelector('.line > span').focus()")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.js(at) == 2
    page.press(Keys.ARROW_LEFT)
    assert page.js(at) == 1
    first = "return [...document.querySelector('.line').children].map((s) => s.tabIndex)"
    assert [i for i, stop in enumerate(page.js(first)) if stop == 0] == [1]
    page.press(Keys.END)
    assert page.js(at) == len(LINES["english"].split("|")) - 1
    page.press(Keys.ARROW_RIGHT)  # the end stays the end, and the feature is the same
    assert page.js(at) == len(LINES["english"].split("|")) - 1
    page.hash("#f=7")
    page.press(Keys.TAB)
    assert (
        page.js("return [...document.querySelectorAll('.line')].indexOf(document.activeElement.parentNode)")
        == 1
    )


def test_in_a_right_to_left_line_left_is_forward(page):
    page.open("#f=7")
    at = "const s = document.activeElement; return [...s.parentNode.children].indexOf(s)"
    page.js("document.querySelectorAll('.line')[2].firstChild.focus()")
    x = [page.js("return document.activeElement.getBoundingClientRect().x")]
    page.press(Keys.ARROW_LEFT)
    assert page.js(at) == 1
    x.append(page.js("return document.activeElement.getBoundingClientRect().x"))
    assert x[1] < x[0]


def test_right_to_left_lines_run_right_to_left_and_join_across_tokens(page):
    page.open("#f=7")
    directions = page.js(
        "return [...document.querySelectorAll('.line')].slice(0, 8).map((l) => getComputedStyle(l).direction)"
    )
    assert directions == ["ltr", "ltr", "rtl", "rtl", "rtl", "rtl", "ltr", "ltr"]
    joined, whole, apart = page.js("""const line = document.querySelectorAll('.line')[2];
        return [(s) => s, (s) => [s.map((one) => one.textContent).join('')], (s) => s.map((one) => {
            one.style.setProperty('display', 'inline-block'); return one })].map((change) => {
            const copy = line.cloneNode(true);
            copy.replaceChildren(...change([...copy.children]));
            document.body.append(copy);
            for (const [k, v] of [['position', 'absolute'], ['white-space', 'pre']]) copy.style.setProperty(k, v);
            const width = copy.getBoundingClientRect().width;
            copy.remove();
            return width })""")
    assert joined == pytest.approx(whole, abs=0.5)
    assert abs(apart - whole) > 3  # letters that do not join are wider


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


def test_figures_say_in_words_what_they_show(page):
    page.open("#f=7")
    for figure in page.all("svg[role=img]"):
        title, desc = (
            page.js("return arguments[0].querySelector(arguments[1]).textContent", figure, t)
            for t in ("title", "desc")
        )
        assert title
        assert any(c.isdigit() for c in desc)
    counts = list(pages(12)[1])[7]["panels"][1]["counts"]
    rows = page.js("""return [...document.querySelector('[data-type=histogram] details').querySelectorAll('tbody tr')]
        .map((r) => Number(r.lastChild.textContent.replace(',', '')))""")
    assert rows == counts
    heights = page.js(
        """return [...document.querySelectorAll('[data-type=histogram]:nth-of-type(2) rect')]
            .map((r) => Number(r.getAttribute('height')))"""
    )
    assert heights[:5] == pytest.approx([140 * c / counts[0] for c in counts[:5]], rel=1e-3)


def test_negative_bars_have_the_negative_colour(page):
    page.open("#f=7")
    bars = page.js(
        "return [...document.querySelectorAll('.bar')].map((b) => [b.matches('.negative'), getComputedStyle(b).fill])"
    )
    colours = {sign: {c for s, c in bars if s is sign} for sign in (True, False)}
    assert len(colours[True]) == len(colours[False]) == 1
    assert colours[True] != colours[False]


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_any_activation_keeps_its_contrast(page, scheme):
    page.media(prefers_color_scheme=scheme)
    page.open("#f=7")
    ink, card, orange = page.js("""const style = (what) => getComputedStyle(document.querySelector(what));
        return [style('.line > .on').color, style('.panel').backgroundColor, style('.line > .on').backgroundColor]
            .map((colour) => colour.match(/[\\d.]+/g).map(Number))""")
    for a in range(11):
        back = [(a / 10 * o + (1 - a / 10) * c) / 255 for o, c in zip(orange[:3], card, strict=True)]
        light, dark = sorted([luminance(back), luminance([c / 255 for c in ink])])[::-1]
        assert (light + 0.05) / (dark + 0.05) >= 4.5, a


def faults(page):
    """What axe-core finds serious or critical; more than 15 rules must have had something to look at."""
    page.js(AXE_SCRIPT)
    found = page.driver.execute_async_script("""const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(({ passes, violations }) => done({ passes: passes.length,
            violations: violations.map((v) => [v.impact, v.id, v.nodes[0].html.toWellFormed(), v.nodes[0].failureSummary]) }))""")
    assert found["passes"] > 15
    return [v for v in found["violations"] if v[0] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(page, scheme):
    page.media(prefers_color_scheme=scheme)
    for name, view in VIEWS.items():
        page.open(view)
        if name == "feature":
            page.js("document.querySelector('.line > .peak').focus()")
            page.js("document.querySelector('details').open = true")
        if name == "text":
            page.js("document.querySelectorAll('.line > span')[2].click()")
        background = page.js("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        assert (int(background) > 128) == (scheme == "light")
        assert faults(page) == [], name


def test_targets_are_at_least_24_pixels_high(page):
    for view in VIEWS.values():
        page.open(view)
        small = page.js("""return [...document.querySelectorAll('button, select, input, summary, .masthead a, .step')]
            .filter((e) => e.checkVisibility()).map((e) => [e.outerHTML.slice(0, 60), e.getBoundingClientRect()])
            .filter(([, r]) => r.height < 24 || r.width < 24)""")
        assert small == []


def test_print_is_light_with_all_panels_and_no_controls(page):
    page.media("print", prefers_color_scheme="dark")
    page.open("#f=7")
    assert (
        page.js("return getComputedStyle(document.querySelector('.panel')).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert len(page.all("[data-type]")) == 7
    assert page.all("button, select, .masthead, details") == []
    assert (
        page.js("return getComputedStyle(document.querySelector('.line > .on')).printColorAdjust") == "exact"
    )
    page.open("#t=0")
    assert page.all("button, select") == []
    assert page.all(".line > .on")


def test_nothing_is_cut_off_on_a_narrow_screen(page):
    page.size(400)
    for view in VIEWS.values():
        page.open(view)
        assert page.js("return document.documentElement.scrollWidth") <= 400, view


def test_nothing_moves_by_itself(page):
    page.open("#f=7")
    assert page.js("return document.getAnimations().length") == 0
    assert page.js(
        "return [...document.querySelectorAll('*')].every((e) => getComputedStyle(e).transitionDuration === '0s')"
    )


def test_a_thousand_features_are_painted_soon(page, capsys):
    page.open(n=1000)
    paint = page.wait("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    ready = page.js("return performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    with capsys.disabled():
        print(f"\n1,000 features: first contentful paint {paint:.0f} ms, list and map ready {ready} ms")
    assert 0 < paint < 5000
    assert len(page.names()) >= 50


# --- live: behind a server


class Handler(SimpleHTTPRequestHandler):
    """The files of a folder, the secret in the first page, and canned answers."""

    asked: ClassVar[list] = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/index.html":
            data = (Path(self.directory) / "index.html").read_text("utf-8")
            data = data.replace(
                "<head>", '<head><meta name="superposition-token" content="secret">', 1
            ).encode()
            self.reply(200, data, "text/html; charset=utf-8")
        else:
            super().do_GET()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["X-Superposition-Token"], asked))
        if self.path == "/api/activations" and asked["text"] == "bad":
            return self.reply(400, json.dumps({"error": "that text yields no <b>tokens</b>"}).encode())
        if self.path == "/api/activations":
            tokens = [t + " " for t in asked["text"].split()] + ["<img src=x onerror=window.__pwned=1>"]
            top = [[[i, 2.0 - i / 4, (i + 1) / 10], [999999, 1.0, 1.0]] for i in range(len(tokens))]
            return self.reply(200, json.dumps({"tokens": tokens, "top": top}).encode())
        same = {"act": [0.0, 1.0, 2.0], "prompt_length": 1}
        rows = [{"strength": s, "tokens": [asked["prompt"], " a", f" {s}"], "kl": abs(s) / 8, **same}
                for s in asked["strengths"]]  # fmt: skip
        time.sleep(0.2)
        return self.reply(200, json.dumps({"rows": rows}).encode())

    def reply(self, status, data, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def served(folders):
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folders[150]))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(60)
        assert not thread.is_alive()


def send(page, values, button):
    for name, value in values.items():
        page.js("document.querySelector(`[name=${arguments[0]}]`).value = arguments[1]", name, value)
    page.js(
        "[...document.querySelectorAll('.go')].find((b) => b.textContent === arguments[0]).click()", button
    )


def test_over_http_features_load_lazily_too(page, served):
    page.open("#f=120", base=served)
    page.heading("latent 120")
    assert page.all("[data-type=examples]")


def test_your_own_text_is_shown_with_what_fires_on_it(page, served):
    page.open("#live", base=served)
    send(page, {"text": "one two"}, "Show")
    page.wait("return document.querySelectorAll('.line > span').length === 3")
    assert Handler.asked == [("/api/activations", "secret", {"text": "one two"})]
    page.js("document.querySelectorAll('.line > span')[1].focus()")
    assert page.texts(".text section:nth-of-type(1) tbody th a") == ["latent 1"]
    assert page.texts(".text section:nth-of-type(1) tbody td") == ["1.75", "20 %"]
    send(page, {"text": "bad"}, "Show")
    page.wait("return document.querySelector('.notice')")
    assert page.texts(".notice") == ["that text yields no <b>tokens</b>"]
    logged = page.driver.get_log("browser")
    assert len(logged) == 1
    assert "400" in logged[0]["message"]


def test_steering_sends_numbers_and_shows_the_texts_side_by_side(page, served):
    page.open("#live=7", base=served)
    send(
        page,
        {"prompt": "Once", "strengths": "−2, 0 1.5", "n": "5", "temperature": "0.5", "seed": "3"},
        "Steer",
    )
    assert page.texts(".go") == ["Show", "Working …"]
    page.wait("return document.querySelectorAll('.line').length === 3")
    assert page.texts(".go") == ["Show", "Steer"]
    wanted = {"prompt": "Once", "id": 7, "strengths": [-2, 0, 1.5], "n": 5, "temperature": 0.5, "seed": 3}
    assert Handler.asked == [("/api/steer", "secret", wanted)]
    assert page.texts("main tbody th") == ["−2", "0", "+1.5"]
    assert page.texts(".line > .given") == ["Once"] * 3


def test_axe_finds_nothing_serious_in_the_live_view(page, served):
    for scheme in ("light", "dark"):
        page.media(prefers_color_scheme=scheme)
        page.open("#live=7", base=served)
        send(page, {"prompt": "Once"}, "Steer")
        page.wait("return document.querySelectorAll('.line').length === 5")
        assert faults(page) == []


def test_a_server_that_went_away_is_said(page, served):
    page.open("#live", base=served)
    page.js("window.fetch = () => Promise.reject(new TypeError('gone'))")
    send(page, {"text": "one"}, "Show")
    page.wait("return document.querySelector('.notice')")
    assert "does not answer" in page.texts(".notice")[0]


@pytest.mark.parametrize("where", ["file", "http without the secret"])
def test_where_no_model_is_behind_the_page_nothing_live_is_offered(page, where, folders):
    page.open("#live")
    assert page.texts("main h1") == ["Latents of a made-up SAE"]
    assert not [a for a in page.all("nav a") if a.text == "Your own text"]
    assert not page.all("form")
    page.open("#f=7")
    assert "Steer" not in page.texts(".tools")[0]
