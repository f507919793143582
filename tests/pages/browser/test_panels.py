"""Pages in a real Chromium: what panels, examples and tooltips show."""

import base64
import time

import numpy as np
import pytest

from tests.oracles.pages import LINES, pages
from tests.support.browser import Keys, Select


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
